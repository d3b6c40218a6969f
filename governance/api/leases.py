"""Leases over the API: acquire, heartbeat, release, break, check, list; decides nothing itself."""

import secrets
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id, new_correlation_id
from audit.domain.caller import caller_of
from governance.api import lease_examples as examples
from governance.api.lease_filters import LeaseFilter
from governance.api.lease_problems import lease_refusals_as_problems
from governance.api.serializers_leases import (
    AcquireSerializer,
    AddressQuery,
    BreakSerializer,
    CheckAnswerSerializer,
    CheckSerializer,
    GrantSerializer,
    HeartbeatSerializer,
    LeaseAnswerSerializer,
    LeaseSerializer,
    ReleaseSerializer,
)
from governance.domain.lease_scopes import lease_claim
from governance.domain.leases import Owner, renew_after
from governance.domain.policy import Policy
from governance.domain.refs import InvalidRef, branch_name, is_null_sha, sha
from governance.models import Lease, Repository
from governance.selectors.leases import lease_named, leases_for
from governance.selectors.visible import repository_named
from governance.services.leases import (
    acquire_lease,
    break_lease,
    check_lease,
    heartbeat_lease,
    release_lease,
    safe_push_for,
)
from governance.services.policies import load_policies
from reconciler_site.base.bodies import body_of
from reconciler_site.base.queries import StrictQuery

_PROBLEMS = {
    400: OpenApiResponse(description="`invalid`: something is missing or cannot be."),
    403: OpenApiResponse(description="`not_the_holder`, or the scope is missing."),
    404: OpenApiResponse(description="`not_found`: unknown, or another tenant's."),
}
_ENDED = {410: OpenApiResponse(description="`lease_ended`: acquire a new one.")}
_IN_THE_WAY = {
    409: OpenApiResponse(
        description="`lease_already_held` or `lock_delayed`, both with Retry-After in seconds; or"
        " `lease_id_taken`.",
        examples=[examples.HELD],
    )
}


class Leases(StrictQuery, generics.ListAPIView[Lease]):
    """Leases of the caller's tenants, newest first."""

    required_scopes = {"GET": "read", "POST": "leases"}
    serializer_class = LeaseSerializer
    filterset_class = LeaseFilter

    def get_queryset(self) -> QuerySet[Lease]:
        """Return what the caller may see."""
        return leases_for(caller_of(self.request))

    @extend_schema(
        request=AcquireSerializer,
        responses={
            201: GrantSerializer,
            200: GrantSerializer,
            **_PROBLEMS,
            **_IN_THE_WAY,
            **_ENDED,
        },
        examples=[examples.ACQUIRE, examples.ACQUIRE_PATHS, examples.GRANTED],
    )
    def post(self, request: Request) -> Response:
        """Acquire a lease: 201 when granted now, 200 when this very request was granted before."""
        asked = body_of(AcquireSerializer, request)
        repository, now = _repository(request, asked), timezone.now()
        made_token = "" if asked["holder_token"] else f"rlh_{secrets.token_urlsafe(32)}"
        with lease_refusals_as_problems():
            claim = lease_claim(scope=asked["scope"], branch=asked["branch"], paths=asked["paths"])
            policy = _policy(repository, claim.branch)
            grant = acquire_lease(
                repository,
                claim=claim,
                owner=Owner(**asked["owner"]),
                lease_id=asked["lease_id"] or f"lse_{new_correlation_id()}",
                token=made_token or asked["holder_token"],
                ttl_seconds=asked["ttl_seconds"],
                run_id=asked["run_id"],
                rules=policy.lease,
                caller=caller_of(request),
                correlation_id=current_correlation_id(),
                policy_version=policy.digest,
                now=now,
            )
        values = _answer_values(grant.lease, policy=policy, now=now)
        if made_token:
            values["holder_token"] = made_token
        return Response(values, status=201 if grant.is_new else 200)


class LeaseDetail(StrictQuery):
    """One lease."""

    required_scope = "read"
    query_serializer = AddressQuery

    @extend_schema(parameters=[AddressQuery], responses={200: LeaseAnswerSerializer, **_PROBLEMS})
    def get(self, request: Request, lease_id: str) -> Response:
        """Return the lease, held or ended."""
        repository = _repository(request, self.query())
        lease = _lease(request, repository, lease_id)
        policy = _policy(repository, lease.branch)
        return Response(_answer_values(lease, policy=policy, now=timezone.now()))


class LeaseHeartbeat(StrictQuery):
    """Signs of life of a holder."""

    required_scope = "leases"

    @extend_schema(
        request=HeartbeatSerializer,
        responses={200: LeaseAnswerSerializer, **_PROBLEMS, **_ENDED},
    )
    def post(self, request: Request, lease_id: str) -> Response:
        """Prove life and extend the lease to a full TTL, up to its total-life cap."""
        asked = body_of(HeartbeatSerializer, request)
        repository, now = _repository(request, asked), timezone.now()
        policy = _policy(repository, _lease(request, repository, lease_id).branch)
        with lease_refusals_as_problems():
            lease = heartbeat_lease(
                repository,
                lease_id,
                token=asked["holder_token"],
                rules=policy.lease,
                caller=caller_of(request),
                correlation_id=current_correlation_id(),
                now=now,
            )
        return Response(_answer_values(lease, policy=policy, now=now))


class LeaseRelease(StrictQuery):
    """Leases given back."""

    required_scope = "leases"

    @extend_schema(
        request=ReleaseSerializer, responses={200: LeaseSerializer, **_PROBLEMS, **_ENDED}
    )
    def post(self, request: Request, lease_id: str) -> Response:
        """Give a lease back; the place is free at once. Repeating it changes nothing."""
        asked = body_of(ReleaseSerializer, request)
        repository = _repository(request, asked)
        with lease_refusals_as_problems():
            lease = release_lease(
                repository,
                lease_id,
                token=asked["holder_token"],
                caller=caller_of(request),
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        return Response(LeaseSerializer(lease).data)


class LeaseBreak(StrictQuery):
    """Leases ended against their holders' will."""

    required_scope = "admin"

    @extend_schema(request=BreakSerializer, responses={200: LeaseSerializer, **_PROBLEMS, **_ENDED})
    def post(self, request: Request, lease_id: str) -> Response:
        """Break a lease; its running runs are abandoned, its place stays locked for a moment."""
        asked = body_of(BreakSerializer, request)
        repository = _repository(request, asked)
        with lease_refusals_as_problems():
            lease = break_lease(
                repository,
                lease_id,
                reason=asked["reason"],
                caller=caller_of(request),
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        return Response(LeaseSerializer(lease).data)


class LeaseCheck(StrictQuery):
    """Answers for gates: pre-push hooks and CI."""

    required_scope = "leases"

    @extend_schema(
        request=CheckSerializer,
        responses={200: CheckAnswerSerializer, **_PROBLEMS},
        examples=[examples.CHECK, examples.REFUSED],
    )
    def post(self, request: Request) -> Response:
        """Say whether the holder of a fencing token may write a branch now, and if not, why.

        A refusal is an answer, so its status is 200 as well: look at `allowed`.
        """
        asked = body_of(CheckSerializer, request)
        repository, now = _repository(request, asked), timezone.now()
        with lease_refusals_as_problems():
            branch = branch_name(asked["branch"])
            decision = check_lease(
                repository,
                branch=branch,
                fencing_token=asked["fencing_token"],
                token=asked["holder_token"],
                sha=_sha(asked["sha"]),
                paths=asked["paths"],
                caller=caller_of(request),
                correlation_id=current_correlation_id(),
                now=now,
            )
        lease = decision.lease
        answer = {
            "allowed": decision.allowed,
            "reason": decision.reason.value,
            "detail": decision.detail,
            "lease_id": lease.lease_id if lease else "",
            "owner": lease.owner if lease else None,
            "fencing_token": lease.fencing_token if lease else None,
            "expires_at": lease.expires_at if lease else None,
            "server_time": now,
            "push_command": safe_push_for(repository, branch) if decision.allowed else "",
        }
        return Response(CheckAnswerSerializer(answer).data)


def _repository(request: Request, asked: dict[str, Any]) -> Repository:
    caller, tenant = caller_of(request), asked["tenant"]
    if not tenant:
        if caller.tenants is None or len(caller.tenants) != 1:
            raise exceptions.ValidationError(
                {"tenant": "You see several tenants: say which one is meant."}
            )
        (tenant,) = caller.tenants
    return repository_named(caller, tenant=tenant, repo=asked["repo"])


def _lease(request: Request, repository: Repository, lease_id: str) -> Lease:
    lease = lease_named(caller_of(request), repository, lease_id=lease_id)
    if lease is None:
        raise exceptions.NotFound(f"There is no lease {lease_id} in {repository.slug}.")
    return lease


def _policy(repository: Repository, branch: str) -> Policy:
    return load_policies([repository.pk]).for_branch(repository.pk, branch)


def _sha(text: str | None) -> str | None:
    try:
        return text if text is None or is_null_sha(text) else sha(text)
    except InvalidRef as error:
        raise exceptions.ValidationError({"sha": str(error)}) from error


def _answer_values(lease: Lease, *, policy: Policy, now: datetime) -> dict[str, Any]:
    due_at = renew_after(
        lease.expires_at,
        ttl_seconds=lease.ttl_seconds,
        renew_at_ttl_fraction=policy.lease.renew_at_ttl_fraction,
    )
    show = serializers.DateTimeField().to_representation
    return {
        **LeaseSerializer(lease).data,
        "server_time": show(now),
        "renew_after": show(due_at),
        "push_command": safe_push_for(lease.repository, lease.branch) if lease.branch else "",
    }
