"""The one schedule of django-q2: a tick every minute, made idempotently."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django_q.models import Schedule

TICK = "reconciler tick"


@transaction.atomic
def ensure_tick_schedule(*, now: datetime) -> None:
    """Leave exactly one tick schedule, as it should be; django-q2 has no unique names of its own.

    A schedule that somebody changed is mended: one whose arguments do not parse would stop every
    other schedule, for ever.
    """
    rows = Schedule.objects.select_for_update().filter(name=TICK).order_by("pk")
    keep = rows.first()
    if keep is None:
        Schedule.objects.create(name=TICK, next_run=now, **_AS_IT_SHOULD_BE)
        return
    Schedule.objects.filter(name=TICK).exclude(pk=keep.pk).delete()
    # After downtime one tick catches up; the missed ones are not replayed.
    is_late = keep.next_run is None or keep.next_run < now - timedelta(minutes=1)
    is_far = keep.next_run is not None and keep.next_run > now + timedelta(minutes=2)
    next_run = now if is_late or is_far else keep.next_run
    Schedule.objects.filter(pk=keep.pk).update(next_run=next_run, **_AS_IT_SHOULD_BE)


_AS_IT_SHOULD_BE: dict[str, Any] = {
    "func": "reconciliation.tasks.tick",
    "args": None,
    "kwargs": None,
    "hook": None,
    "cluster": None,
    "schedule_type": Schedule.MINUTES,
    "minutes": 1,
    "repeats": -1,
}
