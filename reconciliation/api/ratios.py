"""Alert ratios over the API: alerts per 100 completed tasks, against the median."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import caller_of
from reconciler_site.base.queries import QuerySerializer, StrictQuery
from reconciliation.api.rows import shown_time
from reconciliation.domain.measures import RECONCILIATIONS
from reconciliation.domain.ratios import Ratio, compare
from reconciliation.selectors.ratios import by_tenant, places_of
from reconciliation.services.measuring import measured

_DEFAULT_LINES, _MOST_LINES = 50, 200


class RatioParameters(QuerySerializer):
    """What to compare."""

    by = serializers.ChoiceField(choices=["tenant", "repository"], required=False, default="tenant")
    tenant = serializers.CharField(required=False, help_text="Repositories of this tenant only.")
    limit = serializers.IntegerField(
        required=False, default=_DEFAULT_LINES, min_value=1, max_value=_MOST_LINES
    )


class HintSerializer(serializers.Serializer[Any]):
    """A configuration anti-pattern that the numbers point to, and the way out."""

    code = serializers.CharField(
        help_text="threshold_too_tight, webhook_missing, secret_refused or nobody_acts"
    )
    detail = serializers.CharField()


class RatioSerializer(serializers.Serializer[Any]):
    """One tenant or repository."""

    tenant = serializers.CharField()
    repo = serializers.CharField(allow_null=True, help_text="null when compared by tenant.")
    reconciliations = serializers.IntegerField(help_text="Completed tasks, ever.")
    alerts = serializers.IntegerField(help_text="Openings and reopenings, ever.")
    unresolved = serializers.IntegerField()
    per_100 = serializers.FloatField(
        allow_null=True, help_text="Alerts per 100 completed tasks; null: no task completed."
    )
    times_median = serializers.FloatField(allow_null=True)
    stands_out = serializers.BooleanField(
        help_text="At least three times the median, on enough tasks and alerts to mean something."
    )
    hints = HintSerializer(many=True)


class RatiosSerializer(serializers.Serializer[Any]):
    """All that the caller may see, compared."""

    by = serializers.CharField()
    as_of = serializers.DateTimeField()
    median_per_100 = serializers.FloatField(
        allow_null=True, help_text="Over places with enough tasks; null: none has."
    )
    places = serializers.IntegerField(help_text="How many were compared; lines may be fewer.")
    lines = RatioSerializer(many=True)


class AlertRatios(StrictQuery):
    """Alerts per 100 completed tasks by tenant or repository, what stands out first.

    A ratio far above the median points to configuration rather than to trouble: the hints name
    the usual causes.
    """

    query_serializer = RatioParameters

    @extend_schema(parameters=[RatioParameters], responses=RatiosSerializer)
    def get(self, request: Request) -> Response:
        asked, now = self.query(), timezone.now()
        places = places_of(caller_of(request), measured([RECONCILIATIONS], now=now), now=now)
        if "tenant" in asked:
            places = [place for place in places if place.tenant == asked["tenant"]]
        found = compare(by_tenant(places) if asked["by"] == "tenant" else places)
        return Response(
            {
                "by": asked["by"],
                "as_of": shown_time(now),
                "median_per_100": found.median_per_100,
                "places": len(found.lines),
                "lines": [_values(line) for line in found.lines[: asked["limit"]]],
            }
        )


def _values(line: Ratio) -> dict[str, Any]:
    place = line.place
    return {
        "tenant": place.tenant,
        "repo": place.repo or None,
        "reconciliations": place.reconciliations,
        "alerts": place.alerts,
        "unresolved": place.unresolved,
        "per_100": line.per_100,
        "times_median": line.times_median,
        "stands_out": line.stands_out,
        "hints": [{"code": hint.code, "detail": hint.detail} for hint in line.hints],
    }
