"""The overview: what is broken now, and whether the picture is fresh; changes nothing.

A constant number of aggregates, each over an index that holds only what is unresolved, waiting or
dead, or over one row per repository: never over branches, completed tasks or the trail.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import Count, F, Min, Q, Sum

from audit.domain.caller import Caller
from governance.selectors.visible import visible_leases, visible_repositories
from reconciliation.models import AlertState, RepositoryWatch, TaskKind, TaskState
from reconciliation.selectors.alerts import ESCALATED
from reconciliation.selectors.branch_totals import branch_totals
from reconciliation.selectors.circuits import OpenCircuits, open_circuits
from reconciliation.selectors.heartbeats import heartbeats, is_silent
from reconciliation.selectors.overview_values import (
    AlertCounts,
    DegradedReason,
    NamedRepository,
    Overview,
    QueueDepth,
    SweepFreshness,
    WebhookShare,
)
from reconciliation.selectors.visible import (
    visible_alerts,
    visible_findings,
    visible_sweeps,
    visible_tasks,
    visible_watches,
)

LEASE_WARNING = timedelta(minutes=5)
SWEEP_OVERDUE = timedelta(minutes=15)

DRIFT_WORST_FIRST = (
    "unrelated",
    "rewritten",
    "rewound",
    "deleted",
    "recreated",
    "unknown",
    "fast_forward",
    "created",
)
SEVERITIES_WORST_FIRST = ("critical", "high", "medium", "low", "info")


def overview(caller: Caller, *, now: datetime) -> Overview:
    """Return the overview of the caller's tenants as of `now`, in at most 15 queries."""
    totals = branch_totals(visible_repositories(caller), visible_findings(caller))
    queue = _queue(caller)
    sweeps, webhooks = _watches(caller, now=now)
    beats = heartbeats()
    leases = (
        visible_leases(caller)
        .order_by()
        .filter(state="held", expires_at__gt=now)
        .aggregate(
            live=Count("id"),
            expiring=Count("id", filter=Q(expires_at__lte=now + LEASE_WARNING)),
        )
    )
    findings = _findings(caller)
    drift = _drift(findings)
    dead = sum(depth.dead for depth in queue)
    circuits = open_circuits(caller)
    reasons = _degraded_reasons(sweeps, beats, circuits, dead=dead, now=now)
    return Overview(
        as_of=now,
        status="degraded" if reasons else "ok",
        degraded_reasons=reasons,
        repositories=totals.repositories,
        branches=totals.branches,
        branches_unknown=totals.unknown,
        branches_with_findings=totals.with_findings,
        alerts=_alerts(caller),
        drift_by_class=drift,
        findings_by_check=_by_check(findings),
        queue=queue,
        oldest_waiting_at=_oldest_waiting_at(caller, now=now),
        dead_letters=dead,
        held=circuits.held_tasks,
        sweeps=sweeps,
        leases_live=leases["live"] or 0,
        leases_expiring=leases["expiring"] or 0,
        webhooks=webhooks,
        heartbeats=beats,
    )


def _alerts(caller: Caller) -> AlertCounts:
    rows = list(
        visible_alerts(caller)
        .select_related(None)
        .order_by()
        .exclude(state=AlertState.RESOLVED)
        .values("severity", "state")
        .annotate(number=Count("id"), oldest=Min("opened_at"), escalated=ESCALATED)
    )
    by_severity = dict.fromkeys(SEVERITIES_WORST_FIRST, 0)
    by_state = {AlertState.OPEN.value: 0, "acknowledged": 0, "snoozed": 0}
    for row in rows:
        by_severity[row["severity"]] += row["number"]
        by_state[row["state"]] += row["number"]
    oldest = [row["oldest"] for row in rows if row["state"] == AlertState.OPEN]
    return AlertCounts(
        by_severity=by_severity,
        by_state=by_state,
        unacknowledged=by_state[AlertState.OPEN],
        unresolved=sum(by_state.values()),
        oldest_unacknowledged_at=min(oldest, default=None),
        escalations_due=sum(row["escalated"] for row in rows),
    )


def _findings(caller: Caller) -> list[tuple[str, str, int]]:
    return list(
        visible_findings(caller)
        .select_related(None)
        .filter(state="open")
        .order_by("check_kind", "stable_class")
        .values_list("check_kind", "stable_class")
        .annotate(number=Count("id"))
    )


def _drift(findings: list[tuple[str, str, int]]) -> dict[str, int]:
    found = {
        stable_class: number
        for check, stable_class, number in findings
        if check == TaskKind.HEAD_DRIFT
    }
    return {name: found[name] for name in sorted(found, key=_gravity)}


def _gravity(drift_class: str) -> tuple[int, str]:
    known = DRIFT_WORST_FIRST.index(drift_class) if drift_class in DRIFT_WORST_FIRST else -1
    return (known, drift_class)


def _by_check(findings: list[tuple[str, str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for check, _, number in findings:
        totals[check] = totals.get(check, 0) + number
    return totals


def _queue(caller: Caller) -> tuple[QueueDepth, ...]:
    # Two statements, because each fits one partial index; together they would fit none.
    waiting = Q(state__in=(TaskState.QUEUED, TaskState.RUNNING))
    numbers: dict[tuple[str, str], int] = {}
    for condition in (waiting, Q(state=TaskState.DEAD)):
        rows = (
            visible_tasks(caller)
            .filter(condition)
            .order_by()
            .values_list("task_kind", "state")
            .annotate(number=Count("id"))
        )
        numbers |= {(kind, state): number for kind, state, number in rows}
    return tuple(
        QueueDepth(
            task_kind=kind.value,
            label=str(kind.label),
            queued=numbers.get((kind, TaskState.QUEUED), 0),
            running=numbers.get((kind, TaskState.RUNNING), 0),
            dead=numbers.get((kind, TaskState.DEAD), 0),
        )
        for kind in TaskKind
    )


def _oldest_waiting_at(caller: Caller, *, now: datetime) -> datetime | None:
    # Only what is due: a task that waits for its settle time, or for its host, is not late.
    found: datetime | None = (
        visible_tasks(caller)
        .order_by()
        .filter(state=TaskState.QUEUED, held_by__isnull=True, run_after__lte=now)
        .aggregate(oldest=Min("run_after"))["oldest"]
    )
    return found


def _watches(caller: Caller, *, now: datetime) -> tuple[SweepFreshness, WebhookShare]:
    watches = visible_watches(caller)
    sums = (
        watches.select_related(None)
        .order_by()
        .aggregate(
            by_webhook=Sum("changes_by_webhook"),
            by_sweep=Sum("changes_by_sweep"),
            silent=Count("id", filter=Q(last_delivery_at__isnull=True)),
            failing=Count("id", filter=Q(failing_since__isnull=False)),
            overdue=Count("id", filter=Q(next_due_at__lt=now - SWEEP_OVERDUE)),
        )
    )
    oldest = watches.order_by(F("last_swept_at").asc(nulls_first=True), "id").first()
    failing = watches.filter(failing_since__isnull=False).order_by("failing_since", "id")[:10]
    last = visible_sweeps(caller).values_list("id", "started_at").first()
    by_webhook, by_sweep = sums["by_webhook"] or 0, sums["by_sweep"] or 0
    changes = by_webhook + by_sweep
    freshness = SweepFreshness(
        last_sweep_id=last[0] if last else None,
        last_sweep_at=last[1] if last else None,
        oldest_unswept=_named(oldest, "last_swept_at") if oldest else None,
        overdue=sums["overdue"],
        failing=tuple(_named(watch, "failing_since") for watch in failing),
        failing_count=sums["failing"],
    )
    share = WebhookShare(
        by_webhook=by_webhook,
        by_sweep=by_sweep,
        percent_missed=round(100 * by_sweep / changes) if changes else None,
        repositories_without_delivery=sums["silent"],
    )
    return freshness, share


def _named(watch: RepositoryWatch, moment: str) -> NamedRepository:
    return NamedRepository(
        tenant=watch.repository.tenant.slug,
        repo=watch.repository.slug,
        at=getattr(watch, moment),
        reason=watch.last_error_code,
    )


def _degraded_reasons(
    sweeps: SweepFreshness,
    beats: Mapping[str, datetime],
    circuits: OpenCircuits,
    *,
    dead: int,
    now: datetime,
) -> tuple[DegradedReason, ...]:
    reasons: list[DegradedReason] = []
    for name, lost in (
        ("worker", "Tasks wait, and no decision is being made."),
        ("tick", "No sweep is planned, and nothing that is due wakes up."),
    ):
        if is_silent(beats, name, now=now):
            at = beats.get(name)
            detail = lost if at else f"It has not reported since the start. {lost}"
            reasons.append(DegradedReason(f"{name}_silent", name, detail, at))
    reasons += [
        DegradedReason("circuit_open", one.origin, one.told, one.since) for one in circuits.named
    ]
    if sweeps.failing_count:
        first = sweeps.failing[0]
        others = f" and {sweeps.failing_count - 1} more" if sweeps.failing_count > 1 else ""
        reasons.append(
            DegradedReason(
                "repositories_unreadable",
                f"{first.tenant}/{first.repo}{others}",
                f"Cannot be read ({first.reason or 'no answer'}): their branches are unknown.",
                first.at,
            )
        )
    if sweeps.overdue:
        oldest = sweeps.oldest_unswept
        reasons.append(
            DegradedReason(
                "sweeps_overdue",
                f"{sweeps.overdue} repositories",
                "Are overdue for a sweep: a change without a webhook would go unseen.",
                oldest.at if oldest else None,
            )
        )
    if dead:
        reasons.append(
            DegradedReason(
                "dead_letters",
                f"{dead} dead letters" if dead != 1 else "1 dead letter",
                "Gave up: what they would have checked is not known.",
                None,
            )
        )
    return tuple(reasons)
