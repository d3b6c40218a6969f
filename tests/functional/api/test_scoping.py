"""What belongs to another tenant does not exist, and what a scope does not cover is refused."""

from dataclasses import dataclass
from typing import Any

import pytest
from rest_framework.test import APIClient

from governance.models import Repository
from tests.conftest import World
from tests.factories.governance import BranchFactory, RunRecordFactory, api_client
from tests.factories.reconciliation import (
    AlertFactory,
    AttemptFactory,
    DeliveryFactory,
    EvaluationFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
    WatchFactory,
)

LISTS = (
    "repositories",
    "branches",
    "findings",
    "alerts",
    "tasks",
    "deliveries",
    "runs",
)


@dataclass(frozen=True)
class Filled:
    """The ids of one tenant's rows, one of each kind."""

    details: tuple[str, ...]
    alert: int
    trace: str


def fill(repository: Repository) -> Filled:
    """Store one row of each kind in a repository."""
    place = f"{repository.tenant.slug}/{repository.slug}"
    trace = f"trace-of-{repository.tenant.slug}"
    WatchFactory.create(repository=repository)
    branch = BranchFactory.create(repository=repository, name="release/1.0")
    task = TaskFactory.create(repository=repository, correlation_id=trace)
    AttemptFactory.create(task=task)
    evaluation = EvaluationFactory.create(task=task)
    finding = FindingFactory.create(
        repository=repository, evaluation=evaluation, correlation_id=trace
    )
    alert = AlertFactory.create(finding=finding)
    source = SourceFactory.create(repository=repository)
    delivery = DeliveryFactory.create(source=source, task=task, correlation_id=trace)
    run = RunRecordFactory.create(repository=repository, branch="main")
    sweep = SweepFactory.create(scope=repository.tenant.slug)
    return Filled(
        details=(
            f"repositories/{place}",
            f"repositories/{place}/branches",
            f"repositories/{place}/branches/{branch.name}",
            f"findings/{finding.pk}",
            f"alerts/{alert.pk}",
            f"tasks/{task.pk}",
            f"deliveries/{delivery.pk}",
            f"sweeps/{sweep.pk}",
            f"traces/{trace}",
            f"runs/{run.run_id}?tenant={repository.tenant.slug}&repo={repository.slug}",
        ),
        alert=alert.pk,
        trace=trace,
    )


@pytest.fixture
def own(tenant_world: World) -> Filled:
    return fill(tenant_world.repository)


@pytest.fixture
def foreign(tenant_world: World) -> Filled:
    return fill(tenant_world.strange_repository)


@pytest.fixture
def reader(tenant_world: World) -> APIClient:
    return api_client(["read"], tenant=tenant_world.tenant)


def test_a_caller_sees_everything_of_its_own_tenant(own: Filled, reader: APIClient) -> None:
    answers = {path: reader.get(f"/api/v1/{path}").status_code for path in own.details}

    assert answers == dict.fromkeys(own.details, 200)


def test_details_of_another_tenant_are_not_found_and_say_nothing(
    own: Filled, foreign: Filled, reader: APIClient
) -> None:
    for path in foreign.details:
        answer = reader.get(f"/api/v1/{path}")

        assert answer.status_code == 404, path
        assert answer.headers["Content-Type"] == "application/problem+json"
        body = answer.json()
        assert body["code"] == "not_found"
        assert set(body) == {"type", "title", "status", "code", "detail", "correlation_id"}
        assert body["correlation_id"] == answer.headers["X-Correlation-ID"]


@pytest.mark.parametrize("path", LISTS)
def test_lists_show_rows_of_the_callers_tenant_only(
    path: str, own: Filled, foreign: Filled, reader: APIClient
) -> None:
    shown = reader.get(f"/api/v1/{path}").json()["results"]
    everything = api_client(["read"]).get(f"/api/v1/{path}").json()["results"]

    assert {row["tenant"] for row in shown} == {"acme"}
    assert {row["tenant"] for row in everything} == {"acme", "rival"}
    assert reader.get(f"/api/v1/{path}?tenant=rival").json()["results"] == []


def test_sweeps_of_another_tenant_are_not_listed(
    own: Filled, foreign: Filled, reader: APIClient
) -> None:
    shown = reader.get("/api/v1/sweeps").json()["results"]

    assert [row["scope"] for row in shown] == ["acme"]


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "unacknowledge"])
def test_alerts_of_another_tenant_cannot_be_answered(
    act: str, foreign: Filled, tenant_world: World
) -> None:
    operator = api_client(["alerts"], tenant=tenant_world.tenant)
    body: dict[str, Any] = {"reason": "Looked at it with the team."}
    if act == "snooze":
        body["until"] = "2026-03-03T12:00:00Z"

    answer = operator.post(f"/api/v1/alerts/{foreign.alert}/{act}", body, format="json")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_nothing_can_be_done_in_another_tenant(tenant_world: World) -> None:
    admin = api_client(["admin"], tenant=tenant_world.tenant)
    BranchFactory.create(repository=tenant_world.strange_repository, name="main")
    theirs = TaskFactory.create(repository=tenant_world.strange_repository, state="dead")

    answers = [
        admin.post("/api/v1/repositories/rival/api/reconcile"),
        admin.post(
            "/api/v1/repositories/rival/api/accept-head",
            {"branch": "main", "expected_head": "", "reason": "because it is right"},
            format="json",
        ),
        admin.post(
            "/api/v1/runs",
            {
                "tenant": "rival",
                "repo": "api",
                "run_id": "run-1",
                "branch": "main",
                "base_sha": "a" * 40,
                "actor": "mallory",
            },
            format="json",
        ),
        admin.post(
            "/api/v1/runs/run-1/finish",
            {"tenant": "rival", "repo": "api", "status": "failed"},
            format="json",
        ),
        admin.post("/api/v1/sweeps", {"scope": "rival", "everything": True}, format="json"),
        *(
            admin.post(
                f"/api/v1/dead-letters/{act}",
                {"ids": [theirs.pk], "reason": "because it is right"},
                format="json",
            )
            for act in ("requeue", "discard")
        ),
    ]

    assert [answer.status_code for answer in answers] == [404] * 7
    theirs.refresh_from_db()
    assert theirs.state == "dead"


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", "status", "read"),
        ("get", "repositories", "read"),
        ("get", "tasks", "read"),
        ("get", "traces/some-trace-id", "read"),
        ("get", "runs", "read"),
        ("post", "runs", "runs"),
        ("post", "runs/run-1/heartbeat", "runs"),
        ("post", "runs/run-1/finish", "runs"),
        ("post", "alerts/1/acknowledge", "alerts"),
        ("post", "alerts/1/snooze", "alerts"),
        ("post", "alerts/1/unacknowledge", "alerts"),
        ("post", "repositories/acme/api/reconcile", "tasks"),
        ("get", "dead-letters", "read"),
        ("post", "dead-letters/requeue", "tasks"),
        ("post", "dead-letters/discard", "tasks"),
        ("post", "sweeps", "tasks"),
        ("post", "repositories/acme/api/accept-head", "admin"),
    ],
)
def test_each_address_needs_its_scope(
    method: str, path: str, scope: str, tenant_world: World
) -> None:
    every = {"read", "leases", "runs", "alerts", "tasks", "audit"}
    without = api_client(sorted(every - {scope}), tenant=tenant_world.tenant)
    with_it = api_client([scope], tenant=tenant_world.tenant)

    refused = getattr(without, method)(f"/api/v1/{path}", {}, format="json")
    let_in = getattr(with_it, method)(f"/api/v1/{path}", {}, format="json")
    unknown = getattr(APIClient(), method)(f"/api/v1/{path}", {}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert let_in.status_code not in (401, 403)
    assert (unknown.status_code, unknown.json()["code"]) == (401, "not_authenticated")
    assert unknown.headers["WWW-Authenticate"].startswith("Bearer")
