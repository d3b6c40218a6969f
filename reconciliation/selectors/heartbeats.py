"""Whether the machinery moves: when each part last showed progress; changes nothing.

The overview, the status, `/readyz` and `/metrics` all show these: one definition of a live worker.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db.models import Min

from reconciliation.models import Heartbeat, RepositoryWatch

SILENCE = timedelta(minutes=3)
"""The scheduler runs every minute: a part that shows nothing for this long is silent."""

_IN_A_WORKER = ("worker", "tick", "canary")


def heartbeats() -> dict[str, datetime]:
    """Return when each part (`worker`, `tick`, `canary`) last showed progress, by name.

    A part that never did is not in it. Scheduler run and probe run in a worker, so `worker` is the
    newest of all three: one that is idle and healthy is never old.
    """
    beats = dict(Heartbeat.objects.order_by("name").values_list("name", "at"))
    moved = max((beats[name] for name in _IN_A_WORKER if name in beats), default=None)
    return beats if moved is None else {**beats, "worker": moved}


def is_silent(beats: Mapping[str, datetime], name: str, *, now: datetime) -> bool:
    """Return whether a part showed no progress lately, or never."""
    return name not in beats or now - beats[name] > SILENCE


def longest_due_since() -> datetime | None:
    """Return when the repository that waits longest for its sweep was due; None without any."""
    active = RepositoryWatch.objects.filter(repository__is_active=True)
    due: datetime | None = active.aggregate(due=Min("next_due_at"))["due"]
    return due
