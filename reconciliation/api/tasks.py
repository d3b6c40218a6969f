"""Tasks over the API: the queue and its history, and one task with attempts and decisions."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import Caller, caller_of
from governance.selectors.visible import NotVisible
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.base import RowList
from reconciliation.api.findings import EvaluationSerializer, evaluation_values
from reconciliation.api.rows import RowSerializer, shown_rows
from reconciliation.filters import TaskFilter
from reconciliation.models import Evaluation, TaskAttempt
from reconciliation.selectors.visible import visible_deliveries, visible_tasks

_NEWEST = 50


class TaskRow(RowSerializer):
    """One idempotent piece of work; for what was decided, see `policy_decision`."""

    id = serializers.IntegerField()
    tenant = serializers.CharField()
    workspace = serializers.CharField()
    repo = serializers.CharField()
    branch = serializers.CharField(help_text="Empty for the observation of a repository.")
    run_id = serializers.CharField(allow_null=True)
    lease_id = serializers.CharField(allow_null=True)
    task_kind = serializers.CharField()
    subject = serializers.CharField(help_text="What it is about, by stable identifiers.")
    idempotency_key = serializers.CharField()
    correlation_id = serializers.CharField()
    origin = serializers.CharField(help_text="webhook, sweep, api, manual or follow_up")
    sweep = serializers.IntegerField(source="sweep_id", allow_null=True)
    parent_task = serializers.IntegerField(
        source="parent_id", allow_null=True, help_text="The task that it follows from."
    )
    priority = serializers.IntegerField(help_text="Lower goes first.")
    ordinal = serializers.IntegerField(help_text="Place in the worklist of its sweep.")
    state = serializers.CharField(help_text="queued, running, completed, dead or discarded")
    attempts = serializers.IntegerField(help_text="In this series.")
    max_attempts = serializers.IntegerField()
    series = serializers.IntegerField(help_text="Raised by every requeue.")
    held_by = serializers.IntegerField(
        source="held_by_id",
        allow_null=True,
        help_text="The open circuit that it waits for; see the part `hosts` of the status.",
    )
    policy_decision = serializers.CharField(help_text="Empty until it was decided.")
    last_error_class = serializers.CharField()
    last_error_code = serializers.CharField()
    last_error = serializers.CharField()
    run_after = serializers.DateTimeField()
    announced_at = serializers.DateTimeField(help_text="When the thing that asked for it happened.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)


class AttemptRow(RowSerializer):
    """One try at a task."""

    id = serializers.IntegerField()
    series = serializers.IntegerField()
    number = serializers.IntegerField()
    worker = serializers.CharField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField()
    outcome = serializers.CharField(
        help_text="completed, deferred, retry, dead, lost or given_back"
    )
    error_class = serializers.CharField()
    error_code = serializers.CharField()
    error = serializers.CharField()


class TaskDeliveryRow(RowSerializer):
    """A delivery that asked for a task, or joined it while it waited."""

    id = serializers.IntegerField()
    delivery_id = serializers.CharField()
    event = serializers.CharField()
    received_at = serializers.DateTimeField()
    correlation_id = serializers.CharField()


class TaskInFull(TaskRow):
    """A task with its attempts and decisions, newest first, at most 50 of each."""

    computed = frozenset({"attempt_rows", "evaluations", "deliveries"})

    attempt_rows = AttemptRow(many=True)
    evaluations = EvaluationSerializer(many=True)
    deliveries = TaskDeliveryRow(many=True)


class TaskList(RowList):
    """Tasks of the caller's tenants, newest first; `state=unfinished` for the queue."""

    serializer_class = TaskRow
    filterset_class = TaskFilter

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_tasks(caller)


class TaskDetail(StrictQuery):
    """One task in full."""

    @extend_schema(responses=TaskInFull)
    def get(self, request: Request, task_id: int) -> Response:
        caller = caller_of(request)
        row = visible_tasks(caller).filter(pk=task_id).values(*TaskInFull.columns()).first()
        if row is None:
            raise NotVisible(f"There is no task {task_id}, or it is not yours to see.")
        attempts = TaskAttempt.objects.filter(task_id=task_id).order_by("-id")
        evaluations = Evaluation.objects.filter(task_id=task_id).order_by("-id")[:_NEWEST]
        deliveries = visible_deliveries(caller).filter(task_id=task_id)
        shown = {
            **row,
            "attempt_rows": _newest(AttemptRow, attempts),
            "evaluations": [evaluation_values(one) for one in evaluations],
            "deliveries": _newest(TaskDeliveryRow, deliveries),
        }
        return Response(TaskInFull(shown).data)


def _newest(kind: type[RowSerializer], rows: QuerySet[Any]) -> list[dict[str, Any]]:
    return shown_rows(kind, rows.values(*kind.columns())[:_NEWEST])
