"""Run records over the API: start, prove life, end; and the check that follows an end."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.services import verify
from governance.models import Alias, ApiToken, Branch, RunRecord
from reconciliation.models import Finding, ReconciliationTask, RepositoryWatch, TaskState
from reconciliation.remotes.base import RemoteTarget
from reconciliation.remotes.memory import MemoryCommit, MemoryRemote
from reconciliation.services.execute import Limits, drain
from tests.conftest import World
from tests.factories.governance import (
    FAR_FUTURE,
    HEAD_A,
    HEAD_B,
    NOON,
    LeaseFactory,
    RepositoryFactory,
    RunRecordFactory,
    api_client,
)

RUNS = "/api/v1/runs"
START = {
    "repo": "api",
    "run_id": "run-2026-0001",
    "branch": "main",
    "base_sha": HEAD_A,
    "actor": "alice",
}
FINISH = {
    "repo": "api",
    "status": "succeeded",
    "head_sha": HEAD_B,
    "patch_hash": "sha256:" + "1f" * 32,
    "gate_results": {"lint": "passed", "tests": "passed"},
    "conflict_classes": ["schema", "api"],
}


@pytest.fixture
def reach(tenant_world: World) -> APIClient:
    return api_client(["runs", "read"], tenant=tenant_world.tenant)


def post(client: APIClient, path: str, body: dict[str, Any]) -> Any:
    return client.post(f"{RUNS}{path}", body, format="json")


def test_a_run_lives_from_start_over_heartbeat_to_its_end(reach: APIClient) -> None:
    started = post(reach, "", START)
    beaten = post(reach, "/run-2026-0001/heartbeat", {"repo": "api"})
    finished = post(reach, "/run-2026-0001/finish", FINISH)

    assert (started.status_code, beaten.status_code, finished.status_code) == (201, 200, 200)
    assert started.json()["status"] == beaten.json()["status"] == "running"
    assert beaten.json()["last_heartbeat_at"] >= started.json()["last_heartbeat_at"]
    run = finished.json()["run"]
    assert (run["status"], run["head_sha"], run["conflict_classes"]) == (
        "succeeded",
        HEAD_B,
        ["api", "schema"],
    )
    assert run["gate_results"] == {"lint": "passed", "tests": "passed"}
    assert reach.get(started.headers["Location"]).json() == run
    assert [row["run_id"] for row in reach.get(RUNS).json()["results"]] == ["run-2026-0001"]
    assert verify("acme") is None


def test_an_end_plans_an_observation_that_names_the_run(reach: APIClient) -> None:
    post(reach, "", START)

    finished = post(reach, "/run-2026-0001/finish", FINISH)

    task = ReconciliationTask.objects.get()
    assert finished.json()["task"] == task.pk
    assert (task.task_kind, task.origin, task.run_id) == ("observe_refs", "api", "run-2026-0001")
    assert task.correlation_id == finished.headers["X-Correlation-ID"]


def test_the_same_end_twice_gives_the_same_answer_and_one_task(reach: APIClient) -> None:
    post(reach, "", START)

    answers = [post(reach, "/run-2026-0001/finish", FINISH) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    task = ReconciliationTask.objects.get()
    assert (task.series, task.state) == (1, "queued")


def test_an_end_that_cannot_be_planned_is_not_recorded_either(
    reach: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(reach, "", START)

    def refuse(*_: Any, **__: Any) -> int:
        raise RuntimeError("the queue cannot be written")

    monkeypatch.setattr("reconciliation.services.run_records.request_observation", refuse)
    reach.raise_request_exception = False

    answer = post(reach, "/run-2026-0001/finish", FINISH)

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert RunRecord.objects.get().status == "running"


def test_the_same_start_twice_is_one_run(reach: APIClient) -> None:
    first, second = post(reach, "", START), post(reach, "", START)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert RunRecord.objects.count() == 1


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("", START | {"base_sha": HEAD_B}, "run_conflict"),
        ("/run-2026-0001/finish", FINISH | {"status": "failed", "head_sha": ""}, "run_ended"),
        ("/run-2026-0001/heartbeat", {"repo": "api"}, "run_ended"),
    ],
)
def test_what_contradicts_an_ended_run_is_refused(
    path: str, body: dict[str, Any], code: str, reach: APIClient
) -> None:
    post(reach, "", START)
    post(reach, "/run-2026-0001/finish", FINISH)

    refused = post(reach, path, body)

    assert (refused.status_code, refused.json()["code"]) == (409, code)


@pytest.mark.parametrize("act", ["heartbeat", "finish"])
def test_a_run_that_never_started_is_not_found(act: str, reach: APIClient) -> None:
    body = FINISH if act == "finish" else {"repo": "api"}

    refused = post(reach, f"/nobody/{act}", body)

    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"base_sha": "abc"}, "/base_sha"),
        ({"branch": "bad..name"}, "/branch"),
        ({"run_id": "spaces in it"}, "/run_id"),
        ({"lease_id": "lse-nobody"}, "/lease_id"),
        ({"actor": "a\x07b"}, "/actor"),
    ],
)
def test_a_start_that_cannot_be_names_the_field(
    changes: dict[str, str], pointer: str, reach: APIClient
) -> None:
    refused = post(reach, "", START | changes)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert refused.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"head_sha": ""}, "/head_sha"),
        ({"status": "abandoned"}, "/status"),
        ({"gate_results": {"lint": 7, "x": None}}, "/gate_results/x"),
        ({"conflict_classes": "api"}, "/conflict_classes"),
    ],
)
def test_an_end_that_cannot_be_names_the_field(
    changes: dict[str, Any], pointer: str, reach: APIClient
) -> None:
    post(reach, "", START)

    refused = post(reach, "/run-2026-0001/finish", FINISH | changes)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert refused.json()["errors"][0]["pointer"].startswith(pointer)
    assert RunRecord.objects.get().status == "running"


def test_the_tenant_must_be_named_by_who_may_see_several(tenant_world: World) -> None:
    everywhere = api_client(["runs", "read"])

    refused = post(everywhere, "", START)
    started = post(everywhere, "", START | {"tenant": "rival"})

    assert refused.json()["errors"][0]["pointer"] == "/tenant"
    assert (started.status_code, started.json()["tenant"]) == (201, "rival")


def test_a_run_id_names_a_run_in_its_repository_only(reach: APIClient, tenant_world: World) -> None:
    other = RepositoryFactory.create(tenant=tenant_world.tenant, slug="web")
    RunRecordFactory.create(repository=other, run_id="run-2026-0001", actor="bob")
    post(reach, "", START)

    shown = reach.get(f"{RUNS}/run-2026-0001", {"repo": "web"}).json()

    assert (shown["repo"], shown["actor"]) == ("web", "bob")
    assert reach.get(f"{RUNS}/run-2026-0001").json()["errors"][0]["pointer"] == "/repo"


def test_a_run_under_a_lease_becomes_its_operation(reach: APIClient, tenant_world: World) -> None:
    lease = LeaseFactory.create(
        repository=tenant_world.repository,
        branch="main",
        acquired_at=datetime.now(UTC),
    )

    started = post(reach, "", START | {"lease_id": lease.lease_id})

    lease.refresh_from_db()
    assert started.status_code == 201
    assert lease.run_id == "run-2026-0001"


def test_a_push_that_came_before_its_run_ended_is_covered_by_the_end(
    reach: APIClient, tenant_world: World
) -> None:
    repository = tenant_world.repository
    RepositoryWatch.objects.create(repository=repository, next_due_at=NOON)
    remote = MemoryRemote()
    remote.create(repository.clone_url)
    remote.push(
        repository.clone_url,
        "main",
        MemoryCommit(HEAD_A, (), files={"README": "1"}),
        MemoryCommit(HEAD_B, (HEAD_A,), files={"README": "2"}),
    )
    remote.sync(RemoteTarget(repository.clone_url, str(repository.pk)), {"main": HEAD_A})
    # No webhook names the pusher: that alice held the branch is the evidence.
    LeaseFactory.create(
        repository=repository, branch="main", expires_at=FAR_FUTURE, max_expires_at=FAR_FUTURE
    )
    post(reach, "", START)

    post(reach, "/run-2026-0001/finish", FINISH)
    for _ in range(3):
        now = datetime.now(UTC).replace(year=datetime.now(UTC).year + 1)
        drain(
            worker="test",
            remote=remote,
            clock=lambda at=now: at,  # type: ignore[misc]
            limits=Limits(batch=50, claim_seconds=60, total_seconds=60),
        )

    branch = Branch.objects.get(repository=repository, name="main")
    assert (branch.observed_head, branch.governed_head) == (HEAD_B, HEAD_B)
    assert branch.governed_by == "run:run-2026-0001"
    assert not Finding.objects.filter(state="open").exists()
    assert not ReconciliationTask.objects.exclude(state=TaskState.COMPLETED).exists()


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"patch_hash": "not-a-hash"}, "/patch_hash"),
        ({"patch_hash": "sha256:1f"}, "/patch_hash"),
        ({"patch_hash": "f" * 41}, "/patch_hash"),
        ({"head_sha": "b" * 39}, "/head_sha"),
        ({"head_sha": "b" * 41}, "/head_sha"),
        ({"head_sha": "b" * 64}, "/head_sha"),
        ({"status": "proposed"}, "/status"),
        ({"gate_results": {"lint": "as good as passed"}}, "/gate_results"),
        ({"gate_results": {"": "passed"}}, "/gate_results"),
        ({"conflict_classes": [" "]}, "/conflict_classes"),
        ({"ended_at": "2100-01-01T00:00:00Z"}, "/ended_at"),
    ],
)
def test_every_field_of_an_end_is_checked(
    changes: dict[str, Any], pointer: str, reach: APIClient
) -> None:
    post(reach, "", START)

    refused = post(reach, "/run-2026-0001/finish", FINISH | changes)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"].startswith(pointer)
    assert RunRecord.objects.get().status == "running"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"actor": " alice"}, "/actor"),
        ({"context_hash": "no blanks please"}, "/context_hash"),
        ({"base_sha": "a" * 63}, "/base_sha"),
        ({"started_at": "2000-01-01T00:00:00Z"}, "/started_at"),
        ({"status": "succeeded"}, "/status"),
    ],
)
def test_every_field_of_a_start_is_checked(
    changes: dict[str, Any], pointer: str, reach: APIClient
) -> None:
    refused = post(reach, "", START | changes)

    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"].startswith(pointer)
    assert not RunRecord.objects.exists()


def test_a_token_records_runs_of_its_own_actor_only(tenant_world: World) -> None:
    bob = api_client(["runs", "read"], tenant=tenant_world.tenant, actor="bob")

    refused = post(bob, "", START)

    assert (refused.status_code, refused.json()["code"]) == (403, "actor_not_granted")
    assert "api_token create --actor" in refused.json()["detail"]
    assert not RunRecord.objects.exists()


@pytest.mark.parametrize("act", ["heartbeat", "finish"])
def test_a_token_neither_keeps_nor_ends_the_run_of_another(
    act: str, reach: APIClient, tenant_world: World
) -> None:
    post(reach, "", START)
    bob = api_client(["runs", "read"], tenant=tenant_world.tenant, actor="bob")

    refused = post(bob, f"/run-2026-0001/{act}", FINISH if act == "finish" else {"repo": "api"})

    assert (refused.status_code, refused.json()["code"]) == (403, "actor_not_granted")
    assert RunRecord.objects.get().status == "running"


def test_a_token_that_was_granted_an_actor_records_its_runs(tenant_world: World) -> None:
    bob = api_client(["runs", "read"], tenant=tenant_world.tenant, actor="bob")
    ApiToken.objects.update(granted_actors=["alice"])

    assert post(bob, "", START).status_code == 201


def test_names_that_the_tenant_joined_are_one_actor_and_nowhere_else(tenant_world: World) -> None:
    Alias.objects.create(
        tenant=tenant_world.stranger, name="alice-bot", identity="alice", created_at=NOON
    )
    bot = api_client(["runs", "read"], tenant=tenant_world.tenant, actor="alice-bot")
    assert post(bot, "", START).status_code == 403

    Alias.objects.create(
        tenant=tenant_world.tenant, name="alice-bot", identity="alice", created_at=NOON
    )

    assert post(bot, "", START).status_code == 201


def test_a_token_without_an_actor_records_runs_of_its_own_name(tenant_world: World) -> None:
    nameless = api_client(["runs", "read"], tenant=tenant_world.tenant, actor="")
    own = ApiToken.objects.get().name

    assert post(nameless, "", START).status_code == 403
    assert post(nameless, "", START | {"actor": own}).status_code == 201


def test_a_run_names_no_lease_of_another(reach: APIClient, tenant_world: World) -> None:
    theirs = LeaseFactory.create(
        repository=tenant_world.repository,
        branch="main",
        user_id="carol",
        agent_id="",
        acquired_at=datetime.now(UTC),
    )

    refused = post(reach, "", START | {"lease_id": theirs.lease_id})

    assert refused.json()["errors"][0]["pointer"] == "/lease_id"
    theirs.refresh_from_db()
    assert theirs.run_id == ""
