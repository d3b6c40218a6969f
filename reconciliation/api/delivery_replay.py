"""Replays deliveries over the API: one, or those that a filter means; a dry run shows first."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id
from audit.domain.caller import caller_of
from governance.selectors.visible import NotVisible
from reconciler_site.base.bodies import BodySerializer, MomentField, body_of
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.base import accepted_work
from reconciliation.models import DeliveryOutcome
from reconciliation.selectors.deliveries import DeliveryChoice
from reconciliation.selectors.visible import visible_deliveries
from reconciliation.services.delivery_replay import (
    DEFAULT_CAP,
    LARGEST_CAP,
    MIN_REASON,
    NotAllowed,
    NothingChosen,
    ReasonTooShort,
    replay_deliveries,
)

_LARGEST_ID = 2**63 - 1
_QUEUED = ("planned", "requeued")


class ReplayOneBody(BodySerializer):
    """Why, and whether to change anything."""

    reason = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=1000,
        help_text=f"At least {MIN_REASON} characters, kept in the trail; a dry run needs none.",
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Show what would be planned and change nothing."
    )


class DeliveryChoiceBody(BodySerializer):
    """Which deliveries are meant; together. Something must narrow them."""

    delivery_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_LARGEST_ID),
        required=False,
        max_length=LARGEST_CAP,
    )
    tenant = serializers.CharField(required=False)
    repo = serializers.CharField(required=False)
    webhook_source = serializers.IntegerField(required=False, min_value=1, max_value=_LARGEST_ID)
    host_kind = serializers.CharField(required=False)
    event = serializers.CharField(required=False)
    outcome = serializers.ChoiceField(required=False, choices=DeliveryOutcome.choices)
    correlation_id = serializers.CharField(required=False)
    applied = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="False: not worked in yet."
    )
    since = MomentField(required=False, help_text="Received at or after.")
    until = MomentField(required=False, help_text="Received before.")


class ReplayManyBody(ReplayOneBody):
    """Which deliveries, why, and how many at most."""

    filter = DeliveryChoiceBody(help_text="Which deliveries are meant.")
    cap = serializers.IntegerField(
        default=DEFAULT_CAP, min_value=1, max_value=LARGEST_CAP, help_text="Replay at most so many."
    )


class ReplayedRow(serializers.Serializer[Any]):
    """What became of one delivery, or would become."""

    delivery = serializers.IntegerField()
    outcome = serializers.ChoiceField(
        choices=["planned", "requeued", "waiting", "nothing", "unreadable"],
        help_text=(
            "planned: an observation is queued. requeued: the dead one came back. waiting: it is on"
            " its way already. nothing: it asks for no work. unreadable: see reason."
        ),
    )
    reason = serializers.CharField()
    tenant = serializers.CharField()
    repo = serializers.CharField(help_text="Empty: no governed repository is meant.")
    subject = serializers.CharField(help_text="What the observation is about; empty: nothing.")
    branches = serializers.ListField(
        child=serializers.CharField(), help_text="What it announced something about."
    )
    task = serializers.IntegerField(allow_null=True, help_text="A dry run tells the last one.")
    correlation_id = serializers.CharField()


class ReplayAnswer(serializers.Serializer[Any]):
    """What a replay did, delivery by delivery, oldest first."""

    dry_run = serializers.BooleanField()
    deliveries = ReplayedRow(many=True)
    left = serializers.IntegerField(help_text="Chosen, but beyond the cap: ask again.")


_ANSWERS = {
    202: OpenApiResponse(ReplayAnswer, description="Work was queued; watch it at Location."),
    200: OpenApiResponse(ReplayAnswer, description="A dry run, or nothing to queue."),
}


class ReplayDelivery(StrictQuery):
    """Reads a delivery again as it was received and plans what it asks for now."""

    required_scope = "tasks"

    @extend_schema(operation_id="replay_delivery", request=ReplayOneBody, responses=_ANSWERS)
    def post(self, request: Request, delivery_id: int) -> Response:
        caller = caller_of(request)
        asked = body_of(ReplayOneBody, request)
        if not visible_deliveries(caller).filter(pk=delivery_id).exists():
            raise NotVisible(f"There is no delivery {delivery_id}, or it is not yours to see.")
        return _answer(request, DeliveryChoice(delivery_ids=(delivery_id,)), asked, cap=1)


class ReplayDeliveries(StrictQuery):
    """Replays the deliveries that a filter means, oldest first, up to a cap."""

    required_scope = "tasks"

    @extend_schema(operation_id="replay_deliveries", request=ReplayManyBody, responses=_ANSWERS)
    def post(self, request: Request) -> Response:
        asked = body_of(ReplayManyBody, request)
        chosen = dict(asked["filter"])
        ids = tuple(chosen.pop("delivery_ids", ()))
        choice = DeliveryChoice(delivery_ids=ids, **chosen)
        return _answer(request, choice, asked, cap=asked["cap"])


def _answer(
    request: Request, choice: DeliveryChoice, asked: Mapping[str, Any], *, cap: int
) -> Response:
    try:
        done = replay_deliveries(
            choice,
            caller=caller_of(request),
            reason=asked.get("reason", ""),
            correlation_id=current_correlation_id(),
            now=timezone.now(),
            cap=cap,
            dry_run=asked["dry_run"],
        )
    except NotAllowed as error:
        raise exceptions.PermissionDenied(str(error)) from error
    except ReasonTooShort as error:
        raise exceptions.ValidationError({"reason": str(error)}, code="reason_too_short") from error
    except NothingChosen as error:
        raise exceptions.ValidationError({"filter": str(error)}, code="required") from error
    queued = sorted({one.task for one in done.deliveries if one.task and one.outcome in _QUEUED})
    answer = ReplayAnswer(asdict(done)).data
    if done.dry_run or not queued:
        return Response(answer)
    return Response(answer, **accepted_work(queued, act=current_correlation_id()))
