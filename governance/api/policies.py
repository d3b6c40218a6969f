"""Policies over the API, to read: what is in force and why, and its history.

Checking, simulating and publishing lie in the app above: they know the rules and plan checks.
"""

from typing import Any

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.domain.caller import NOBODY, Caller
from governance.api.policy_serializers import (
    EffectiveSerializer,
    VersionDetailSerializer,
    VersionSerializer,
)
from governance.models import PolicyVersion
from governance.selectors.policies import explain
from governance.selectors.policy_places import visible_versions
from governance.selectors.visible import repository_named
from governance.services.policy_reports import explanation_values


class EffectivePolicyView(APIView):
    """The policy in force over a branch, or over a repository, and which layer set each value."""

    @extend_schema(
        parameters=[OpenApiParameter("branch", description="Empty: the repository itself.")],
        responses=EffectiveSerializer,
    )
    def get(self, request: Request, tenant: str, repo: str) -> Response:
        """Return it."""
        repository = repository_named(_caller(request), tenant=tenant, repo=repo)
        branch = request.query_params.get("branch", "")
        explanation = explain(repository.pk, branch)
        values = explanation_values(explanation)
        answer = {"tenant": tenant, "repo": repo, "branch": branch, **values}
        return Response(EffectiveSerializer(answer).data)


class PolicyVersionList(generics.ListAPIView[PolicyVersion]):
    """Published versions, newest first: the site's, and those of the caller's tenants."""

    serializer_class = VersionSerializer
    filterset_fields = ("layer", "target", "branch_pattern")

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        """Return what the caller may see."""
        return visible_versions(_caller(self.request))


class PolicyVersionDetail(generics.RetrieveAPIView[PolicyVersion]):
    """One published version with its document."""

    serializer_class = VersionDetailSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        """Return what the caller may see."""
        return visible_versions(_caller(self.request))


def _caller(request: Any) -> Caller:
    # The schema generator asks for querysets without a caller.
    caller = getattr(request, "auth", None)
    return caller if isinstance(caller, Caller) else NOBODY


policy_urlpatterns = [
    path(
        "policies/effective/<str:tenant>/<str:repo>",
        EffectivePolicyView.as_view(),
        name="policy-effective",
    ),
    path("policies/versions/<int:pk>", PolicyVersionDetail.as_view(), name="policy-version"),
]
"""To be included below `api/v1/`. `policies/versions` itself is the app above's: it publishes."""
