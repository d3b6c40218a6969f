"""The one schedule of django-q2: a tick every minute, made idempotently."""

from datetime import datetime, timedelta

from django.db import transaction
from django_q.models import Schedule

TICK = "reconciler tick"


@transaction.atomic
def ensure_tick_schedule(*, now: datetime) -> None:
    """Leave exactly one tick schedule; django-q2 has no unique names of its own."""
    rows = Schedule.objects.select_for_update().filter(name=TICK).order_by("pk")
    keep = rows.first()
    if keep is None:
        Schedule.objects.create(
            name=TICK,
            func="reconciliation.tasks.tick",
            schedule_type=Schedule.MINUTES,
            minutes=1,
            repeats=-1,
            next_run=now,
        )
        return
    Schedule.objects.filter(name=TICK).exclude(pk=keep.pk).delete()
    # After downtime one tick catches up; the missed ones are not replayed.
    if keep.next_run is None or keep.next_run < now - timedelta(minutes=1):
        Schedule.objects.filter(pk=keep.pk).update(next_run=now, func="reconciliation.tasks.tick")
