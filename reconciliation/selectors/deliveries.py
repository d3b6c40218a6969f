"""Deliveries chosen by what they were about, oldest first; changes nothing."""

from dataclasses import asdict, dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from audit.domain.caller import Caller
from reconciliation.models import WebhookDelivery
from reconciliation.selectors.visible import visible_deliveries


@dataclass(frozen=True, slots=True)
class DeliveryChoice:
    """Which deliveries are meant; what is empty does not narrow it.

    `since` and `until` are moments of receipt, the latter exclusive. `applied` False means those
    whose announcements were not worked in.
    """

    delivery_ids: tuple[int, ...] = ()
    tenant: str = ""
    repo: str = ""
    webhook_source: int | None = None
    host_kind: str = ""
    event: str = ""
    outcome: str = ""
    correlation_id: str = ""
    applied: bool | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def narrowing(self) -> dict[str, object]:
        """What narrows it, by name."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value not in (None, "", ())
        }


def chosen_deliveries(caller: Caller, choice: DeliveryChoice) -> QuerySet[WebhookDelivery]:
    """Return the caller's deliveries that a choice means, in the order of their receipt."""
    rows = visible_deliveries(caller)
    if choice.delivery_ids:
        rows = rows.filter(pk__in=choice.delivery_ids)
    wanted = {
        "source__tenant__slug": choice.tenant,
        "source_id": choice.webhook_source,
        "source__host_kind": choice.host_kind,
        "event": choice.event,
        "outcome": choice.outcome,
        "correlation_id": choice.correlation_id,
        "received_at__gte": choice.since,
        "received_at__lt": choice.until,
    }
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    if choice.repo:
        rows = rows.filter(Q(task__repo=choice.repo) | Q(source__repository__slug=choice.repo))
    if choice.applied is not None:
        rows = rows.filter(applied_at__isnull=not choice.applied)
    return rows.order_by("id")
