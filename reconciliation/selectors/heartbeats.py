"""Whether the machinery moves: when each part last showed progress; changes nothing."""

from datetime import datetime

from django.db.models import Min

from reconciliation.models import Heartbeat, RepositoryWatch


def heartbeats() -> dict[str, datetime]:
    """Return when each part (`worker`, `tick`, `canary`) last showed progress, by name.

    A part that never did is not in it.
    """
    return dict(Heartbeat.objects.order_by("name").values_list("name", "at"))


def longest_due_since() -> datetime | None:
    """Return when the repository that waits longest for its sweep was due; None without any."""
    active = RepositoryWatch.objects.filter(repository__is_active=True)
    due: datetime | None = active.aggregate(due=Min("next_due_at"))["due"]
    return due
