"""Applies that another branch is the default one now; most hosts say nothing when that happens."""

from collections.abc import Sequence
from datetime import datetime

from governance.domain.policy import branch_class_of
from governance.services.policies import PolicyResolver
from governance.services.repository_states import record_branch_classes
from reconciliation.models import TaskKind
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.observe.values import Seen


def apply_default_branches(
    read: Sequence[tuple[Worked, Seen]],
    policies: PolicyResolver,
    effects: Effects,
    *,
    now: datetime,
) -> None:
    """Give the old and the new default branch their classes, and have both checked again."""
    moved = [
        (one, sight.repository.default_branch, one.gathered.facts.default_branch)
        for one, sight in read
        if one.gathered.facts.default_branch not in ("", sight.repository.default_branch)
    ]
    known = record_branch_classes(
        [
            (
                one.task.repository_id,
                branch,
                branch_class_of(
                    branch,
                    default_branch=new,
                    policy=policies.for_branch(one.task.repository_id, branch),
                ),
            )
            for one, old, new in moved
            for branch in sorted({old, new} - {""})
        ]
    )
    for one, old, new in moved:
        effects.entries.append(
            entry_of(
                one.task,
                now=now,
                action="repository.change",
                object_kind="repository",
                object_id=str(one.task.repository_id),
                reason="read from its HEAD",
                data={"default_branch": [old, new]},
            )
        )
        for branch in sorted({old, new}):
            if (one.task.repository_id, branch) not in known:
                continue
            for kind in (TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN):
                effects.follow_up(
                    one.task,
                    branch=branch,
                    task_kind=kind,
                    about=f"default {old or '-'}..{new}",
                    run_after=now,
                )
