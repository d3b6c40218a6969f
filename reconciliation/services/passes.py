"""One pass over one repository on demand: what to plan, working it to its end, what it led to."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from governance.selectors.branch_facts import RepositoryRow, branches_to_check
from governance.selectors.branches_in_use import branches_in_use
from governance.selectors.policies import shortest_idle_days
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import (
    Finding,
    FindingState,
    Origin,
    ReconciliationTask,
    TaskKind,
)
from reconciliation.selectors.unfinished import (
    DEAD,
    DUE,
    HELD,
    RETRY,
    RUNNING,
    Unfinished,
    unfinished_of,
)
from reconciliation.services.intake import request_observation
from reconciliation.services.queue import PRIORITY_EVENT, Planned, enqueue

_SOON = timedelta(seconds=5)
_PAUSE = timedelta(milliseconds=200)
_CHECKS = (TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN, TaskKind.STALE_BRANCH)


@dataclass(frozen=True, slots=True)
class PassResult:
    """Decisions of the pass in canonical order, the repository's open findings, what is not done.

    `troubles` are the unfinished tasks that failed or are held; they are part of `unfinished`.
    """

    decisions: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    unfinished: list[Unfinished]

    @property
    def troubles(self) -> list[dict[str, Any]]:
        """Return what went wrong, with the error."""
        return [
            {"branch": one.branch, "task_kind": one.task_kind, "error": one.detail}
            for one in self.unfinished
            if one.reason in {DEAD, HELD, RETRY}
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "decisions": self.decisions,
            "findings": self.findings,
            "troubles": self.troubles,
            "unfinished": [one.as_json() for one in self.unfinished],
        }


@transaction.atomic
def plan_pass(repository: RepositoryRow, *, correlation_id: str, now: datetime) -> None:
    """Plan an observation and the checks of every branch that may have something to say.

    Those are branches whose heads disagree, with an open finding, idle, or in use and elsewhere
    than the default branch; any other branch in sync costs no task. The subject holds the pass's
    correlation id: a pass asked for twice is two passes.
    """
    request_observation(
        repository,
        about=f"pass {correlation_id}",
        origin=Origin.MANUAL,
        correlation_id=correlation_id,
        now=now,
    )
    idle_since = now - timedelta(days=shortest_idle_days())
    found = set(
        Finding.objects.filter(repository_id=repository.id, state=FindingState.OPEN).values_list(
            "branch", flat=True
        )
    )
    branches = found | set(branches_to_check(repository.id, idle_since=idle_since))
    in_use = branches_in_use(
        active_since=idle_since, repository_ids=[repository.id], now=now
    ).values_list("name", flat=True)
    # A branch in use may lack much of its default branch though its own heads agree.
    checks = dict.fromkeys(branches, _CHECKS) | {
        branch: (TaskKind.STALE_BRANCH,) for branch in in_use if branch not in branches
    }
    enqueue(
        [
            Planned(
                item=WorkItem(
                    tenant=repository.tenant,
                    workspace=repository.workspace,
                    repo=repository.slug,
                    branch=branch,
                    task_kind=kind,
                    about=f"pass {correlation_id}",
                ),
                repository_id=repository.id,
                correlation_id=correlation_id,
                origin=Origin.MANUAL,
                priority=PRIORITY_EVENT,
                run_after=now,
                announced_at=now,
            )
            for branch, kinds in sorted(checks.items())
            if branch
            for kind in kinds
        ],
        now=now,
        revive=False,
    )


def work_until_done(
    correlation_id: str,
    *,
    drain: Callable[[], bool],
    clock: Callable[[], datetime],
    wait: Callable[[timedelta], None],
    until: datetime,
) -> None:
    """Drain again and again until the pass is done, or nothing of it can be done soon, or `until`.

    `drain` returns whether it found anything to do. What the pass's own observation led to belongs
    to it. What runs elsewhere, and what is due within seconds, is waited for; what must settle,
    backs off for longer, or is held, is not.
    """
    while True:
        is_moving = drain()
        now = clock()
        unfinished = unfinished_of(correlation_id, now=now)
        moments = [
            moment
            for one in unfinished
            # What is due and was not claimed all the same cannot be claimed now.
            if is_moving or one.reason != DUE
            if (moment := _may_go_on_at(one, now=now)) is not None
        ]
        if not moments or now >= until or min(moments) - now > _SOON:
            return
        wait(max(_PAUSE, min(moments) - now))


def _may_go_on_at(one: Unfinished, *, now: datetime) -> datetime | None:
    if one.reason in {DEAD, HELD}:
        return None
    return now if one.reason in {DUE, RUNNING} or one.until is None else one.until


def result_of(repository: RepositoryRow, *, correlation_id: str, now: datetime) -> PassResult:
    """Return what the pass with this correlation id led to so far."""
    tasks = (
        ReconciliationTask.objects.filter(correlation_id=correlation_id)
        .order_by("tenant", "repo", "branch", "task_kind", "id")
        .values("branch", "task_kind", "policy_decision")
    )
    findings = (
        Finding.objects.filter(repository_id=repository.id, state=FindingState.OPEN)
        .order_by("branch", "check_kind", "stable_class")
        .values(
            "branch",
            "check_kind",
            "stable_class",
            "severity",
            "summary",
            "recommendation",
            "command",
            "rule_hits",
            "expected",
            "actual",
        )
    )
    return PassResult(
        decisions=[
            {
                "branch": task["branch"],
                "task_kind": task["task_kind"],
                "decision": task["policy_decision"],
            }
            for task in tasks
            if task["policy_decision"]
        ],
        findings=[dict(finding) for finding in findings],
        unfinished=unfinished_of(correlation_id, now=now),
    )
