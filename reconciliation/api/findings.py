"""Findings over the API: the list, and one with the decision that it came from."""

import json
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
from reconciliation.api.rows import RowSerializer, shown_time
from reconciliation.filters import FindingFilter
from reconciliation.models import Evaluation
from reconciliation.selectors.visible import visible_findings


class RuleHitSerializer(serializers.Serializer[Any]):
    """One rule that applied."""

    rule = serializers.CharField()
    weight = serializers.IntegerField(help_text="0-100")
    inputs = serializers.DictField(help_text="What it looked at.")


class FindingRow(RowSerializer):
    """One disagreement: what was expected, what is there, why it is this severe, what to do."""

    id = serializers.IntegerField()
    fingerprint = serializers.CharField(help_text="The same disagreement has the same for ever.")
    tenant = serializers.CharField(source="repository__tenant__slug")
    workspace = serializers.CharField(source="repository__workspace__slug")
    repo = serializers.CharField(source="repository__slug")
    branch = serializers.CharField()
    check_kind = serializers.CharField()
    stable_class = serializers.CharField()
    state = serializers.CharField(help_text="open or resolved")
    severity = serializers.CharField(help_text="info, low, medium, high or critical")
    alerting = serializers.BooleanField()
    rule_hits = RuleHitSerializer(many=True)
    expected = serializers.DictField()
    actual = serializers.DictField()
    summary = serializers.CharField()
    recommendation = serializers.CharField()
    command = serializers.CharField(help_text="What a person could run; may be empty.")
    run_id = serializers.CharField(
        allow_null=True, help_text="null where the missing run is the finding."
    )
    lease_id = serializers.CharField(allow_null=True)
    alert = serializers.IntegerField(source="alert__id", allow_null=True)
    correlation_id = serializers.CharField()
    clean_checks = serializers.IntegerField()
    reopened_count = serializers.IntegerField()
    opened_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolution = serializers.CharField()


class EvaluationSerializer(serializers.Serializer[Any]):
    """One decision with all it was made from; replaying it gives the same bytes."""

    id = serializers.IntegerField()
    task = serializers.IntegerField()
    task_kind = serializers.CharField()
    evaluated_at = serializers.DateTimeField()
    policy = serializers.CharField(help_text="Digest of the effective policy.")
    facts = serializers.DictField()
    decision = serializers.DictField()
    decision_digest = serializers.CharField()
    rules_version = serializers.IntegerField(
        help_text="Number of the rules of this kind that made it."
    )


class FindingInFull(FindingRow):
    """A finding with the newest decision that stated it."""

    computed = frozenset({"evaluation"})

    evaluation = EvaluationSerializer(
        allow_null=True, help_text="null once decisions of that age are pruned."
    )


class FindingList(RowList):
    """Findings of the caller's tenants, newest first; `state=open` for what holds now."""

    serializer_class = FindingRow
    filterset_class = FindingFilter

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_findings(caller)


class FindingDetail(StrictQuery):
    """One finding in full."""

    @extend_schema(responses=FindingInFull)
    def get(self, request: Request, finding_id: int) -> Response:
        row = (
            visible_findings(caller_of(request))
            .filter(pk=finding_id)
            .values(*FindingInFull.columns(), "evaluation_id")
            .first()
        )
        if row is None:
            raise NotVisible(f"There is no finding {finding_id}, or it is not yours to see.")
        evaluation = Evaluation.objects.filter(pk=row["evaluation_id"]).first()
        shown = {**row, "evaluation": evaluation_values(evaluation) if evaluation else None}
        return Response(FindingInFull(shown).data)


def evaluation_values(evaluation: Evaluation) -> dict[str, Any]:
    """Return a decision and its inputs as JSON values."""
    return {
        "id": evaluation.pk,
        "task": evaluation.task_id,
        "task_kind": evaluation.task_kind,
        "evaluated_at": shown_time(evaluation.evaluated_at),
        "policy": evaluation.policy_id,
        "facts": json.loads(evaluation.facts),
        "decision": json.loads(evaluation.decision),
        "decision_digest": evaluation.decision_digest,
        "rules_version": evaluation.rules_version,
    }
