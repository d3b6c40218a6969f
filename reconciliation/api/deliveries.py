"""Webhook deliveries over the API: what arrived, what it said, and what it caused.

Never shown: secrets, path tokens, signatures, bodies. The headers are those that were kept.
"""

import json
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import Caller, caller_of
from governance.selectors.visible import NotVisible
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.base import RowList
from reconciliation.api.rows import RowSerializer, shown_rows
from reconciliation.api.tasks import TaskRow
from reconciliation.filters import DeliveryFilter
from reconciliation.selectors.visible import visible_deliveries, visible_tasks

_MOST_TASKS = 200


class DeliveryRow(RowSerializer):
    """One verified request of a git host."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(source="source__tenant__slug")
    webhook_source = serializers.IntegerField(source="source_id")
    source_name = serializers.CharField(source="source__name")
    host_kind = serializers.CharField(source="source__host_kind")
    repo = serializers.CharField(
        source="task__repo", allow_null=True, help_text="null: it asked for no work."
    )
    delivery_id = serializers.CharField(help_text="The host's own; the same when it redelivers.")
    event = serializers.CharField()
    outcome = serializers.CharField(help_text="accepted, ignored, malformed or too_large")
    reason = serializers.CharField()
    body_sha256 = serializers.CharField()
    body_bytes = serializers.IntegerField()
    secret_id = serializers.CharField(help_text="Which secret verified it; never the secret.")
    task = serializers.IntegerField(
        source="task_id", allow_null=True, help_text="The task that it caused or joined."
    )
    correlation_id = serializers.CharField()
    received_at = serializers.DateTimeField()
    applied_at = serializers.DateTimeField(
        allow_null=True, help_text="When what it announced was worked in; null: not yet."
    )


class DeliveryInFull(DeliveryRow):
    """A delivery with its headers, its events in our words, and the tasks behind it."""

    computed = frozenset({"headers", "events", "tasks", "body_is_kept"})

    headers = serializers.DictField(child=serializers.CharField())
    events = serializers.ListField(child=serializers.DictField())
    tasks = TaskRow(
        many=True,
        help_text="The observation that it caused or joined, and the checks that followed.",
    )
    body_is_kept = serializers.BooleanField(help_text="False once past its retention.")


class DeliveryList(RowList):
    """Deliveries to the caller's tenants, newest first."""

    serializer_class = DeliveryRow
    filterset_class = DeliveryFilter

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_deliveries(caller)


class DeliveryDetail(StrictQuery):
    """One delivery in full."""

    @extend_schema(responses=DeliveryInFull)
    def get(self, request: Request, delivery_id: int) -> Response:
        caller = caller_of(request)
        mine = visible_deliveries(caller).filter(pk=delivery_id)
        row = mine.values(*DeliveryInFull.columns(), "headers", "events").first()
        if row is None:
            raise NotVisible(f"There is no delivery {delivery_id}, or it is not yours to see.")
        shown = {
            **row,
            "headers": json.loads(row["headers"]),
            "events": json.loads(row["events"]),
            "tasks": _tasks(caller, row["task_id"]),
            "body_is_kept": mine.filter(body__isnull=False).exists(),
        }
        return Response(DeliveryInFull(shown).data)


def _tasks(caller: Caller, task_id: int | None) -> list[dict[str, Any]]:
    if task_id is None:
        return []
    rows = visible_tasks(caller).filter(Q(pk=task_id) | Q(parent_id=task_id)).order_by("id")
    return shown_rows(TaskRow, rows.values(*TaskRow.columns())[:_MOST_TASKS])
