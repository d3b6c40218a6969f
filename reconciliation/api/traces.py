"""The trace of a correlation id over the API: from delivery to audit entry, in order of time."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import caller_of
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.rows import shown_time
from reconciliation.selectors.trace import Trace, TraceStep, trace_of


class TraceStepSerializer(serializers.Serializer[Any]):
    """One thing that happened."""

    kind = serializers.ChoiceField(
        choices=[
            "delivery",
            "sweep",
            "task",
            "attempt",
            "evaluation",
            "finding",
            "alert",
            "audit",
        ]
    )
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    took_ms = serializers.IntegerField(
        allow_null=True, help_text="null: it happens at once, or has not ended."
    )
    title = serializers.CharField()
    outcome = serializers.CharField()
    detail = serializers.CharField()
    tenant = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField()
    task_id = serializers.IntegerField(allow_null=True, help_text="The task it belongs to.")
    joined = serializers.CharField(
        help_text="Correlation id of another trace: that of a task a delivery joined, or that of a"
        " delivery that joined a task of this one. Empty: none."
    )


class TraceSerializer(serializers.Serializer[Any]):
    """Everything with one correlation id that the caller may see."""

    correlation_id = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    took_ms = serializers.IntegerField()
    is_truncated = serializers.BooleanField(help_text="It has more tasks than are shown.")
    steps = TraceStepSerializer(many=True)


class TraceDetail(StrictQuery):
    """All that happened under one correlation id."""

    @extend_schema(responses=TraceSerializer)
    def get(self, request: Request, correlation_id: str) -> Response:
        return Response(_values(trace_of(correlation_id, caller_of(request))))


def _values(trace: Trace) -> dict[str, Any]:
    return {
        "correlation_id": trace.correlation_id,
        "started_at": shown_time(trace.started_at),
        "ended_at": shown_time(trace.ended_at),
        "took_ms": trace.took_ms,
        "is_truncated": trace.is_truncated,
        "steps": [_step(step) for step in trace.steps],
    }


def _step(step: TraceStep) -> dict[str, Any]:
    values = {name: getattr(step, name) for name in map(str, TraceStepSerializer().fields)}
    return {
        name: shown_time(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }
