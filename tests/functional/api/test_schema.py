"""The schema is true: it validates without warnings, and every answer is as it says."""

# drf-spectacular's generator has no types.
# mypy: disable-error-code="no-untyped-call"

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # has no stubs of its own
from rest_framework.test import APIClient

from governance.models import Repository
from reconciliation.models import ReconciliationTask, WebhookRefusal
from tests.conftest import World
from tests.factories.governance import (
    HEAD_A,
    HEAD_B,
    NOON,
    LeaseFactory,
    RunRecordFactory,
    api_client,
)
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

OURS = re.compile(
    r"/api/v1/(status|repositories|branches|findings|alerts|alert-ratios|tasks|sweeps|deliveries"
    r"|traces|runs|dead-letters)(/|$)"
)
TRIED_ELSEWHERE = ("/replay",)
TRACE = "trace-of-the-schema-test"
REASON = "Looked at it with the release team."


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """Return the schema with objects that may hold nothing undeclared."""
    generated: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    for component in generated["components"]["schemas"].values():
        if component.get("type") == "object" and "properties" in component:
            component["additionalProperties"] = False
    return generated


@pytest.fixture
def addresses(tenant_world: World) -> dict[str, str]:
    """Store rows of every kind and return the addresses of one of each, by their template."""
    repository = tenant_world.repository
    tenant_world.branch.observed_head = HEAD_B
    tenant_world.branch.save()
    WatchFactory.create(repository=repository, failing_since=NOON, last_delivery_at=NOON)
    sweep = SweepFactory.create(items=[_item()])
    task = TaskFactory.create(
        repository=repository, correlation_id=TRACE, sweep=sweep, origin="sweep"
    )
    AttemptFactory.create(task=task)
    evaluation = EvaluationFactory.create(task=task)
    finding = FindingFactory.create(
        repository=repository, evaluation=evaluation, correlation_id=TRACE
    )
    alert = AlertFactory.create(finding=finding)
    source = SourceFactory.create(repository=repository)
    delivery = DeliveryFactory.create(source=source, task=task, correlation_id=TRACE)
    WebhookRefusal.objects.create(
        source=source, reason="mismatch", count=1, first_at=NOON, last_at=NOON
    )
    TaskFactory.create(repository=repository, state="dead", last_error_code="remote_refused")
    LeaseFactory.create(repository=repository, branch="main")
    RunRecordFactory.create(
        repository=repository,
        run_id="run-1",
        branch="main",
        status="succeeded",
        gate_results={"lint": "passed"},
        conflict_classes=["api"],
    )
    place = "repositories/{tenant}/{repo}"
    return {
        "status": "status",
        "alert-ratios": "alert-ratios?by=repository",
        "repositories": "repositories",
        place: "repositories/acme/api",
        f"{place}/branches": "repositories/acme/api/branches",
        f"{place}/branches/{{branch}}": "repositories/acme/api/branches/main",
        "branches": "branches",
        "findings": "findings",
        "findings/{finding_id}": f"findings/{finding.pk}",
        "alerts": "alerts",
        "alerts/{alert_id}": f"alerts/{alert.pk}",
        "tasks": "tasks",
        "tasks/{task_id}": f"tasks/{task.pk}",
        "dead-letters": "dead-letters",
        "sweeps": "sweeps",
        "sweeps/planner": "sweeps/planner",
        "sweeps/{sweep_id}": f"sweeps/{sweep.pk}",
        "deliveries": "deliveries",
        "deliveries/{delivery_id}": f"deliveries/{delivery.pk}",
        "traces/{correlation_id}": f"traces/{TRACE}",
        "runs": "runs",
        "runs/{run_id}": "runs/run-1?tenant=acme&repo=api",
    }


def _item() -> dict[str, Any]:
    return {
        "about": "sweep",
        "branch": "main",
        "lease_id": None,
        "repo": "api",
        "run_id": None,
        "task_kind": "head_drift",
        "tenant": "acme",
        "workspace": "main",
    }


def assert_as_told(schema: dict[str, Any], answer: Any, path: str, method: str) -> None:
    """Check an answer against the response that the schema gives for its status."""
    told = schema["paths"][f"/api/v1/{path}"][method]["responses"]
    response = told.get(str(answer.status_code), told["default"])
    if "$ref" in response:
        response = schema["components"]["responses"][response["$ref"].rpartition("/")[2]]
    media_type = answer.headers["Content-Type"]
    assert media_type in response["content"], (path, media_type, list(response["content"]))
    document = {**response["content"][media_type]["schema"], "components": schema["components"]}
    errors = [
        f"{path}{error.json_path}: {error.message[:300]}"
        for error in Draft202012Validator(document).iter_errors(answer.json())
    ]
    assert errors == []


@pytest.mark.django_db
def test_the_schema_validates_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")


def test_every_answer_to_a_read_is_as_the_schema_says(
    schema: dict[str, Any], addresses: dict[str, str]
) -> None:
    client = api_client()

    for path, address in addresses.items():
        answer = client.get(f"/api/v1/{address}")

        assert answer.status_code == 200, (path, answer.content)
        assert_as_told(schema, answer, path, "get")


def test_every_read_of_this_api_is_tried(schema: dict[str, Any], addresses: dict[str, str]) -> None:
    told = {
        path.removeprefix("/api/v1/")
        for path, operations in schema["paths"].items()
        if "get" in operations and OURS.match(path)
    }

    assert told == set(addresses)


def acts(addresses: dict[str, str]) -> Iterator[tuple[str, str, dict[str, Any], int]]:
    """Yield what can be posted: template, address, body, expected status."""
    alert = addresses["alerts/{alert_id}"]
    yield "alerts/{alert_id}/acknowledge", f"{alert}/acknowledge", {"reason": REASON}, 200
    yield "alerts/{alert_id}/acknowledge", f"{alert}/acknowledge", {}, 400
    yield "alerts/{alert_id}/unacknowledge", f"{alert}/unacknowledge", {}, 200
    yield "alerts/{alert_id}/snooze", f"{alert}/snooze", {"reason": REASON, "until": "x"}, 400
    yield "alerts/{alert_id}/snooze", "alerts/0/snooze", {"reason": REASON}, 400
    place = "repositories/{tenant}/{repo}"
    yield f"{place}/reconcile", "repositories/acme/api/reconcile", {}, 202
    yield f"{place}/reconcile", "repositories/acme/none/reconcile", {}, 404
    head = {"branch": "main", "expected_head": HEAD_B, "reason": REASON}
    yield f"{place}/accept-head", "repositories/acme/api/accept-head", head, 200
    yield f"{place}/accept-head", "repositories/acme/api/accept-head", head, 409
    default = {"expected_default_branch": "trunk", "reason": REASON}
    Repository.objects.filter(slug="api").update(default_branch="trunk")
    accept_default = "repositories/acme/api/accept-default-branch"
    yield f"{place}/accept-default-branch", accept_default, default | {"reason": "short"}, 400
    yield f"{place}/accept-default-branch", accept_default, default, 200
    yield f"{place}/accept-default-branch", accept_default, default, 409
    dead = ReconciliationTask.objects.get(state="dead").pk
    deal = {"ids": [dead], "reason": REASON}
    yield "dead-letters/requeue", "dead-letters/requeue", deal | {"dry_run": True}, 200
    yield "dead-letters/requeue", "dead-letters/requeue", deal, 202
    yield "dead-letters/requeue", "dead-letters/requeue", deal, 404
    yield "dead-letters/discard", "dead-letters/discard", deal, 404
    yield "dead-letters/discard", "dead-letters/discard", {"filter": {}, "reason": REASON}, 400
    yield "dead-letters/discard", "dead-letters/discard", {"group": {"host": "x"}}, 400
    yield "sweeps", "sweeps", {"scope": "acme/main/api", "everything": True}, 202
    yield "sweeps", "sweeps", {"scope": "acme/none"}, 404
    start = {
        "tenant": "acme",
        "repo": "api",
        "run_id": "run-2",
        "branch": "main",
        "base_sha": HEAD_A,
        "actor": "alice",
    }
    yield "runs", "runs", start, 201
    yield "runs", "runs", start, 200
    yield "runs", "runs", start | {"actor": "bob"}, 409
    where = {"tenant": "acme", "repo": "api"}
    yield "runs/{run_id}/heartbeat", "runs/run-2/heartbeat", where, 200
    end = {**where, "status": "succeeded", "head_sha": HEAD_B}
    yield "runs/{run_id}/finish", "runs/run-2/finish", end, 200
    yield "runs/{run_id}/finish", "runs/run-2/finish", end | {"status": "failed"}, 409


def test_every_answer_to_an_act_is_as_the_schema_says(
    schema: dict[str, Any], addresses: dict[str, str]
) -> None:
    client, tried = api_client(["admin"]), set()

    for path, address, body, status in acts(addresses):
        answer = client.post(f"/api/v1/{address}", body, format="json")

        assert answer.status_code == status, (address, answer.content)
        assert_as_told(schema, answer, path, "post")
        tried.add(path)

    told = {
        path.removeprefix("/api/v1/")
        for path, operations in schema["paths"].items()
        if "post" in operations and OURS.match(path) and not path.endswith(TRIED_ELSEWHERE)
    }
    assert told == tried


def test_refusals_are_as_the_schema_says(schema: dict[str, Any], addresses: dict[str, str]) -> None:
    without_scope = api_client(["leases"])

    for path, address in addresses.items():
        for client, status in ((APIClient(), 401), (without_scope, 403)):
            answer = client.get(f"/api/v1/{address}")

            assert answer.status_code == status
            assert_as_told(schema, answer, path, "get")


@pytest.mark.django_db
def test_every_operation_says_what_it_answers_when_it_refuses(schema: dict[str, Any]) -> None:
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            told = set(operation["responses"])
            assert "default" in told, (path, method)
            if operation.get("security"):
                assert {"401", "403"} <= told, (path, method)
            if "requestBody" in operation and operation.get("security"):
                assert {"400", "404", "413", "415"} <= told, (path, method)
            if "{" in path:
                assert "404" in told, (path, method)


def test_each_problem_of_the_schema_has_an_example_of_the_shape_it_promises(
    schema: dict[str, Any],
) -> None:
    problem = Draft202012Validator(schema["components"]["schemas"]["Problem"])

    for name, response in schema["components"]["responses"].items():
        content = response["content"]["application/problem+json"]
        for example in content.get("examples", {}).values():
            assert list(problem.iter_errors(example["value"])) == [], name
    assert {"Problem400", "Problem401", "Problem404", "Problem409"} <= set(
        schema["components"]["responses"]
    )


def test_no_field_of_the_schema_could_show_a_secret(schema: dict[str, Any]) -> None:
    shown = {
        field
        for name, component in schema["components"]["schemas"].items()
        if not name.endswith("Request")
        for field in component.get("properties", {})
    }

    assert shown.isdisjoint({"secret", "token", "token_digest", "holder_digest", "credential"})
