"""Policies over the API, to change: checking, simulating and publishing a document."""

from datetime import timedelta
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id
from audit.domain.caller import caller_of
from audit.domain.entries import Actor
from governance.api.policies import PolicyVersionList
from governance.api.policy_serializers import (
    DraftSerializer,
    PlanSerializer,
    PublishSerializer,
)
from governance.domain.policy_text import PolicyText, check_policy, read_policy
from governance.selectors.policy_places import NoSuchPlace, PolicyPlace, policy_place
from governance.services.policy_approval import NotAnApprover, approver_by_token
from governance.services.policy_planning import PolicyRefused, plan_version
from governance.services.policy_publishing import (
    ApprovalNeeded,
    BadReason,
    PolicyChangedMeanwhile,
)
from governance.services.policy_reports import plan_values, problem_values, published_values
from reconciler_site.base.bodies import body_of
from reconciler_site.base.problems import problem_answer
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.policy_serializers import (
    RolloutSerializer,
    SimulateSerializer,
    SimulationSerializer,
)
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.models import Origin
from reconciliation.services.policy_rollout import publish_policy
from reconciliation.services.simulation import simulate
from reconciliation.services.simulation_judging import Against
from reconciliation.services.simulation_reports import simulation_values

APPROVAL_HEADER = "X-Approval-Token"


class PolicyVersions(PolicyVersionList):
    """Published versions, newest first: the site's, and those of the caller's tenants."""

    @extend_schema(
        request=PublishSerializer,
        parameters=[
            OpenApiParameter(
                APPROVAL_HEADER,
                location=OpenApiParameter.HEADER,
                description="Token of a second person; needed to loosen a floor.",
            )
        ],
        responses={200: RolloutSerializer, 201: RolloutSerializer},
    )
    def post(self, request: Request) -> Response:
        """Publish the next version of a layer; 200 when the same document is in force already."""
        asked = body_of(PublishSerializer, request)
        place = _place(request, asked)
        now = timezone.now()
        try:
            rollout = publish_policy(
                _text(asked),
                place=place,
                author=caller_of(request).actor,
                approved_by=_approver(request, place, now=now),
                reason=asked["reason"],
                expected_version=asked["expected_version"],
                origin=Origin.API,
                correlation_id=current_correlation_id(),
                now=now,
            )
        except PolicyRefused as refused:
            return _refused(refused)
        except (ApprovalNeeded, NotAnApprover) as missing:
            return _not_approved(missing)
        except PolicyChangedMeanwhile as changed:
            return problem_answer(409, "policy_changed", str(changed))
        except BadReason as error:
            raise exceptions.ValidationError({"reason": str(error)}) from error
        published = rollout.published
        answer = RolloutSerializer({**published_values(published), "rollout": rollout.numbers})
        return Response(answer.data, status=201 if published.is_new else 200)


class PolicyCheck(StrictQuery):
    """Says what publishing a document would do, and publishes nothing."""

    required_scope = "read"

    @extend_schema(request=DraftSerializer, responses=PlanSerializer)
    def post(self, request: Request) -> Response:
        """Return the plan, or what is wrong with the document."""
        asked = body_of(DraftSerializer, request)
        try:
            plan = plan_version(_text(asked), place=_place(request, asked))
        except PolicyRefused as refused:
            return _refused(refused)
        return Response(PlanSerializer(plan_values(plan)).data)


class PolicySimulate(StrictQuery):
    """Says what a draft would have decided otherwise in the last days, and publishes nothing."""

    required_scope = "read"

    @extend_schema(request=SimulateSerializer, responses=SimulationSerializer)
    def post(self, request: Request) -> Response:
        """Return findings and alerts gained and lost, or what is wrong with the document."""
        asked = body_of(SimulateSerializer, request)
        now = timezone.now()
        try:
            found = simulate(
                plan_version(_text(asked), place=_place(request, asked)),
                since=now - timedelta(days=asked["days"]),
                until=now,
                against=Against(asked["against"]),
                most_evaluations=asked["most_evaluations"],
            )
        except PolicyRefused as refused:
            return _refused(refused)
        return Response(SimulationSerializer(simulation_values(found)).data)


def _place(request: Request, asked: dict[str, Any]) -> PolicyPlace:
    caller = caller_of(request)
    tenant = asked["target"].partition("/")[0]
    # Told alike whether it is missing or somebody else's; what concerns all needs a caller of all.
    if not (caller.may_see(tenant) if tenant else caller.tenants is None):
        raise exceptions.NotFound(f"There is no {tenant or 'site'}, or it is not yours to see.")
    try:
        return policy_place(
            layer=asked["layer"], target=asked["target"], branch_pattern=asked["branch_pattern"]
        )
    except NoSuchPlace as error:
        raise exceptions.NotFound(str(error)) from error


def _text(asked: dict[str, Any]) -> PolicyText:
    if "text" in asked:
        return read_policy(
            asked["text"], file=asked["file"], layer=asked["layer"], rules=RULE_WEIGHTS
        )
    return check_policy(asked["document"], layer=asked["layer"], rules=RULE_WEIGHTS)


def _approver(request: Request, place: PolicyPlace, *, now: Any) -> Actor | None:
    clear = request.headers.get(APPROVAL_HEADER, "").strip()
    return approver_by_token(clear, tenant=place.tenant_slug, now=now) if clear else None


def _refused(refused: PolicyRefused) -> Response:
    count = len(refused.problems)
    detail = f"The policy cannot be published: {count} {'error' if count == 1 else 'errors'}."
    return problem_answer(400, "policy_invalid", detail, errors=problem_values(refused.problems))


def _not_approved(missing: ApprovalNeeded | NotAnApprover) -> Response:
    if isinstance(missing, NotAnApprover):
        return problem_answer(403, "not_an_approver", str(missing))
    detail = f"{missing} Send their API token as {APPROVAL_HEADER}."
    errors = [
        {"pointer": "/floors", "code": "loosened_floor", "detail": key} for key in missing.floors
    ]
    return problem_answer(403, "approval_needed", detail, errors=errors)


policy_urlpatterns = [
    path("policies/versions", PolicyVersions.as_view(), name="policy-versions"),
    path("policies/check", PolicyCheck.as_view(), name="policy-check"),
    path("policies/simulate", PolicySimulate.as_view(), name="policy-simulate"),
]
"""To be included below `api/v1/`."""
