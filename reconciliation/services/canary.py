"""The canary: a message that a cluster must work off to prove that messages get through."""

from datetime import datetime, timedelta

from reconciliation.models import Heartbeat
from reconciliation.services.wake import send

CANARY = "reconciliation.tasks.canary"
CANARY_HEARTBEAT = "canary"
_LIFE = timedelta(seconds=30)


def send_canary(cluster: str, *, now: datetime) -> None:
    """Ask a cluster for a sign of life."""
    send(CANARY, cluster, now.isoformat(), due=now)


def meet_canary(
    cluster: str, sent_at: datetime, *, here: str | None, worker: str, now: datetime
) -> bool:
    """Note that a canary got through; return whether it was for the cluster `here`.

    All clusters on one database take from one queue. A canary that another cluster shall prove
    itself by is passed on, until it is too old to prove anything.
    """
    if here is not None and cluster != here:
        if now - sent_at < _LIFE:
            send(CANARY, cluster, sent_at.isoformat(), due=now)
        return False
    Heartbeat.objects.update_or_create(
        name=CANARY_HEARTBEAT, defaults={"at": now, "detail": worker[:200]}
    )
    return True
