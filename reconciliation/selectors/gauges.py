"""Numbers of this moment over the whole site, for the machines that watch it; changes nothing.

Each is one aggregate over an index that holds only what is waiting, unresolved or held, or over one
row per repository or source. They span tenants: they are for `/metrics`, never for a caller.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Min, Q, Sum

from governance.selectors.visible import Lease, Repository
from reconciliation.models import (
    Alert,
    AlertState,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    TaskState,
    WebhookRefusal,
)
from reconciliation.selectors.alerts import ESCALATED
from reconciliation.selectors.branch_totals import BranchTotals, branch_totals
from reconciliation.selectors.circuits import open_by_cause
from reconciliation.selectors.heartbeats import heartbeats

EXPIRING = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class QueuedTasks:
    """Tasks of one kind and priority that wait; `due_since` None: none is due yet."""

    task_kind: str
    priority: int
    number: int
    due_since: datetime | None


@dataclass(frozen=True, slots=True)
class Gauges:
    """All of them, as of one moment."""

    queued: tuple[QueuedTasks, ...]
    running_since: datetime | None
    dead_letters: dict[str, int]
    alerts: dict[tuple[str, str], int]
    escalations_due: dict[str, int]
    alerts_of_tenant: dict[str, int]
    leases: dict[str, int]
    refusals: dict[tuple[str, str], int]
    repositories: dict[str, int]
    branches: BranchTotals
    head_changes: dict[str, int]
    last_sweep_at: datetime | None
    heartbeats: dict[str, datetime]
    open_circuits: dict[str, tuple[int, int]]


def read_gauges(*, now: datetime) -> Gauges:
    """Return the gauges, in thirteen queries."""
    watches = _watches()
    alerts = _alerts()
    return Gauges(
        queued=_queued(now),
        running_since=_running_since(),
        dead_letters=_dead_letters(),
        alerts={(severity, state): number for severity, state, number, _ in alerts},
        escalations_due={
            severity: escalated for severity, state, _, escalated in alerts if state == "open"
        },
        alerts_of_tenant=_alerts_of_tenant(),
        leases=_leases(now),
        refusals=_refusals(),
        repositories=_repositories(watches["unreadable"]),
        branches=branch_totals(Repository.objects.all(), Finding.objects.all()),
        head_changes={
            "webhook": watches["by_webhook"] or 0,
            "sweep": watches["by_sweep"] or 0,
        },
        last_sweep_at=Sweep.objects.order_by("-id").values_list("started_at", flat=True).first(),
        heartbeats=heartbeats(),
        open_circuits=open_by_cause(),
    )


def _queued(now: datetime) -> tuple[QueuedTasks, ...]:
    # What waits for a host that is down counts, but is not late.
    is_due = Q(run_after__lte=now, held_by__isnull=True)
    rows = (
        ReconciliationTask.objects.filter(state=TaskState.QUEUED)
        .order_by("task_kind", "priority")
        .values_list("task_kind", "priority")
        .annotate(number=Count("id"), due=Min("run_after", filter=is_due))
    )
    return tuple(QueuedTasks(*row) for row in rows)


def _running_since() -> datetime | None:
    running = ReconciliationTask.objects.filter(state=TaskState.RUNNING)
    since: datetime | None = running.aggregate(since=Min("started_at"))["since"]
    return since


def _dead_letters() -> dict[str, int]:
    rows = ReconciliationTask.objects.filter(state=TaskState.DEAD).order_by("task_kind")
    return dict(rows.values_list("task_kind").annotate(number=Count("id")))


def _alerts() -> list[tuple[str, str, int, int]]:
    return list(
        Alert.objects.exclude(state=AlertState.RESOLVED)
        .order_by("severity", "state")
        .values_list("severity", "state")
        .annotate(number=Count("id"), escalated=ESCALATED)
    )


def _alerts_of_tenant() -> dict[str, int]:
    # Alerts there ever were: one row each, counted again when it reopened.
    rows = (
        Alert.objects.order_by("repository__tenant__slug")
        .values_list("repository__tenant__slug")
        .annotate(number=Sum(F("reopened_count") + 1))
    )
    return dict(rows)


def _leases(now: datetime) -> dict[str, int]:
    soon = now + EXPIRING
    counts: dict[str, int] = Lease.objects.filter(state="held").aggregate(
        live=Count("id", filter=Q(expires_at__gt=soon)),
        expiring=Count("id", filter=Q(expires_at__gt=now, expires_at__lte=soon)),
        overdue=Count("id", filter=Q(expires_at__lte=now)),
    )
    return counts


def _refusals() -> dict[tuple[str, str], int]:
    rows = (
        WebhookRefusal.objects.order_by("source__host_kind", "reason")
        .values_list("source__host_kind", "reason")
        .annotate(number=Sum("count"))
    )
    return {(host, reason): number for host, reason, number in rows}


def _watches() -> dict[str, int]:
    # Changes of all repositories, also of those switched off: a total must not step back.
    sums: dict[str, int] = RepositoryWatch.objects.aggregate(
        unreadable=Count("id", filter=Q(failing_since__isnull=False, repository__is_active=True)),
        by_webhook=Sum("changes_by_webhook"),
        by_sweep=Sum("changes_by_sweep"),
    )
    return sums


def _repositories(unreadable: int) -> dict[str, int]:
    active = Repository.objects.filter(is_active=True).count()
    return {"readable": active - unreadable, "unreadable": unreadable}
