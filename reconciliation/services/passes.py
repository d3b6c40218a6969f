"""One pass over one repository on demand: what to plan, and what it led to."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from governance.selectors.branch_facts import RepositoryRow, branches_to_check
from governance.selectors.branches_in_use import branches_in_use
from reconciliation.domain.circuits import NEEDING_THE_HOST
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import (
    CircuitHold,
    Finding,
    FindingState,
    Origin,
    ReconciliationTask,
    TaskKind,
    TaskState,
)
from reconciliation.services.intake import request_observation
from reconciliation.services.queue import PRIORITY_EVENT, Planned, enqueue

_IDLE = timedelta(days=8)
"""Younger branches are never stale, whatever the policy: a week is the least notice."""
_CHECKS = (TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN, TaskKind.STALE_BRANCH)


@dataclass(frozen=True, slots=True)
class PassResult:
    """Decisions of the pass in canonical order, the repository's open findings, and troubles."""

    decisions: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    troubles: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "decisions": self.decisions,
            "findings": self.findings,
            "troubles": self.troubles,
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
    found = set(
        Finding.objects.filter(repository_id=repository.id, state=FindingState.OPEN).values_list(
            "branch", flat=True
        )
    )
    branches = found | set(branches_to_check(repository.id, idle_since=now - _IDLE))
    in_use = branches_in_use(
        active_since=now - _IDLE, repository_ids=[repository.id], now=now
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


def result_of(repository: RepositoryRow, *, correlation_id: str) -> PassResult:
    """Return what the pass with this correlation id led to so far."""
    tasks = (
        ReconciliationTask.objects.filter(correlation_id=correlation_id)
        .order_by("tenant", "repo", "branch", "task_kind", "id")
        .values("branch", "task_kind", "state", "policy_decision", "last_error")
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
    waits = CircuitHold.objects.filter(repository_id=repository.id).select_related("circuit")
    down = next((f"{one.circuit.origin} is down: {one.circuit.message}" for one in waits), "")
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
        troubles=[
            {
                "branch": task["branch"],
                "task_kind": task["task_kind"],
                "error": task["last_error"] or down,
            }
            for task in tasks
            if task["last_error"] or (down and _waits_for_its_host(task))
        ],
    )


def _waits_for_its_host(task: Mapping[str, Any]) -> bool:
    return task["state"] == TaskState.QUEUED and task["task_kind"] in NEEDING_THE_HOST
