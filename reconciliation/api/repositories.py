"""Repositories over the API: the list, one of them, and a request to read its heads now."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id, is_well_formed
from audit.domain.caller import Caller, caller_of
from governance.selectors.branch_facts import repositories_by_id
from governance.selectors.visible import Repository, repository_named, visible_repositories
from reconciler_site.base.bodies import BodySerializer, EmptyBody, body_of
from reconciler_site.base.problems import problem_answer
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.base import RowList
from reconciliation.api.rows import RowSerializer
from reconciliation.api.webhook_health import WebhooksOfRepository, webhooks_values
from reconciliation.filters import RepositoryFilter
from reconciliation.models import Origin
from reconciliation.selectors.counts import troubles_of
from reconciliation.selectors.visible import visible_tasks
from reconciliation.selectors.webhook_health import webhook_health
from reconciliation.services.default_branches import (
    DefaultBranchMoved,
    NotAllowed,
    NothingToAccept,
    ReasonTooShort,
    accept_default_branch,
)
from reconciliation.services.intake import request_observation

IDEMPOTENCY_HEADER = "Idempotency-Key"


class RepositoryRow(RowSerializer):
    """One repository, how fresh the picture of it is, and what is open on it."""

    computed = frozenset({"unresolved_alerts", "open_findings", "worst_severity", "percent_missed"})

    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant__slug")
    workspace = serializers.CharField(source="workspace__slug")
    repo = serializers.CharField(source="slug")
    host_kind = serializers.CharField()
    host_repository_id = serializers.CharField(help_text="The host's stable id; may be empty.")
    full_name = serializers.CharField()
    clone_url = serializers.CharField()
    web_url = serializers.CharField()
    default_branch = serializers.CharField(help_text="Where HEAD points now.")
    governed_default_branch = serializers.CharField(
        help_text="The default branch that governance accepted; both count as default."
    )
    is_active = serializers.BooleanField(help_text="False: kept, but no longer reconciled.")
    connected_at = serializers.DateTimeField()
    observed_at = serializers.DateTimeField(
        allow_null=True, help_text="When all heads were last read; null: never."
    )
    heads_count = serializers.IntegerField()
    heads_digest = serializers.CharField(help_text="SHA-256 over the heads.")
    next_due_at = serializers.DateTimeField(
        source="watch__next_due_at", allow_null=True, help_text="When a sweep reads it next."
    )
    last_swept_at = serializers.DateTimeField(source="watch__last_swept_at", allow_null=True)
    last_read_at = serializers.DateTimeField(source="watch__last_read_at", allow_null=True)
    last_delivery_at = serializers.DateTimeField(source="watch__last_delivery_at", allow_null=True)
    failing_since = serializers.DateTimeField(
        source="watch__failing_since",
        allow_null=True,
        help_text="Not null: it cannot be read, and its branches are unknown.",
    )
    consecutive_failures = serializers.IntegerField(
        source="watch__consecutive_failures", allow_null=True
    )
    last_error_code = serializers.CharField(source="watch__last_error_code", allow_null=True)
    last_error = serializers.CharField(source="watch__last_error", allow_null=True)
    changes_by_webhook = serializers.IntegerField(
        source="watch__changes_by_webhook",
        allow_null=True,
        help_text="Head changes that a webhook told of first.",
    )
    changes_by_sweep = serializers.IntegerField(
        source="watch__changes_by_sweep",
        allow_null=True,
        help_text="Head changes that a sweep saw first: their webhook was missing or late.",
    )
    percent_missed = serializers.IntegerField(
        allow_null=True, help_text="Share of changes seen by a sweep first; null: none yet."
    )
    unresolved_alerts = serializers.IntegerField()
    open_findings = serializers.IntegerField()
    worst_severity = serializers.CharField(help_text="Of its unresolved alerts; empty: none.")


class Accepted(serializers.Serializer[Any]):
    """Work was planned; ask for the task, or for the trace of the correlation id."""

    task = serializers.IntegerField()
    correlation_id = serializers.CharField(
        help_text="Of the task's trace: that of the first call when this one repeats it."
    )


class RepositoryList(RowList):
    """The caller's repositories by tenant and name."""

    serializer_class = RepositoryRow
    filterset_class = RepositoryFilter
    keyset = ("tenant__slug", "slug")

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_repositories(caller)

    def enrich(self, rows: Sequence[dict[str, Any]], caller: Caller) -> None:
        """Add what is open on each repository."""
        add_troubles(rows, caller)


class RepositoryInFull(RepositoryRow):
    """A repository with the health of its webhook."""

    computed = RepositoryRow.computed | {"webhooks"}

    webhooks = WebhooksOfRepository()


class RepositoryDetail(StrictQuery):
    """One repository."""

    @extend_schema(responses=RepositoryInFull)
    def get(self, request: Request, tenant: str, repo: str) -> Response:
        caller = caller_of(request)
        return _in_full(repository_named(caller, tenant=tenant, repo=repo), caller)


class AcceptDefaultBranchBody(BodySerializer):
    """Which default branch a person accepts, and why."""

    expected_default_branch = serializers.CharField(
        max_length=1000,
        trim_whitespace=False,
        help_text="`default_branch` as it was read.",
    )
    reason = serializers.CharField(max_length=1000, help_text="At least 10 characters.")


class AcceptDefaultBranch(StrictQuery):
    """Accepts the default branch that HEAD names because a person says so."""

    required_scope = "admin"

    @extend_schema(request=AcceptDefaultBranchBody, responses=RepositoryInFull)
    def post(self, request: Request, tenant: str, repo: str) -> Response:
        caller = caller_of(request)
        asked = body_of(AcceptDefaultBranchBody, request)
        repository = repository_named(caller, tenant=tenant, repo=repo)
        try:
            accept_default_branch(
                repository.pk,
                expected=asked["expected_default_branch"],
                caller=caller,
                reason=asked["reason"],
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        except NotAllowed as error:
            raise exceptions.PermissionDenied(str(error)) from error
        except ReasonTooShort as error:
            raise exceptions.ValidationError(
                {"reason": str(error)}, code="reason_too_short"
            ) from error
        except DefaultBranchMoved as error:
            return problem_answer(409, "default_branch_moved", str(error))
        except NothingToAccept as error:
            return problem_answer(409, "nothing_to_accept", str(error))
        return _in_full(repository, caller)


class ReconcileRepository(StrictQuery):
    """Asks for all heads of a repository to be read now, and for checks of what moved.

    With the same Idempotency-Key it is the same task; one that ended is worked once more.
    """

    required_scope = "tasks"

    @extend_schema(
        request=None,
        parameters=[
            OpenApiParameter(
                IDEMPOTENCY_HEADER,
                location=OpenApiParameter.HEADER,
                description="8-64 letters, digits or ._:- chosen by the caller.",
            )
        ],
        responses={202: OpenApiResponse(Accepted, description="Planned; see Location.")},
    )
    def post(self, request: Request, tenant: str, repo: str) -> Response:
        body_of(EmptyBody, request)
        caller = caller_of(request)
        repository = repository_named(caller, tenant=tenant, repo=repo)
        if not repository.is_active:
            return problem_answer(
                409, "inactive", f"{tenant}/{repo} is switched off; activate it first."
            )
        correlation_id = current_correlation_id()
        task = request_observation(
            repositories_by_id([repository.pk])[repository.pk],
            about=f"request {_key(request) or correlation_id}",
            origin=Origin.API,
            correlation_id=correlation_id,
            now=timezone.now(),
        )
        return accepted(task, caller)


def _in_full(repository: Repository, caller: Caller) -> Response:
    rows = list(
        visible_repositories(caller).filter(pk=repository.pk).values(*RepositoryInFull.columns())
    )
    add_troubles(rows, caller)
    health = webhook_health(repository, caller, now=timezone.now())
    return Response(RepositoryInFull({**rows[0], "webhooks": webhooks_values(health)}).data)


def accepted(task: int, caller: Caller) -> Response:
    """Return 202 with the task that was planned and where to look."""
    row = visible_tasks(caller).values("id", "correlation_id").get(pk=task)
    return Response(
        {"task": row["id"], "correlation_id": row["correlation_id"]},
        status=202,
        headers={"Location": reverse("api-task", kwargs={"task_id": task})},
    )


def add_troubles(rows: Sequence[dict[str, Any]], caller: Caller) -> None:
    """Add to rows of repositories what is open on them."""
    troubles = troubles_of(caller, [row["id"] for row in rows])
    for row in rows:
        here = troubles[row["id"]]
        row["unresolved_alerts"] = here.alerts
        row["open_findings"] = here.findings
        row["worst_severity"] = here.worst
        by_sweep = row["watch__changes_by_sweep"] or 0
        changes = by_sweep + (row["watch__changes_by_webhook"] or 0)
        row["percent_missed"] = round(100 * by_sweep / changes) if changes else None


def _key(request: Request) -> str:
    key = request.headers.get(IDEMPOTENCY_HEADER, "").strip()
    if key and not is_well_formed(key):
        raise exceptions.ValidationError(
            {IDEMPOTENCY_HEADER: "Use 8-64 letters, digits or ._:- and begin with no sign."}
        )
    return key
