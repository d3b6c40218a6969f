"""Policies over the API, to read: what is in force and why, and its history.

Checking, simulating and publishing lie in the app above: they know the rules and plan checks.
"""

from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import caller_of
from governance.api.policy_filters import PolicyVersionFilter
from governance.api.policy_serializers import (
    EffectiveParameters,
    EffectiveSerializer,
    VersionDetailSerializer,
    VersionSerializer,
)
from governance.models import PolicyVersion
from governance.selectors.policies import explain
from governance.selectors.policy_places import visible_versions
from governance.selectors.visible import repository_named
from governance.services.policy_reports import explanation_values
from reconciler_site.base.queries import StrictQuery


class EffectivePolicyView(StrictQuery):
    """The policy in force over a branch, or over a repository, and which layer set each value."""

    query_serializer = EffectiveParameters

    @extend_schema(
        parameters=[EffectiveParameters],
        responses=EffectiveSerializer,
    )
    def get(self, request: Request, tenant: str, repo: str) -> Response:
        """Return it."""
        repository = repository_named(caller_of(request), tenant=tenant, repo=repo)
        branch = self.query()["branch"]
        explanation = explain(repository.pk, branch)
        values = explanation_values(explanation)
        answer = {"tenant": tenant, "repo": repo, "branch": branch, **values}
        return Response(EffectiveSerializer(answer).data)


class PolicyVersionList(StrictQuery, generics.ListAPIView[PolicyVersion]):
    """Published versions, newest first: the site's, and those of the caller's tenants."""

    serializer_class = VersionSerializer
    filterset_class = PolicyVersionFilter

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        """Return what the caller may see."""
        return visible_versions(caller_of(self.request))


class PolicyVersionDetail(StrictQuery, generics.RetrieveAPIView[PolicyVersion]):
    """One published version with its document."""

    serializer_class = VersionDetailSerializer
    filter_backends = ()

    def get_queryset(self) -> QuerySet[PolicyVersion]:
        """Return what the caller may see."""
        return visible_versions(caller_of(self.request))


policy_urlpatterns = [
    path(
        "policies/effective/<str:tenant>/<str:repo>",
        EffectivePolicyView.as_view(),
        name="policy-effective",
    ),
    path("policies/versions/<int:pk>", PolicyVersionDetail.as_view(), name="policy-version"),
]
"""To be included below `api/v1/`. `policies/versions` itself is the app above's: it publishes."""
