"""Alerts over the API: the list, one in full, and what a person may answer."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id
from audit.domain.caller import Caller, caller_of
from governance.selectors.visible import NotVisible, visible_branches
from reconciler_site.base.bodies import BodySerializer, MomentField, body_of
from reconciler_site.base.problems import problem_answer
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.base import RowList, user_id_of
from reconciliation.api.findings import FindingRow
from reconciliation.api.matrix import CoherenceSerializer, matrix_values
from reconciliation.api.rows import RowSerializer, shown_time
from reconciliation.filters import AlertFilter
from reconciliation.models import Alert, AlertState
from reconciliation.selectors.alerts import escalation_steps
from reconciliation.selectors.coherence import coherence_matrix
from reconciliation.selectors.visible import visible_alerts, visible_findings
from reconciliation.services.alert_answers import (
    AlertNotFound,
    CannotAcknowledge,
    acknowledge_alert,
    snooze_alert,
    unacknowledge_alert,
)

_LONGEST_SECONDS = 366 * 86_400
_FIELD_OF = {"reason_too_short": "reason", "too_long": "until"}


class LadderStepSerializer(serializers.Serializer[Any]):
    """Who is to be notified when no one has answered the alert; nothing sends messages yet."""

    role = serializers.CharField()
    after_seconds = serializers.IntegerField()
    state = serializers.CharField(
        help_text="waiting or due; a due step is not sent: no channel is set up."
    )
    due_at = serializers.DateTimeField(
        allow_null=True, help_text="null: not due yet, or due since before this was recorded."
    )
    sent_at = serializers.DateTimeField(allow_null=True, help_text="null: nothing was sent.")


class AlertRow(RowSerializer):
    """One alert: what it is about, who answered it and until when, which escalations are due."""

    id = serializers.IntegerField()
    finding = serializers.IntegerField(source="finding_id")
    tenant = serializers.CharField(source="repository__tenant__slug")
    workspace = serializers.CharField(source="repository__workspace__slug")
    repo = serializers.CharField(source="repository__slug")
    branch = serializers.CharField()
    check_kind = serializers.CharField(source="finding__check_kind")
    stable_class = serializers.CharField(source="finding__stable_class")
    summary = serializers.CharField(source="finding__summary")
    state = serializers.CharField(help_text="open, acknowledged, snoozed or resolved")
    severity = serializers.CharField(help_text="info, low, medium, high or critical")
    state_digest = serializers.CharField(
        help_text="Of both heads and the rule hits now; an answer covers exactly this."
    )
    opened_at = serializers.DateTimeField()
    acknowledged_as = serializers.CharField(help_text="Who acknowledged it last; may be empty.")
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledge_reason = serializers.CharField()
    acknowledge_expires_at = serializers.DateTimeField(allow_null=True)
    acknowledged_state_digest = serializers.CharField()
    snoozed_until = serializers.DateTimeField(allow_null=True)
    snoozed_state_digest = serializers.CharField()
    escalation_ladder = LadderStepSerializer(many=True)
    escalation_step = serializers.IntegerField(help_text="Steps of the ladder that are due.")
    next_escalation_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next step becomes due; null unless the alert is open."
    )
    reopened_count = serializers.IntegerField()
    flapping_until = serializers.DateTimeField(
        allow_null=True,
        help_text="It came and went more than 3 times within an hour: it stays open until then.",
    )
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolution = serializers.CharField()
    correlation_id = serializers.CharField()

    def to_representation(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the row with its escalation as it stands."""
        shown = super().to_representation(row)
        steps = escalation_steps(row["escalation_ladder"], steps_due=row["escalation_step"])
        shown["escalation_ladder"] = [
            {
                "role": step.role,
                "after_seconds": step.after_seconds,
                "state": "due" if step.is_due else "waiting",
                "due_at": shown_time(step.due_at),
                "sent_at": None,
            }
            for step in steps
        ]
        if row["state"] != AlertState.OPEN:
            shown["next_escalation_at"] = None
        return shown


class AlertInFull(AlertRow):
    """An alert with its finding and the coherence matrix of its branch."""

    computed = frozenset({"finding_in_full", "coherence"})

    finding_in_full = FindingRow()
    coherence = CoherenceSerializer(allow_null=True, help_text="null: the branch is not known.")


class AcknowledgeBody(BodySerializer):
    """Why, for how long, and what the caller was looking at."""

    reason = serializers.CharField(max_length=1000, help_text="At least 10 characters.")
    lasts_seconds = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=_LONGEST_SECONDS,
        help_text="The policy has the default (24 h) and the limit (30 days).",
    )
    expected_state_digest = serializers.CharField(
        required=False,
        max_length=64,
        help_text="`state_digest` as it was read; without it, whatever holds now.",
    )


class SnoozeBody(BodySerializer):
    """Until when, why, and what the caller was looking at."""

    until = MomentField(help_text="At most 30 days away.")
    reason = serializers.CharField(max_length=1000, help_text="At least 10 characters.")
    expected_state_digest = serializers.CharField(
        required=False,
        max_length=64,
        help_text="`state_digest` as it was read; without it, whatever holds now.",
    )


class UnacknowledgeBody(BodySerializer):
    """Why the alert should be open again."""

    reason = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)


class AlertList(RowList):
    """Alerts of the caller's tenants, newest first; `state=unresolved` for what holds now."""

    serializer_class = AlertRow
    filterset_class = AlertFilter

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_alerts(caller)


class AlertDetail(StrictQuery):
    """One alert in full."""

    @extend_schema(responses=AlertInFull)
    def get(self, request: Request, alert_id: int) -> Response:
        return Response(_in_full(alert_id, caller_of(request)))


class AcknowledgeAlert(StrictQuery):
    """Acknowledges an alert in the state that the caller looked at, for a limited time.

    When the branch moves, the acknowledgement is void and the alert is open again.
    """

    required_scope = "alerts"

    @extend_schema(request=AcknowledgeBody, responses=AlertRow)
    def post(self, request: Request, alert_id: int) -> Response:
        caller = caller_of(request)
        asked = body_of(AcknowledgeBody, request)
        lasts = asked.get("lasts_seconds")
        return _answer(
            alert_id,
            caller,
            lambda: acknowledge_alert(
                alert_id,
                caller=caller,
                user_id=user_id_of(request),
                reason=asked["reason"],
                lasts=None if lasts is None else timedelta(seconds=lasts),
                expected_state_digest=asked.get("expected_state_digest")
                or _digest_now(alert_id, caller),
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            ),
            fields={**_FIELD_OF, "too_long": "lasts_seconds"},
        )


class SnoozeAlert(StrictQuery):
    """Silences an alert, in the state that the caller looked at, until a moment.

    It opens again then, or as soon as the branch or the rules that hit move.
    """

    required_scope = "alerts"

    @extend_schema(request=SnoozeBody, responses=AlertRow)
    def post(self, request: Request, alert_id: int) -> Response:
        caller = caller_of(request)
        asked = body_of(SnoozeBody, request)
        return _answer(
            alert_id,
            caller,
            lambda: snooze_alert(
                alert_id,
                caller=caller,
                until=asked["until"],
                reason=asked["reason"],
                expected_state_digest=asked.get("expected_state_digest")
                or _digest_now(alert_id, caller),
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            ),
        )


class UnacknowledgeAlert(StrictQuery):
    """Takes an acknowledgement or a snooze back."""

    required_scope = "alerts"

    @extend_schema(request=UnacknowledgeBody, responses=AlertRow)
    def post(self, request: Request, alert_id: int) -> Response:
        caller = caller_of(request)
        asked = body_of(UnacknowledgeBody, request)
        return _answer(
            alert_id,
            caller,
            lambda: unacknowledge_alert(
                alert_id,
                caller=caller,
                reason=asked["reason"],
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            ),
        )


def _answer(
    alert_id: int,
    caller: Caller,
    act: Callable[[], Alert],
    *,
    fields: Mapping[str, str] = _FIELD_OF,
) -> Response:
    """Do what a person asked for and show the alert, or say why not."""
    try:
        act()
    except AlertNotFound as error:
        raise NotVisible(str(error)) from error
    except CannotAcknowledge as error:
        if error.code == "not_allowed":
            raise exceptions.PermissionDenied(error.message) from error
        if error.code in fields:
            raise exceptions.ValidationError(
                {fields[error.code]: error.message}, code=error.code
            ) from error
        return problem_answer(409, error.code, error.message)
    row = visible_alerts(caller).values(*AlertRow.columns()).get(pk=alert_id)
    return Response(AlertRow(row).data)


def _digest_now(alert_id: int, caller: Caller) -> str:
    found = visible_alerts(caller).filter(pk=alert_id).values_list("state_digest", flat=True)
    return found.first() or ""


def _in_full(alert_id: int, caller: Caller) -> dict[str, Any]:
    row = (
        visible_alerts(caller)
        .filter(pk=alert_id)
        .values(*AlertInFull.columns(), "repository_id")
        .first()
    )
    if row is None:
        raise NotVisible(f"There is no alert {alert_id}, or it is not yours to see.")
    finding = visible_findings(caller).values(*FindingRow.columns()).get(pk=row["finding_id"])
    branch = (
        visible_branches(caller)
        .select_related("repository__watch", "repository__tenant")
        .filter(repository_id=row["repository_id"], name=row["branch"])
        .first()
    )
    matrix = matrix_values(coherence_matrix(branch, now=timezone.now())) if branch else None
    shown = {**row, "finding_in_full": FindingRow(finding).data, "coherence": matrix}
    return dict(AlertInFull(shown).data)
