"""How well a repository's webhook is heard, as the API shows it beside the repository."""

from datetime import timedelta
from typing import Any

from rest_framework import serializers

from reconciliation.api.rows import shown_time
from reconciliation.selectors.webhook_health import WebhookHealth


class RefusedReason(serializers.Serializer[Any]):
    """Requests refused on a source for one reason."""

    reason = serializers.CharField()
    count = serializers.IntegerField()
    last_at = serializers.DateTimeField()


class SpeakingSource(serializers.Serializer[Any]):
    """A webhook source that may speak for the repository; its address is not told."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    host_kind = serializers.CharField()
    revoked_at = serializers.DateTimeField(allow_null=True)
    refusals = RefusedReason(many=True)


class KnownBlindSpot(serializers.Serializer[Any]):
    """Something that this kind of host never announces."""

    subject = serializers.CharField()
    words = serializers.CharField()
    evidence = serializers.CharField(help_text="seen, documented or recalled")
    checked_on = serializers.DateField(allow_null=True)


class WebhooksOfRepository(serializers.Serializer[Any]):
    """How well the webhook is heard, and what it cannot tell."""

    state = serializers.CharField(
        help_text=(
            "ok, unknown (too few deliveries to tell), silent (longer than ever in 28 days), deaf"
            " (heads moved and nothing was announced), refused or no_source"
        ),
    )
    words = serializers.CharField()
    last_delivery_at = serializers.DateTimeField(allow_null=True)
    silent_seconds = serializers.IntegerField(allow_null=True)
    usual_silence_seconds = serializers.IntegerField(
        allow_null=True, help_text="The longest silence in four weeks; null: too few deliveries."
    )
    changes_by_webhook = serializers.IntegerField()
    changes_by_sweep = serializers.IntegerField()
    percent_missed = serializers.IntegerField(allow_null=True)
    unannounced_since = serializers.IntegerField(
        help_text="Heads that a sweep saw moved after the last delivery."
    )
    sources = SpeakingSource(many=True)
    blind_spots = KnownBlindSpot(many=True)


def webhooks_values(health: WebhookHealth) -> dict[str, Any]:
    """Return a webhook's health as JSON values."""
    return {
        "state": health.verdict.state,
        "words": health.verdict.words,
        "last_delivery_at": shown_time(health.last_delivery_at),
        "silent_seconds": _seconds(health.verdict.silence),
        "usual_silence_seconds": _seconds(health.verdict.usual_silence),
        "changes_by_webhook": health.changes_by_webhook,
        "changes_by_sweep": health.changes_by_sweep,
        "percent_missed": health.percent_missed,
        "unannounced_since": health.unannounced_since,
        "sources": [
            {
                "id": one.source.pk,
                "name": str(one.source),
                "host_kind": one.source.host_kind,
                "revoked_at": shown_time(one.source.revoked_at),
                "refusals": [
                    {
                        "reason": refusal.reason,
                        "count": refusal.count,
                        "last_at": shown_time(refusal.last_at),
                    }
                    for refusal in one.refusals
                ],
            }
            for one in health.sources
        ],
        "blind_spots": [
            {
                "subject": spot.subject,
                "words": spot.words,
                "evidence": spot.evidence.value,
                "checked_on": spot.checked_on.isoformat() if spot.checked_on else None,
            }
            for spot in health.blind_spots
        ],
    }


def _seconds(length: timedelta | None) -> int | None:
    return None if length is None else int(length.total_seconds())
