"""Drops the raw bodies of deliveries past their retention; keeps what they said.

The tick calls it. A heartbeat named `retention` says when it last ran to its end, and up to which
receipt nothing is left: looking through all of history every minute would cost more each day.
"""

from datetime import datetime, timedelta
from typing import Final

from audit.domain.canonical import utc_text
from reconciliation.models import Heartbeat, WebhookDelivery

NAME: Final = "retention"
_BATCH: Final = 500
_MOST_BATCHES: Final = 100
"""50,000 bodies a minute: more than are taken in, so that a shorter retention is caught up with."""


def drop_old_bodies(*, keep: timedelta, now: datetime, batch: int = _BATCH) -> int:
    """Drop bodies received before `now - keep`, oldest first, and return how many.

    Stops after 100 batches; the next call goes on from there. The first call of a day (UTC) looks
    through everything: a delivery that was sent again after its body was dropped has a new one.
    """
    cutoff = now - keep
    begin = _done_up_to(now)
    dropped = 0
    for _ in range(_MOST_BATCHES):
        rows = WebhookDelivery.objects.filter(received_at__lt=cutoff, body__isnull=False)
        if begin is not None:
            rows = rows.filter(received_at__gte=begin)
        old = list(rows.order_by("received_at", "id").values_list("pk", "received_at")[:batch])
        if old:
            dropped += WebhookDelivery.objects.filter(pk__in=[pk for pk, _ in old]).update(
                body=None
            )
            begin = old[-1][1]
        if len(old) < batch:
            Heartbeat.objects.update_or_create(
                name=NAME, defaults={"at": now, "detail": utc_text(cutoff)}
            )
            break
    return dropped


def _done_up_to(now: datetime) -> datetime | None:
    last = Heartbeat.objects.filter(name=NAME).first()
    if last is None or last.at.date() != now.date():
        return None
    return datetime.fromisoformat(last.detail)
