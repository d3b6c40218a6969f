"""Dead letters over the API: grouped by cause, brought back or put away with a reason."""

from collections.abc import Callable, Mapping
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
from reconciler_site.base.bodies import BodySerializer, body_of
from reconciler_site.base.queries import QuerySerializer, StrictQuery
from reconciliation.api.base import accepted_work
from reconciliation.api.rows import shown_time
from reconciliation.models import TaskKind
from reconciliation.selectors.dead_letters import (
    DeadLetterCause,
    DeadLetterChoice,
    chosen_dead_letters,
    dead_letter_causes,
)
from reconciliation.services.dead_letters import (
    DEFAULT_CAP,
    LARGEST_CAP,
    MIN_REASON,
    Dealt,
    NotAllowed,
    ReasonTooShort,
    discard_dead_letters,
    requeue_dead_letters,
)

_LARGEST_ID = 2**63 - 1
_LONGEST = 300


class DeadLetterGroupBody(BodySerializer):
    """A group, as `GET dead-letters` names it."""

    error_class = serializers.CharField(max_length=_LONGEST)
    error_code = serializers.CharField(max_length=_LONGEST)
    host = serializers.CharField(max_length=_LONGEST, help_text="Of the clone URL, or `local`.")


class DeadLetterFilterBody(BodySerializer):
    """What dead letters have in common; together. Something must narrow them."""

    tenant = serializers.CharField(required=False, max_length=_LONGEST)
    workspace = serializers.CharField(required=False, max_length=_LONGEST)
    repo = serializers.CharField(required=False, max_length=_LONGEST)
    task_kind = serializers.ChoiceField(required=False, choices=TaskKind.choices)
    error_class = serializers.CharField(required=False, max_length=_LONGEST)
    error_code = serializers.CharField(required=False, max_length=_LONGEST)
    host = serializers.CharField(required=False, max_length=_LONGEST)


class DeadLetterParameters(QuerySerializer, DeadLetterFilterBody):
    """Which dead letters to group; none given: all of the caller's."""


class DealBody(BodySerializer):
    """Which dead letters (exactly one of `ids`, `group`, `filter`), why, and how many at most."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_LARGEST_ID),
        required=False,
        allow_empty=False,
        max_length=LARGEST_CAP,
        help_text="Tasks.",
    )
    group = DeadLetterGroupBody(required=False)
    filter = DeadLetterFilterBody(required=False)
    reason = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=1000,
        help_text=f"At least {MIN_REASON} characters, kept in the trail; a dry run needs none.",
    )
    cap = serializers.IntegerField(
        default=DEFAULT_CAP,
        min_value=1,
        max_value=LARGEST_CAP,
        help_text="Deal with at most so many.",
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Show which would be dealt with and change nothing."
    )

    def validate(self, attrs: Any) -> Any:
        """Refuse a body that says which in no way, in two ways, or by a filter of nothing."""
        given = [name for name in ("ids", "group", "filter") if name in attrs]
        if len(given) != 1:
            raise serializers.ValidationError(
                {"ids": ["Give exactly one of ids, group and filter."]}, code="one_of"
            )
        if given == ["filter"] and not attrs["filter"]:
            raise serializers.ValidationError(
                {"filter": ["Name something that narrows them: nobody means all by accident."]},
                code="required",
            )
        return attrs


class DeadLetterGroup(serializers.Serializer[Any]):
    """Dead letters with one cause on one host."""

    error_class = serializers.CharField(help_text="transient, throttled, terminal or poison")
    error_code = serializers.CharField()
    host = serializers.CharField(help_text="Of the clone URL, or `local`.")
    count = serializers.IntegerField()
    repositories = serializers.IntegerField()
    first_at = serializers.DateTimeField(help_text="When the first of them died.")
    last_at = serializers.DateTimeField()
    sample_task = serializers.IntegerField(help_text="The newest; see `tasks/{task_id}`.")
    sample_place = serializers.CharField()
    sample_error = serializers.CharField()
    probable_fix = serializers.CharField()


class DeadLetterGroups(serializers.Serializer[Any]):
    """All groups, most frequent first."""

    as_of = serializers.DateTimeField()
    count = serializers.IntegerField(help_text="Dead letters in all groups.")
    groups = DeadLetterGroup(many=True)


class DealtAnswer(serializers.Serializer[Any]):
    """What became of the dead letters, or would become."""

    dry_run = serializers.BooleanField()
    done = serializers.ListField(
        child=serializers.IntegerField(), help_text="Tasks dealt with, in canonical order."
    )
    refused = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="Requeued by people as often as they may; their cause needs mending.",
    )
    not_found = serializers.ListField(
        child=serializers.IntegerField(), help_text="Of `ids`: no dead letters of yours."
    )
    left = serializers.IntegerField(help_text="Chosen, but beyond the cap: ask again.")
    correlation_id = serializers.CharField(help_text="Of the act, in the trail.")


class DeadLetters(StrictQuery):
    """The caller's dead letters by cause: what they died of, and what would probably mend it."""

    query_serializer = DeadLetterParameters

    @extend_schema(
        operation_id="dead_letters", parameters=[DeadLetterParameters], responses=DeadLetterGroups
    )
    def get(self, request: Request) -> Response:
        causes = dead_letter_causes(caller_of(request), DeadLetterChoice(**self.query()))
        return Response(
            {
                "as_of": shown_time(timezone.now()),
                "count": sum(cause.count for cause in causes),
                "groups": [_group(cause) for cause in causes],
            }
        )


class RequeueDeadLetters(StrictQuery):
    """Gives dead letters a new series of attempts; run id, place and history stay."""

    required_scope = "tasks"

    @extend_schema(
        operation_id="requeue_dead_letters",
        request=DealBody,
        responses={
            202: OpenApiResponse(DealtAnswer, description="Queued again; watch at Location."),
            200: OpenApiResponse(DealtAnswer, description="A dry run, or nothing to queue."),
        },
    )
    def post(self, request: Request) -> Response:
        return _deal(request, requeue_dead_letters)


class DiscardDeadLetters(StrictQuery):
    """Puts dead letters away for good; they stay readable."""

    required_scope = "tasks"

    @extend_schema(operation_id="discard_dead_letters", request=DealBody, responses=DealtAnswer)
    def post(self, request: Request) -> Response:
        return _deal(request, discard_dead_letters)


def _group(cause: DeadLetterCause) -> dict[str, Any]:
    shown = asdict(cause)
    shown["sample_task"] = shown.pop("sample_id")
    shown["first_at"] = shown_time(cause.first_at)
    shown["last_at"] = shown_time(cause.last_at)
    return shown


def _deal(request: Request, act: Callable[..., Dealt]) -> Response:
    asked, caller = body_of(DealBody, request), caller_of(request)
    choice = _choice(asked)
    missing: list[int] = []
    if choice.task_ids:
        found = set(chosen_dead_letters(caller, choice).values_list("pk", flat=True))
        missing = sorted(set(choice.task_ids) - found)
        if not found:
            raise NotVisible("None of these is a dead letter of yours.")
    try:
        dealt = act(
            choice,
            caller=caller,
            reason=asked.get("reason", ""),
            correlation_id=current_correlation_id(),
            now=timezone.now(),
            cap=asked["cap"],
            dry_run=asked["dry_run"],
        )
    except NotAllowed as error:
        raise exceptions.PermissionDenied(str(error)) from error
    except ReasonTooShort as error:
        raise exceptions.ValidationError({"reason": str(error)}, code="reason_too_short") from error
    shown = {**asdict(dealt), "not_found": missing, "correlation_id": current_correlation_id()}
    answer = DealtAnswer(shown).data
    if dealt.dry_run or not dealt.done or act is not requeue_dead_letters:
        return Response(answer)
    return Response(answer, **accepted_work(dealt.done, act=current_correlation_id()))


def _choice(asked: Mapping[str, Any]) -> DeadLetterChoice:
    if "ids" in asked:
        return DeadLetterChoice(task_ids=tuple(asked["ids"]))
    return DeadLetterChoice(**(asked["group"] if "group" in asked else asked["filter"]))
