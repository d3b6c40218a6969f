"""Run records over the API: Reach says what it is about to change, that it lives, and how it ended.

A run id is unique in its repository, so `repo` goes with it; `tenant` may be left out by the bearer
of a token of one tenant.
"""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.correlation import current_correlation_id
from audit.domain.caller import Caller, caller_of
from governance.domain.runs import InvalidRun, RunEnd, RunStart, run_end, run_start
from governance.selectors.visible import (
    NotVisible,
    Repository,
    repository_named,
    visible_runs,
)
from governance.services.runs import (
    ActorNotGranted,
    RunConflict,
    RunEnded,
    RunNotFound,
    create_run,
    heartbeat_run,
)
from reconciler_site.base.bodies import BodySerializer, body_of
from reconciler_site.base.problems import problem_answer
from reconciler_site.base.queries import QuerySerializer, StrictQuery
from reconciliation.api.base import RowList
from reconciliation.api.rows import RowSerializer
from reconciliation.filters import RunFilter
from reconciliation.services.run_records import finish_run_record


class RunRow(RowSerializer):
    """One governed change."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(source="repository__tenant__slug")
    workspace = serializers.CharField(source="repository__workspace__slug")
    repo = serializers.CharField(source="repository__slug")
    run_id = serializers.CharField()
    branch = serializers.CharField()
    status = serializers.CharField(help_text="running, succeeded, failed or abandoned")
    base_sha = serializers.CharField()
    head_sha = serializers.CharField(help_text="Empty while the run is running.")
    patch_hash = serializers.CharField()
    context_hash = serializers.CharField()
    actor = serializers.CharField()
    lease_id = serializers.CharField()
    gate_results = serializers.DictField(child=serializers.CharField())
    conflict_classes = serializers.ListField(child=serializers.CharField())
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    last_heartbeat_at = serializers.DateTimeField()
    correlation_id = serializers.CharField()


class FinishedRun(serializers.Serializer[Any]):
    """An ended run and the observation that checks its branch."""

    run = RunRow()
    task = serializers.IntegerField(
        allow_null=True, help_text="null: the observation of an earlier call is pruned."
    )


class RunPlace(BodySerializer):
    """Where a run belongs."""

    tenant = serializers.CharField(
        required=False, max_length=100, help_text="May be left out with a token of one tenant."
    )
    repo = serializers.CharField(max_length=100)


class RunQuery(QuerySerializer, RunPlace):
    """Where a run belongs, in an address."""


class StartBody(RunPlace):
    """What is known when a run starts."""

    run_id = serializers.CharField(max_length=100, help_text="Letters, digits or ._:-")
    branch = serializers.CharField(max_length=1000, trim_whitespace=False)
    base_sha = serializers.CharField(
        max_length=64, help_text="In full; zeros when the run makes the branch."
    )
    actor = serializers.CharField(max_length=200, trim_whitespace=False)
    lease_id = serializers.CharField(required=False, default="", allow_blank=True, max_length=100)
    context_hash = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=128
    )


class FinishBody(RunPlace):
    """What is known when a run ends."""

    status = serializers.CharField(max_length=20, help_text="succeeded or failed")
    head_sha = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=64,
        help_text="In full; needed when it succeeded.",
    )
    patch_hash = serializers.CharField(required=False, default="", allow_blank=True, max_length=128)
    gate_results = serializers.DictField(
        child=serializers.CharField(max_length=200, allow_blank=True),
        required=False,
        default=dict,
        help_text="Gate to result, such as passed.",
    )
    conflict_classes = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, default=list
    )


class RunList(RowList):
    """Run records of the caller's tenants, newest first."""

    serializer_class = RunRow
    filterset_class = RunFilter
    required_scopes = {"POST": "runs"}

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see."""
        return visible_runs(caller)

    @extend_schema(
        request=StartBody,
        responses={
            201: OpenApiResponse(RunRow, description="Started."),
            200: OpenApiResponse(RunRow, description="The same run had been started before."),
        },
    )
    def post(self, request: Request) -> Response:
        """Start a run; the same start again gives the same run."""
        caller, asked = caller_of(request), body_of(StartBody, request)
        repository = _repository(caller, asked)
        try:
            outcome = create_run(
                repository,
                _start(asked),
                caller=caller,
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        except InvalidRun as error:
            raise _invalid(error) from error
        except ActorNotGranted as error:
            return problem_answer(403, "actor_not_granted", str(error))
        except RunConflict as error:
            return problem_answer(409, "run_conflict", str(error))
        return Response(
            _shown(caller, repository, asked["run_id"]),
            status=201 if outcome.is_new else 200,
            headers={"Location": _address(repository, asked["run_id"])},
        )


class RunDetail(StrictQuery):
    """One run record."""

    query_serializer = RunQuery

    @extend_schema(parameters=[RunQuery], responses=RunRow)
    def get(self, request: Request, run_id: str) -> Response:
        caller = caller_of(request)
        return Response(_shown(caller, _repository(caller, self.query()), run_id))


class HeartbeatRun(StrictQuery):
    """Says that a run is still at work: proof of life for its lease."""

    required_scope = "runs"

    @extend_schema(request=RunPlace, responses=RunRow)
    def post(self, request: Request, run_id: str) -> Response:
        caller, asked = caller_of(request), body_of(RunPlace, request)
        repository = _repository(caller, asked)
        try:
            heartbeat_run(repository, run_id, caller=caller, now=timezone.now())
        except RunNotFound as error:
            raise NotVisible(str(error)) from error
        except ActorNotGranted as error:
            return problem_answer(403, "actor_not_granted", str(error))
        except RunEnded as error:
            return problem_answer(409, "run_ended", str(error))
        return Response(_shown(caller, repository, run_id))


class FinishRun(StrictQuery):
    """Ends a run; the heads of its repository are re-read and its branch is checked.

    The same end again changes nothing and gives the same answer.
    """

    required_scope = "runs"

    @extend_schema(request=FinishBody, responses=FinishedRun)
    def post(self, request: Request, run_id: str) -> Response:
        caller, asked = caller_of(request), body_of(FinishBody, request)
        repository = _repository(caller, asked)
        try:
            finished = finish_run_record(
                repository,
                run_id,
                _end(asked),
                caller=caller,
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        except InvalidRun as error:
            raise _invalid(error) from error
        except RunNotFound as error:
            raise NotVisible(str(error)) from error
        except ActorNotGranted as error:
            return problem_answer(403, "actor_not_granted", str(error))
        except RunEnded as error:
            return problem_answer(409, "run_ended", str(error))
        return Response({"run": _shown(caller, repository, run_id), "task": finished.task_id})


def _repository(caller: Caller, asked: Mapping[str, Any]) -> Repository:
    tenant = asked.get("tenant")
    if tenant is None:
        if caller.tenants is None or len(caller.tenants) != 1:
            raise exceptions.ValidationError(
                {"tenant": "You may see more than one tenant: name the one you mean."},
                code="required",
            )
        [tenant] = caller.tenants
    return repository_named(caller, tenant=tenant, repo=asked["repo"])


def _start(asked: Mapping[str, Any]) -> RunStart:
    names = ("run_id", "branch", "base_sha", "actor", "lease_id", "context_hash")
    return run_start(**{name: asked[name] for name in names})


def _end(asked: Mapping[str, Any]) -> RunEnd:
    return run_end(
        status=asked["status"],
        head_sha=asked["head_sha"],
        patch_hash=asked["patch_hash"],
        gate_results=asked["gate_results"],
        conflict_classes=asked["conflict_classes"],
    )


def _invalid(error: InvalidRun) -> exceptions.ValidationError:
    return exceptions.ValidationError({error.field: str(error)})


def _shown(caller: Caller, repository: Repository, run_id: str) -> dict[str, Any]:
    row = (
        visible_runs(caller)
        .filter(repository_id=repository.pk, run_id=run_id)
        .values(*RunRow.columns())
        .first()
    )
    if row is None:
        raise NotVisible(f"There is no run {run_id} in {repository.slug}.")
    return dict(RunRow(row).data)


def _address(repository: Repository, run_id: str) -> str:
    address = reverse("api-run", kwargs={"run_id": run_id})
    return f"{address}?tenant={repository.tenant.slug}&repo={repository.slug}"
