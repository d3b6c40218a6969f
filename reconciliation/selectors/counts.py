"""Numbers that go with a page of rows: one grouped query for all of its rows; changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Count

from audit.domain.caller import Caller
from governance.selectors.visible import Branch
from reconciliation.models import AlertState, Finding, FindingState, TaskState
from reconciliation.selectors.visible import visible_alerts, visible_findings, visible_tasks

SEVERITIES_WORST_FIRST = ("critical", "high", "medium", "low", "info")


@dataclass(slots=True)
class Troubles:
    """What is open on one repository; `worst` is empty when no alert is unresolved."""

    alerts: int = 0
    findings: int = 0
    worst: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the tasks of a sweep are, as far as the caller may see them."""

    tasks_by_state: Mapping[str, int] = field(default_factory=dict)

    @property
    def tasks(self) -> int:
        """How many there are."""
        return sum(self.tasks_by_state.values())

    @property
    def done(self) -> int:
        """How many have ended, one way or the other."""
        waiting = (TaskState.QUEUED, TaskState.RUNNING)
        return self.tasks - sum(self.tasks_by_state.get(state, 0) for state in waiting)

    @property
    def status(self) -> str:
        """Degraded when a task is dead; running until the last has ended; then complete."""
        if self.tasks_by_state.get(TaskState.DEAD):
            return "degraded"
        return "complete" if self.done == self.tasks else "running"


def troubles_of(caller: Caller, repository_ids: Sequence[int]) -> dict[int, Troubles]:
    """Return unresolved alerts and open findings by repository, in two queries."""
    found = {pk: Troubles() for pk in repository_ids}
    alerts = (
        visible_alerts(caller)
        .select_related(None)
        .exclude(state=AlertState.RESOLVED)
        .filter(repository_id__in=repository_ids)
        .order_by()
        .values_list("repository_id", "severity")
        .annotate(number=Count("id"))
    )
    for pk, severity, number in alerts:
        found[pk].alerts += number
        found[pk].worst = worst_of([severity, found[pk].worst])
    findings = (
        visible_findings(caller)
        .select_related(None)
        .filter(repository_id__in=repository_ids, state=FindingState.OPEN)
        .order_by()
        .values_list("repository_id")
        .annotate(number=Count("id"))
    )
    for pk, number in findings:
        found[pk].findings = number
    return found


def progress_of(caller: Caller, sweep_ids: Sequence[int]) -> dict[int, Progress]:
    """Return the progress of sweeps in one query, counting the caller's tasks only."""
    states: dict[int, dict[str, int]] = {pk: {} for pk in sweep_ids}
    counted = (
        visible_tasks(caller)
        .filter(sweep_id__in=sweep_ids)
        .order_by()
        .values_list("sweep_id", "state")
        .annotate(number=Count("id"))
    )
    for pk, state, number in counted:
        states[pk][state] = number
    return {pk: Progress(by_state) for pk, by_state in states.items()}


def open_findings_of(
    caller: Caller, branches: Sequence[Branch]
) -> dict[tuple[int, str], list[Finding]]:
    """Return the open findings of branches by (repository id, name), in one query."""
    rows = visible_findings(caller).filter(
        state=FindingState.OPEN,
        repository_id__in={branch.repository_id for branch in branches},
        branch__in={branch.name for branch in branches},
    )
    grouped: dict[tuple[int, str], list[Finding]] = {}
    for finding in rows.select_related(None).only(
        "repository_id", "branch", "check_kind", "stable_class", "severity", "expected", "actual"
    ):
        grouped.setdefault((finding.repository_id, finding.branch), []).append(finding)
    return grouped


def worst_of(severities: Sequence[str]) -> str:
    """Return the worst severity, or the empty string when there is none."""
    return next((level for level in SEVERITIES_WORST_FIRST if level in severities), "")
