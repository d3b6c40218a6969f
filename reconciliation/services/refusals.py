"""Counts requests that were refused, by source and reason; a flood of them adds no rows."""

from datetime import datetime

from django.db.models import F

from reconciliation.models import RepositoryWatch, WebhookRefusal
from reconciliation.services.source_troubles import SIGNATURE_REFUSED, report_trouble
from reconciliation.services.sources import LiveSource
from reconciliation.webhooks.dialects import event_name
from reconciliation.webhooks.headers import Headers


def refuse(
    source: LiveSource, reason: str, headers: Headers, *, correlation_id: str, now: datetime
) -> None:
    """Count a refused request; never anything of its body."""
    told = {
        "last_at": now,
        "last_event": (event_name(source.host, headers) or "")[:100],
        "last_correlation_id": correlation_id,
    }
    key = {"source_id": source.id, "reason": reason[:40]}
    known = WebhookRefusal.objects.filter(**key)
    if not known.update(count=F("count") + 1, **told):
        WebhookRefusal.objects.bulk_create(
            [WebhookRefusal(**key, count=0, first_at=now, **told)], ignore_conflicts=True
        )
        known.update(count=F("count") + 1, **told)


def refuse_signature(
    source: LiveSource, reason: str, headers: Headers, *, correlation_id: str, now: datetime
) -> None:
    """Count a request that proved nothing, and see that an alert about its source is open.

    Any reason counts, a stale timestamp too: whatever it is, this host is not heard.
    """
    refuse(source, reason, headers, correlation_id=correlation_id, now=now)
    report_trouble(source, SIGNATURE_REFUSED, reason=reason, correlation_id=correlation_id, now=now)


def expect_sweep(source: LiveSource, *, now: datetime) -> None:
    """Let the next sweep read the source's repository: it announced what we could not understand.

    Reading at once would let whoever knows only the address make us work.
    """
    if source.repository is not None:
        RepositoryWatch.objects.filter(
            repository_id=source.repository.id, next_due_at__gt=now
        ).update(next_due_at=now)
