"""Applies that another branch is the default one now; most hosts say nothing when that happens.

What is protected stays protected: the default branch that governance accepted keeps its class until
a person accepts another one. The change is a finding of the repository until then.
"""

from collections.abc import Sequence
from datetime import datetime

from governance.domain.policy import branch_class_of
from governance.selectors.branch_facts import branches_by_key
from governance.services.policies import PolicyResolver
from governance.services.repository_states import record_branch_classes, record_first_default
from reconciliation.models import TaskKind
from reconciliation.services.apply.values import Effects, Worked, entry_of
from reconciliation.services.default_branch_findings import (
    open_default_branch_finding,
    resolve_default_branch_finding,
)
from reconciliation.services.observe.values import Seen


def default_branches_of(one: Worked, sight: Seen) -> frozenset[str]:
    """Return the default branch that governance accepted and the one that was just read."""
    read = one.gathered.facts.default_branch
    return frozenset({sight.repository.governed_default_branch, read}) - {""}


def apply_default_branches(
    read: Sequence[tuple[Worked, Seen]],
    policies: PolicyResolver,
    effects: Effects,
    *,
    now: datetime,
) -> None:
    """Give branches that became a default one its class, say so, and have both checked again."""
    moved = [
        (one, sight, one.gathered.facts.default_branch)
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
                    default_branches=default_branches_of(one, sight),
                    policy=policies.for_branch(one.task.repository_id, branch),
                ),
            )
            for one, sight, new in moved
            for branch in sorted({sight.repository.default_branch, new} - {""})
        ]
    )
    for one, sight, new in moved:
        old = sight.repository.default_branch
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
    _say_what_is_not_accepted(moved, effects, now=now)


def _say_what_is_not_accepted(
    moved: Sequence[tuple[Worked, Seen, str]], effects: Effects, *, now: datetime
) -> None:
    accepted = {
        (sight.repository.id, sight.repository.governed_default_branch) for _, sight, _ in moved
    }
    there = branches_by_key(accepted).keys() if accepted else set()
    for one, sight, new in moved:
        repository, correlation_id = sight.repository, one.task.correlation_id
        if (repository.id, repository.governed_default_branch) not in there:
            # None was known, or none was ever born: there is no protection to keep.
            record_first_default(repository.id, new)
        elif new == repository.governed_default_branch:
            effects.entries += resolve_default_branch_finding(
                repository,
                resolution=f"HEAD names {new} again",
                correlation_id=correlation_id,
                now=now,
            )
        else:
            effects.entries += open_default_branch_finding(
                repository, new, correlation_id=correlation_id, now=now
            )
