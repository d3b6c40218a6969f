"""The minute tick: takes back lost claims, plans the sweep that is due, wakes what waits, prunes.

Safe to run in every worker at once, late, twice or never for a while: after downtime one lap
catches up, missed ticks are not replayed.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django_q.models import Failure

from reconciliation.models import (
    Circuit,
    Heartbeat,
    ReconciliationTask,
    SweepTrigger,
    TaskState,
)
from reconciliation.services.host_calls import forget_old_calls
from reconciliation.services.measuring import measured
from reconciliation.services.reap import reap_lost_claims
from reconciliation.services.retention import drop_old_bodies
from reconciliation.services.sweeps import Budget, plan_sweep
from reconciliation.services.wake import wake

_KEEP_WAKE_UP_FAILURES = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did."""

    reaped: int
    planned: int
    sweep_id: int | None
    woken: bool
    bodies_pruned: int


def tick(
    *, budget: Budget | None, body_retention: timedelta, correlation_id: str, now: datetime
) -> Ticked:
    """Run one tick; without a budget no sweep is planned (sweeps only by command)."""
    reaped = reap_lost_claims(now=now)
    slot = now.replace(second=0, microsecond=0)
    planned = (
        plan_sweep(
            slot=slot,
            scope="",
            everything=False,
            trigger=SweepTrigger.SCHEDULE,
            budget=budget,
            correlation_id=correlation_id,
            now=now,
        )
        if budget
        else None
    )
    waiting = (
        ReconciliationTask.objects.filter(
            state=TaskState.QUEUED, held_by__isnull=True, run_after__lte=now
        ).exists()
        or Circuit.objects.filter(failing_since__isnull=False, next_probe_at__lte=now).exists()
    )
    if waiting:
        with transaction.atomic():
            wake(now)
    pruned = drop_old_bodies(keep=body_retention, now=now)
    # django-q2 never prunes failures by itself.
    Failure.objects.filter(started__lt=now - _KEEP_WAKE_UP_FAILURES).delete()
    # Fold what ended into the totals here, so that a scrape finds little left to do.
    measured([], now=now)
    forget_old_calls(now=now)
    Heartbeat.objects.update_or_create(name="tick", defaults={"at": now})
    return Ticked(
        reaped=reaped,
        planned=len(planned.worklist.items) if planned and planned.row else 0,
        sweep_id=planned.row.pk if planned and planned.row else None,
        woken=waiting,
        bodies_pruned=pruned,
    )
