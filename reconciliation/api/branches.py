"""Branches over the API: lists, one with its coherence matrix, and accepting a head.

A branch name holds slashes and any letter. In an address it is the rest of the path,
percent-encoded as UTF-8 (slashes may stay); in a body or a query it is itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id
from audit.domain.caller import Caller, caller_of
from governance.selectors.visible import (
    Branch,
    branch_named,
    leases_over,
    repository_named,
    runs_of,
    visible_branches,
)
from reconciler_site.base.bodies import BodySerializer, body_of
from reconciler_site.base.problems import problem_answer
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.alerts import AlertRow
from reconciliation.api.findings import FindingRow
from reconciliation.api.matrix import CoherenceSerializer, matrix_values
from reconciliation.api.retirement import (
    PushSerializer,
    RetirementSerializer,
    retirement_values,
)
from reconciliation.api.rows import RowSerializer, shown_rows, shown_time
from reconciliation.api.runs import RunRow
from reconciliation.filters import BranchFilter
from reconciliation.models import Finding, TaskState
from reconciliation.selectors.branches import drift_of, presence_of
from reconciliation.selectors.coherence import coherence_matrix
from reconciliation.selectors.counts import open_findings_of, worst_of
from reconciliation.selectors.retirement import retirement_of
from reconciliation.selectors.visible import visible_alerts, visible_findings, visible_tasks
from reconciliation.services.snapshots import (
    HeadMoved,
    NotAllowed,
    NothingToAccept,
    ReasonTooShort,
    accept_head,
)

_NEWEST = 25


class BranchSerializer(serializers.Serializer[Any]):
    """One branch with its two heads."""

    id = serializers.IntegerField()
    tenant = serializers.CharField()
    workspace = serializers.CharField()
    repo = serializers.CharField()
    name = serializers.CharField(help_text="Exactly as git has it, without refs/heads/.")
    branch_class = serializers.CharField(help_text="default, protected, governed or other")
    drift = serializers.CharField(
        help_text="in_sync, fast_forward, rewound, rewritten, unrelated, deleted, recreated,"
        " created, or unknown: never in_sync when it cannot be told."
    )
    open_findings = serializers.IntegerField()
    worst_severity = serializers.CharField(help_text="Of its open findings; empty: none.")
    governed_head = serializers.CharField(allow_null=True)
    governed_at = serializers.DateTimeField(allow_null=True)
    governed_by = serializers.CharField(help_text="run:<id>, user:<name> or connect")
    observed_head = serializers.CharField(allow_null=True, help_text="null: gone, or never seen.")
    observed_at = serializers.DateTimeField(
        allow_null=True, help_text="When the head was first seen at this value."
    )
    announced_by = serializers.CharField(help_text="webhook, sweep, manual, or empty")
    previous_head = serializers.CharField(allow_null=True)
    pusher = serializers.CharField()
    head_changes = serializers.IntegerField()
    presence = serializers.CharField(
        help_text="present, gone, recreated (there again after it was gone) or never_seen"
    )
    gone_at = serializers.DateTimeField(
        allow_null=True, help_text="Since when it is gone; null unless `presence` is gone."
    )
    first_seen_at = serializers.DateTimeField()
    last_activity_at = serializers.DateTimeField(allow_null=True)
    as_of = serializers.DateTimeField(
        allow_null=True, help_text="When the heads of the repository were last read."
    )


class HeldLease(RowSerializer):
    """A held lease over a branch; its holder's token is known to the holder only."""

    lease_id = serializers.CharField()
    scope = serializers.CharField()
    branch = serializers.CharField(help_text="Empty: the whole repository.")
    paths = serializers.ListField(child=serializers.CharField())
    user_id = serializers.CharField()
    device_id = serializers.CharField()
    agent_id = serializers.CharField()
    run_id = serializers.CharField()
    fencing_token = serializers.IntegerField()
    acquired_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    last_heartbeat_at = serializers.DateTimeField()


class BranchInFull(BranchSerializer):
    """One branch with all that is known of it."""

    coherence = CoherenceSerializer()
    findings = FindingRow(many=True, help_text="Open ones, newest first, at most 25.")
    alerts = AlertRow(many=True, help_text="Newest first, at most 25.")
    leases = HeldLease(many=True, help_text="Held ones that cover it.")
    runs = RunRow(many=True, help_text="Newest first, at most 25.")
    pushes = PushSerializer(
        many=True,
        help_text="Since the heads last agreed, oldest first, the newest 50; empty when they do.",
    )
    retirement = RetirementSerializer(allow_null=True, help_text="null: never checked.")
    next_check_at = serializers.DateTimeField(allow_null=True)
    last_check_at = serializers.DateTimeField(allow_null=True)


class AcceptHeadBody(BodySerializer):
    """Which head a person accepts as governed, and why."""

    branch = serializers.CharField(max_length=1000, trim_whitespace=False)
    expected_head = serializers.CharField(
        max_length=64,
        allow_blank=True,
        help_text="`observed_head` as it was read; empty to accept that the branch is gone.",
    )
    reason = serializers.CharField(max_length=1000, help_text="At least 10 characters.")


class BranchList(StrictQuery, generics.ListAPIView[Branch]):
    """Branches of all the caller's repositories, in the order in which they were first seen."""

    serializer_class = BranchSerializer
    filterset_class = BranchFilter
    keyset: tuple[str, ...] = ("id",)

    def get_queryset(self) -> QuerySet[Branch]:
        """Return what the caller may see."""
        return visible_branches(caller_of(self.request)).select_related(
            "repository__tenant", "repository__workspace", "repository__watch"
        )

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one page, in two queries."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        branches: list[Branch] = list(page or [])
        findings = open_findings_of(caller_of(request), branches)
        lines = [
            branch_values(branch, findings.get((branch.repository_id, branch.name), []))
            for branch in branches
        ]
        return self.get_paginated_response(lines)


class BranchesOfRepository(BranchList):
    """Branches of one repository by name, in code-point order."""

    keyset = ("name",)

    def get_queryset(self) -> QuerySet[Branch]:
        """Return the branches of the repository in the address."""
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        repository = repository_named(
            caller_of(self.request), tenant=self.kwargs["tenant"], repo=self.kwargs["repo"]
        )
        return super().get_queryset().filter(repository_id=repository.pk)


class BranchDetail(StrictQuery):
    """One branch with its coherence matrix."""

    @extend_schema(responses=BranchInFull)
    def get(self, request: Request, tenant: str, repo: str, branch: str) -> Response:
        caller = caller_of(request)
        row = branch_named(caller, tenant=tenant, repo=repo, branch=branch)
        return Response(_in_full(row, caller, now=timezone.now()))


class AcceptHead(StrictQuery):
    """Makes the observed head the governed one because a person says so; findings close by it."""

    required_scope = "admin"

    @extend_schema(request=AcceptHeadBody, responses=BranchInFull)
    def post(self, request: Request, tenant: str, repo: str) -> Response:
        caller, now = caller_of(request), timezone.now()
        asked = body_of(AcceptHeadBody, request)
        row = branch_named(caller, tenant=tenant, repo=repo, branch=asked["branch"])
        try:
            accept_head(
                row.repository_id,
                row.name,
                expected_head=asked["expected_head"],
                caller=caller,
                reason=asked["reason"],
                correlation_id=current_correlation_id(),
                now=now,
            )
        except NotAllowed as error:
            raise exceptions.PermissionDenied(str(error)) from error
        except ReasonTooShort as error:
            raise exceptions.ValidationError(
                {"reason": str(error)}, code="reason_too_short"
            ) from error
        except HeadMoved as error:
            return problem_answer(409, "head_moved", str(error))
        except NothingToAccept as error:
            return problem_answer(409, "nothing_to_accept", str(error))
        accepted = branch_named(caller, tenant=tenant, repo=repo, branch=row.name)
        return Response(_in_full(accepted, caller, now=now))


def branch_values(branch: Branch, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return a branch as JSON values."""
    repository = branch.repository
    return {
        "id": branch.pk,
        "tenant": repository.tenant.slug,
        "workspace": repository.workspace.slug,
        "repo": repository.slug,
        "name": branch.name,
        "branch_class": branch.branch_class,
        "drift": drift_of(branch, findings),
        "open_findings": len(findings),
        "worst_severity": worst_of([finding.severity for finding in findings]),
        "governed_head": branch.governed_head,
        "governed_at": shown_time(branch.governed_at),
        "governed_by": branch.governed_by,
        "observed_head": branch.observed_head,
        "observed_at": shown_time(branch.observed_at),
        "announced_by": branch.announced_by,
        "previous_head": branch.previous_head,
        "pusher": branch.pusher,
        "head_changes": branch.head_changes,
        "presence": presence_of(branch),
        "gone_at": shown_time(None if branch.observed_head else branch.gone_at),
        "first_seen_at": shown_time(branch.first_seen_at),
        "last_activity_at": shown_time(branch.last_activity_at),
        "as_of": shown_time(repository.observed_at),
    }


def _in_full(branch: Branch, caller: Caller, *, now: datetime) -> dict[str, Any]:
    here = {"repository_id": branch.repository_id, "branch": branch.name}
    findings = open_findings_of(caller, [branch])
    checked, due = _checks(caller, here)
    watch = getattr(branch.repository, "watch", None)
    return {
        **branch_values(branch, findings.get((branch.repository_id, branch.name), [])),
        "coherence": matrix_values(coherence_matrix(branch, now=now)),
        "findings": _newest(FindingRow, visible_findings(caller).filter(state="open", **here)),
        "alerts": _newest(AlertRow, visible_alerts(caller).filter(**here)),
        "leases": _newest(HeldLease, leases_over(branch)),
        "runs": _newest(RunRow, runs_of(branch)),
        "pushes": [] if branch.observed_head == branch.governed_head else branch.pushes,
        "retirement": retirement_values(retirement_of(branch)),
        "next_check_at": shown_time(due or (watch.next_due_at if watch else None)),
        "last_check_at": shown_time(checked or branch.repository.observed_at),
    }


def _newest(kind: type[RowSerializer], rows: QuerySet[Any]) -> list[dict[str, Any]]:
    return shown_rows(kind, rows.values(*kind.columns())[:_NEWEST])


def _checks(caller: Caller, here: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return when the branch was last checked and when it is due, by its newest tasks."""
    tasks = list(
        visible_tasks(caller)
        .filter(**here)
        .values_list("state", "run_after", "completed_at")[:_NEWEST]
    )
    done = [completed for _, _, completed in tasks if completed]
    waiting = [run_after for state, run_after, _ in tasks if state == TaskState.QUEUED]
    return max(done, default=None), min(waiting, default=None)
