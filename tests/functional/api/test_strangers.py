"""Every operation of the schema, asked by one tenant about another's rows: they do not exist."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from governance.models import Repository
from tests.conftest import World
from tests.factories.governance import (
    HEAD_A,
    BranchFactory,
    LeaseFactory,
    RunRecordFactory,
    api_client,
)
from tests.factories.reconciliation import (
    AlertFactory,
    DeliveryFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
    WatchFactory,
)
from tests.functional.api.test_strict_requests import operations, paths

REASON = "Looked at it with the release team."
TRACE = "trace-of-a-stranger"
TOKEN = "visible-to-its-holder-only-0123456789"
# Addresses without a row in them answer for the caller's own tenant, or for everybody.
OF_EVERYBODY = {"/api/v1/policies/versions/{id}", "/api/v1/audit/entries/{id}"}


def addressed(method: str) -> list[str]:
    return [path for path in paths(method) if "{" in path and path not in OF_EVERYBODY]


@pytest.fixture
def theirs(tenant_world: World) -> dict[str, Any]:
    """One row of each kind of another tenant, by the name it has in addresses."""
    repository: Repository = tenant_world.strange_repository
    WatchFactory.create(repository=repository)
    BranchFactory.create(repository=repository, name="main")
    task = TaskFactory.create(repository=repository, state="dead", correlation_id=TRACE)
    finding = FindingFactory.create(repository=repository)
    source = SourceFactory.create(repository=repository)
    return {
        "tenant": "rival",
        "repo": "api",
        "branch": "main",
        "task_id": task.pk,
        "finding_id": finding.pk,
        "alert_id": AlertFactory.create(finding=finding).pk,
        "delivery_id": DeliveryFactory.create(source=source, task=task).pk,
        "sweep_id": SweepFactory.create(scope="rival").pk,
        "run_id": RunRecordFactory.create(repository=repository, run_id="run-77").run_id,
        "lease_id": LeaseFactory.create(repository=repository, lease_id="lse_77").lease_id,
        "correlation_id": TRACE,
    }


@pytest.fixture
def stranger(tenant_world: World) -> APIClient:
    return api_client(["admin"], tenant=tenant_world.tenant)


NOWHERE = {
    "tenant": "nobody",
    "repo": "nothing",
    "branch": "nowhere",
    "task_id": 10**12,
    "finding_id": 10**12,
    "alert_id": 10**12,
    "delivery_id": 10**12,
    "sweep_id": 10**12,
    "run_id": "run-00",
    "lease_id": "lse_00",
    "correlation_id": "trace-of-nobody-00",
}
BODIES = {
    "acknowledge": {"reason": REASON},
    "snooze": {"reason": REASON, "until": "2026-03-03T12:00:00Z"},
    "unacknowledge": {"reason": REASON},
    "accept-head": {"branch": "main", "expected_head": HEAD_A, "reason": REASON},
    "replay": {"reason": REASON},
    "accept-default-branch": {"expected_default_branch": "main", "reason": REASON},
    "reconcile": {},
}
OF_PLACE = {
    "heartbeat": {"holder_token": TOKEN},
    "release": {"holder_token": TOKEN},
    "break": {"reason": REASON},
    "finish": {"status": "failed"},
}


def ask(client: APIClient, method: str, path: str, named: dict[str, Any]) -> Any:
    address = path
    for name, value in named.items():
        address = address.replace(f"{{{name}}}", str(value))
    assert "{" not in address, f"the test knows no row for {path}"
    place = {"tenant": named["tenant"], "repo": named["repo"]}
    if method == "get":
        asks_place = {
            one["name"]
            for one in dict(operations("get"))[path].get("parameters", [])
            if one["in"] == "query"
        } >= set(place)
        return client.get(address, place if asks_place and "/branches" not in path else {})
    act = path.rpartition("/")[2]
    body: dict[str, Any] = dict(BODIES.get(act, {}))
    if "branch" in body:
        body["branch"] = named["branch"]
    if act in OF_PLACE:
        body = place | OF_PLACE[act]
        if "/runs/" in path:
            body.pop("holder_token", None)
    return client.post(address, body, format="json")


def shape_of(answer: Any, named: dict[str, Any]) -> str:
    """Return what an answer says, without the names that the caller gave."""
    problem = answer.json()
    # The status is compared by itself; an id of one digit would be found in it.
    for name in ("correlation_id", "status"):
        problem.pop(name)
    text = json.dumps(problem, sort_keys=True)
    for value in sorted({str(value) for value in named.values()}, key=len, reverse=True):
        text = text.replace(value, "_")
    return text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("get", path) for path in addressed("get")),
        *(("post", path) for path in addressed("post")),
    ],
)
def test_what_is_anothers_is_not_found_in_the_words_for_what_does_not_exist(
    method: str, path: str, theirs: dict[str, Any], stranger: APIClient
) -> None:
    about_theirs = ask(stranger, method, path, theirs)
    about_nothing = ask(stranger, method, path, NOWHERE)

    assert (about_theirs.status_code, about_nothing.status_code) == (404, 404), about_theirs.content
    assert shape_of(about_theirs, theirs) == shape_of(about_nothing, NOWHERE)


def test_lists_show_and_count_nothing_of_another_tenant(
    theirs: dict[str, Any], stranger: APIClient
) -> None:
    for path in paths("get"):
        if "{" in path:
            continue
        answer = stranger.get(path)

        assert answer.status_code == 200, path
        assert "rival" not in answer.content.decode(), path
        assert "lse_77" not in answer.content.decode(), path
        assert TRACE not in answer.content.decode(), path


def test_a_list_narrowed_to_another_tenant_is_empty(
    theirs: dict[str, Any], stranger: APIClient
) -> None:
    for path, operation in operations("get"):
        names = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        if "{" in path or "tenant" not in names or "cursor" not in names:
            continue
        assert stranger.get(path, {"tenant": "rival"}).json()["results"] == [], path
