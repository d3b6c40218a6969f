"""Whatever goes wrong is answered in one shape, with a stable code and the correlation id."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from tests.conftest import World
from tests.factories.governance import RunRecordFactory, api_client
from tests.factories.reconciliation import AlertFactory, FindingFactory

HUGE = 10**30


def post_escaped(client: APIClient, path: str, body: dict[str, Any]) -> Any:
    """Post JSON with every strange character escaped, as a careless client sends it."""
    return client.generic(
        "POST", f"/api/v1/{path}", json.dumps(body), content_type="application/json"
    )


def problem_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Check what every problem has in common, and return it."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), body
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert body["status"] == status
    assert body["type"] == f"urn:reconciler:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["correlation_id"] == answer.headers["X-Correlation-ID"]
    return body


@pytest.fixture
def admin(tenant_world: World) -> APIClient:
    return api_client(["admin"], tenant=tenant_world.tenant)


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "alerts/1/forget",
        "alerts/x",
        "repositories/acme",
        "repositories/acme/nothing",
        "repositories/acme/api/branches/no/such/branch",
        f"alerts/{HUGE}",
        f"tasks/{HUGE}",
        f"findings/{HUGE}",
        f"deliveries/{HUGE}",
        f"sweeps/{HUGE}",
        "traces/no-such-trace",
        "runs/none?repo=api",
    ],
)
def test_what_is_not_there_is_not_found(path: str, admin: APIClient) -> None:
    problem_of(admin.get(f"/api/v1/{path}"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("post", "status", "GET"),
        ("delete", "tasks", "GET"),
        ("put", "alerts/1", "GET"),
        ("get", "alerts/1/acknowledge", "POST"),
        ("patch", "runs", "GET, POST"),
        ("get", "repositories/acme/api/reconcile", "POST"),
    ],
)
def test_a_method_that_an_address_does_not_take_is_told_with_those_it_does(
    method: str, path: str, allow: str, admin: APIClient
) -> None:
    answer = getattr(admin, method)(f"/api/v1/{path}", {}, format="json")

    problem_of(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"].removesuffix(", HEAD, OPTIONS").startswith(allow)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "parse_error"),
        (b"\xff\xfe", "application/json", 400, "parse_error"),
        (b"[" * 100_000, "application/json", 400, "parse_error"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
@pytest.mark.parametrize(
    "path", ["runs", "runs/run-1/finish", "alerts/1/acknowledge", "alerts/1/snooze"]
)
def test_a_body_that_cannot_be_read_is_refused(
    body: bytes, content_type: str, status: int, code: str, path: str, admin: APIClient
) -> None:
    answer = admin.post(f"/api/v1/{path}", body, content_type=content_type)

    problem_of(answer, status, code)


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "null", "true"])
def test_a_body_that_is_no_object_is_refused(body: str, admin: APIClient) -> None:
    answer = admin.generic("POST", "/api/v1/runs", body, content_type="application/json")

    problem = problem_of(answer, 400, "invalid")
    assert problem["errors"]


def test_each_wrong_field_is_named_with_a_pointer_a_code_and_words(admin: APIClient) -> None:
    body = {"repo": "api", "actor": "", "branch": 7, "base_sha": None, "head": "x"}

    problem = problem_of(admin.post("/api/v1/runs", body, format="json"), 400, "invalid")

    assert [(one["pointer"], one["code"]) for one in problem["errors"]] == [("/head", "unknown")]
    del body["head"]
    problem = problem_of(admin.post("/api/v1/runs", body, format="json"), 400, "invalid")
    assert [(one["pointer"], one["code"]) for one in problem["errors"]] == [
        ("/actor", "blank"),
        ("/base_sha", "null"),
        ("/run_id", "required"),
    ]
    assert all(one["detail"] for one in problem["errors"])


@pytest.mark.parametrize("text", ["nul \x00 byte", "\ud800 alone"])
def test_text_that_no_database_holds_is_refused(text: str, admin: APIClient) -> None:
    body = {
        "repo": "api",
        "run_id": "run-1",
        "branch": "main",
        "base_sha": "a" * 40,
        "actor": text,
    }

    answer = post_escaped(admin, "runs", body)

    problem = problem_of(answer, 400, "invalid")
    assert problem["errors"][0]["pointer"] == "/actor"


def test_gate_results_of_strange_text_are_refused(admin: APIClient, tenant_world: World) -> None:
    RunRecordFactory.create(repository=tenant_world.repository, run_id="run-1")

    for gates in ({"\ud800": "passed"}, {"a\x00b": "passed"}, {"lint": "a\x01"}, ["lint"], "lint"):
        body = {"repo": "api", "status": "failed", "gate_results": gates}
        answer = post_escaped(admin, "runs/run-1/finish", body)
        problem = problem_of(answer, 400, "invalid")
        assert problem["errors"][0]["pointer"].startswith("/gate_results")


def test_an_unknown_or_expired_token_is_told_how_to_get_a_new_one(tenant_world: World) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer rcl_nobody")

    problem = problem_of(client.get("/api/v1/status"), 401, "invalid_token")

    assert "api_token" in problem["detail"]


def test_a_correlation_id_of_the_caller_is_kept(admin: APIClient) -> None:
    headers = {"X-Correlation-ID": "deploy-4711-attempt-2"}

    answer = admin.get("/api/v1/alerts/1", headers=headers)

    assert problem_of(answer, 404, "not_found")["correlation_id"] == "deploy-4711-attempt-2"


def test_a_caller_that_reads_no_json_is_told_so(admin: APIClient) -> None:
    problem_of(admin.get("/api/v1/status", headers={"Accept": "text/csv"}), 406, "not_acceptable")


def test_an_id_beyond_what_the_database_holds_is_not_found_by_an_act_either(
    admin: APIClient, tenant_world: World
) -> None:
    AlertFactory.create(finding=FindingFactory.create(repository=tenant_world.repository))
    body = {"reason": "Looked at it with the team."}

    answer = admin.post(f"/api/v1/alerts/{HUGE}/acknowledge", body, format="json")

    problem_of(answer, 404, "not_found")
