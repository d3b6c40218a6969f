"""The parts of the status that are the reconciler itself: queue, hosts, sweeps, workers, trail."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Min, Q, Sum

from audit.domain.caller import Caller
from audit.selectors import missing_triggers, visible_chains
from reconciler_site.base.disks import disks
from reconciliation.models import TaskKind, TaskState
from reconciliation.selectors.circuits import open_circuits
from reconciliation.selectors.heartbeats import heartbeats, is_silent
from reconciliation.selectors.status_values import Figures, Reason
from reconciliation.selectors.visible import visible_sweeps, visible_tasks, visible_watches

STALLED = timedelta(minutes=5)
OVERDUE = timedelta(minutes=15)


def queue_part(caller: Caller, now: datetime) -> Figures:
    """Return how much work waits, since when, and what gave up."""
    depth: dict[str, dict[str, int]] = {
        kind.value: {"queued": 0, "running": 0, "dead": 0} for kind in TaskKind
    }
    # Two statements, because each fits one partial index; together they would fit none.
    waiting = visible_tasks(caller).filter(state__in=(TaskState.QUEUED, TaskState.RUNNING))
    dead = visible_tasks(caller).filter(state=TaskState.DEAD)
    for rows in (waiting, dead):
        counted = rows.order_by().values_list("task_kind", "state").annotate(number=Count("id"))
        for kind, state, number in counted:
            depth[kind][state] = number
    # What waits for a host that is down is not late.
    oldest: datetime | None = (
        visible_tasks(caller)
        .order_by()
        .filter(state=TaskState.QUEUED, held_by__isnull=True, run_after__lte=now)
        .aggregate(oldest=Min("run_after"))["oldest"]
    )
    total = {state: sum(one[state] for one in depth.values()) for state in depth["head_drift"]}
    reasons = []
    if oldest is not None and now - oldest > STALLED:
        reasons.append(
            Reason("queue_stalled", "Tasks are due and nobody works on them.", since=oldest)
        )
    if total["dead"]:
        reasons.append(
            Reason(
                "dead_letters",
                f"{total['dead']} gave up: what they would have checked is not known.",
            )
        )
    values = {
        "queued": total["queued"],
        "running": total["running"],
        "dead_letters": total["dead"],
        "oldest_due_at": oldest,
        "by_kind": [{"task_kind": kind, **counts} for kind, counts in sorted(depth.items())],
    }
    return Figures(values, tuple(reasons))


def hosts_part(caller: Caller, _: datetime) -> Figures:
    """Return which hosts and credentials are down, and how much waits for them."""
    found = open_circuits(caller)
    reasons = tuple(
        Reason("circuit_open", f"{one.origin}: {one.told}", since=one.since) for one in found.named
    )
    values = {
        "open_circuits": found.count,
        "held_tasks": found.held_tasks,
        "open": [
            {
                "tenant": one.tenant,
                "origin": one.origin,
                "credential_name": one.credential or None,
                "state": one.state,
                "cause": one.cause,
                "message": one.message,
                "since": one.since,
                "next_probe_at": one.next_probe_at,
                "held_tasks": one.held_tasks,
                "held_repositories": one.held_repositories,
            }
            for one in found.named
        ],
    }
    return Figures(values, reasons)


def sweeps_part(caller: Caller, now: datetime) -> Figures:
    """Return how recent the picture is that sweeps keep."""
    sums = (
        visible_watches(caller)
        .select_related(None)
        .order_by()
        .aggregate(
            repositories=Count("id"),
            overdue=Count("id", filter=Q(next_due_at__lt=now - OVERDUE)),
            never=Count("id", filter=Q(last_swept_at__isnull=True)),
        )
    )
    last = visible_sweeps(caller).values_list("id", "started_at").first()
    oldest = (
        visible_watches(caller)
        .order_by(F("last_swept_at").asc(nulls_first=True), "id")
        .values("repository__tenant__slug", "repository__slug", "last_swept_at")
        .first()
    )
    reasons: tuple[Reason, ...] = ()
    if sums["overdue"]:
        reasons = (
            Reason(
                "sweeps_overdue",
                f"{sums['overdue']} repositories are overdue for a sweep: a change without a"
                " webhook would go unseen.",
                since=oldest["last_swept_at"] if oldest else None,
            ),
        )
    values = {
        "last_sweep": last[0] if last else None,
        "last_sweep_at": last[1] if last else None,
        "watched_repositories": sums["repositories"],
        "overdue_repositories": sums["overdue"],
        "never_swept_repositories": sums["never"],
        "oldest_swept": _place(oldest) if oldest else None,
        "oldest_swept_at": oldest["last_swept_at"] if oldest else None,
    }
    return Figures(values, reasons)


def disks_part(_: Caller, __: datetime) -> Figures:
    """Return how full the disks of the database and the mirrors are, as readiness has it."""
    found = disks()
    reasons = tuple(
        Reason("disk_full", f"The disk of the {disk.holds}: {disk.reason}")
        for disk in found
        if disk.is_full
    )
    values = {
        "disks": [
            {"holds": disk.holds, "is_full": disk.is_full, "free_bytes": disk.free_bytes}
            for disk in found
        ]
    }
    return Figures(values, reasons)


def worker_part(_: Caller, now: datetime) -> Figures:
    """Return when the machinery last moved; it is the same for every tenant."""
    beats = heartbeats()
    moved, tick = beats.get("worker"), beats.get("tick")
    reasons = []
    if is_silent(beats, "worker", now=now):
        told = "No worker ever reported." if moved is None else "No worker reports any more."
        reasons.append(Reason("worker_silent", f"{told} No decision is being made.", since=moved))
    if is_silent(beats, "tick", now=now):
        reasons.append(
            Reason("tick_silent", "No sweep is planned and nothing wakes up.", since=tick)
        )
    values = {"heartbeats": [{"name": name, "at": at} for name, at in sorted(beats.items())]}
    return Figures(values, tuple(reasons), as_of=moved)


def audit_part(caller: Caller, _: datetime) -> Figures:
    """Return how long the caller's chains are and whether the database still guards them."""
    sums = visible_chains(caller).order_by().aggregate(chains=Count("tenant"), entries=Sum("seq"))
    missing = missing_triggers()
    reasons: tuple[Reason, ...] = ()
    if missing:
        reasons = (
            Reason(
                "audit_unguarded",
                f"The database would let the trail be changed: {', '.join(missing)} missing."
                " Run `manage.py migrate` or see docs/operations.md.",
            ),
        )
    values = {
        "chains": sums["chains"],
        "entries": sums["entries"] or 0,
        "missing_triggers": missing,
    }
    return Figures(values, reasons)


def _place(row: Mapping[str, Any]) -> str:
    return f"{row['repository__tenant__slug']}/{row['repository__slug']}"
