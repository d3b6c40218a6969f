"""Works a delivery once more: because its host sent it again, or because a person asks.

Nothing here decides whether it should be: intake and replay do.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from reconciliation.models import (
    DeliveryOutcome,
    WebhookDelivery,
)
from reconciliation.services.intake_work import Wanted, observation_for
from reconciliation.services.queue import enqueue
from reconciliation.services.wake import wake
from reconciliation.webhooks.events import NormalisedEvent


def plan_again(
    delivery_pk: int,
    wanted: Wanted,
    events: Sequence[NormalisedEvent],
    *,
    renewed: dict[str, Any],
    correlation_id: str,
    run_after: datetime,
    now: datetime,
) -> int | None:
    """Plan what a delivery asks for and tie it to that task, as if it had just come in.

    `renewed` are columns of the delivery to store with it. Return the task's id, or None when
    nothing is asked for; then nothing is changed.
    """
    planned = observation_for(
        wanted, correlation_id=correlation_id, run_after=run_after, announced_at=now
    )
    if planned is None:
        return None
    with transaction.atomic():
        # The row of the task stays locked until the commit, so that no worker ends it before it
        # can see this delivery.
        [(task_id, _)] = enqueue([planned], now=now, revive=True)
        WebhookDelivery.objects.filter(pk=delivery_pk).update(
            **renewed,
            task_id=task_id,
            applied_at=None,
            outcome=DeliveryOutcome.ACCEPTED,
            reason=wanted.reason,
            events=events_text(events),
        )
        wake(run_after)
    return task_id


def events_text(events: Sequence[NormalisedEvent]) -> str:
    """Return normalised events as they are stored with their delivery."""
    return _encode([event.as_json() for event in events])


_encode = json.JSONEncoder(ensure_ascii=False).encode
