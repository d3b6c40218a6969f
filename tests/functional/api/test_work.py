"""Tasks, sweeps, deliveries and traces over the API, and asking for work."""

import json
from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from reconciliation.models import ReconciliationTask, TaskAttempt, WebhookDelivery
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, NOON, api_client
from tests.factories.reconciliation import (
    AttemptFactory,
    DeliveryFactory,
    EvaluationFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
)
from tests.factories.webhooks import SECRET, github_headers, push_body, webhook_source

RECONCILE = "/api/v1/repositories/acme/api/reconcile"


@pytest.fixture
def operator(tenant_world: World) -> APIClient:
    return api_client(["read", "tasks"], tenant=tenant_world.tenant)


def item(tenant: str, branch: str) -> dict[str, Any]:
    """Return a worklist item as sweeps store it."""
    return {
        "about": "sweep",
        "branch": branch,
        "lease_id": None,
        "repo": "api",
        "run_id": None,
        "task_kind": "observe_refs",
        "tenant": tenant,
        "workspace": "main",
    }


def test_a_task_in_full_has_its_attempts_decisions_and_deliveries(
    operator: APIClient, tenant_world: World
) -> None:
    task = TaskFactory.create(repository=tenant_world.repository)
    AttemptFactory.create(task=task, outcome="retry", error_code="host_unavailable")
    AttemptFactory.create(task=task, number=2)
    EvaluationFactory.create(task=task)
    source = SourceFactory.create(repository=tenant_world.repository)
    DeliveryFactory.create(source=source, task=task)

    shown = operator.get(f"/api/v1/tasks/{task.pk}").json()

    assert [row["outcome"] for row in shown["attempt_rows"]] == ["completed", "retry"]
    assert shown["attempt_rows"][1]["error_code"] == "host_unavailable"
    [decision] = shown["evaluations"]
    assert (decision["task"], decision["decision"]) == (task.pk, {"decision": "report"})
    assert decision["facts"] == {"governed_head": HEAD_A, "observed_head": HEAD_B}
    assert [row["event"] for row in shown["deliveries"]] == ["push"]
    names = ("tenant", "workspace", "repo", "branch", "run_id", "lease_id", "task_kind")
    assert {name: shown[name] for name in names} == {
        "tenant": "acme",
        "workspace": "main",
        "repo": "api",
        "branch": "main",
        "run_id": None,
        "lease_id": None,
        "task_kind": "head_drift",
    }
    assert (shown["policy_decision"], shown["started_at"], shown["completed_at"]) == (
        "report",
        "2026-03-02T12:00:00.000000Z",
        "2026-03-02T12:00:02.000000Z",
    )


def test_a_request_to_reconcile_plans_an_observation_and_says_where_to_look(
    operator: APIClient,
) -> None:
    answer = operator.post(RECONCILE)

    task = ReconciliationTask.objects.get()
    assert answer.status_code == 202
    assert answer.json() == {"task": task.pk, "correlation_id": answer.headers["X-Correlation-ID"]}
    assert (task.task_kind, task.branch, task.origin) == ("observe_refs", "", "api")
    assert operator.get(answer.headers["Location"]).json()["state"] == "queued"
    assert operator.post(RECONCILE).json()["task"] != task.pk


def test_the_same_idempotency_key_is_the_same_task(operator: APIClient) -> None:
    headers = {"Idempotency-Key": "nightly-2026-03-02"}

    first = operator.post(RECONCILE, headers=headers)
    second = operator.post(RECONCILE, headers=headers)

    assert first.json() == second.json()
    assert first.headers["X-Correlation-ID"] != second.headers["X-Correlation-ID"]
    assert ReconciliationTask.objects.count() == 1


@pytest.mark.parametrize("key", ["short", "ends with spaces inside", "ümlaut-key-1"])
def test_an_idempotency_key_that_cannot_be_one_is_refused(key: str, operator: APIClient) -> None:
    answer = operator.post(RECONCILE, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/Idempotency-Key"
    assert ReconciliationTask.objects.count() == 0


def test_a_repository_that_is_switched_off_is_not_reconciled(
    operator: APIClient, tenant_world: World
) -> None:
    tenant_world.repository.is_active = False
    tenant_world.repository.save()

    answer = operator.post(RECONCILE)

    assert (answer.status_code, answer.json()["code"]) == (409, "inactive")


def test_a_sweep_tells_its_progress_from_its_tasks(
    operator: APIClient, tenant_world: World
) -> None:
    states = (["queued", "completed"], ["completed"], ["completed", "dead"])
    for number, of_one_sweep in enumerate(states):
        sweep = SweepFactory.create()
        for place, state in enumerate(of_one_sweep):
            TaskFactory.create(
                repository=tenant_world.repository,
                sweep=sweep,
                state=state,
                branch=f"b{number}-{place}",
            )

    shown = api_client().get("/api/v1/sweeps").json()["results"]

    assert [(row["status"], row["done"], row["tasks"]) for row in reversed(shown)] == [
        ("running", 1, 2),
        ("complete", 1, 1),
        ("degraded", 2, 2),
    ]
    assert shown[0]["tasks_by_state"] == {"completed": 1, "dead": 1}


def test_a_worklist_is_shown_in_order_with_what_became_of_each_item(tenant_world: World) -> None:
    items = [item("acme", ""), item("acme", "x"), item("rival", "")]
    sweep = SweepFactory.create(items=items, skipped={"budget": 4})
    done = TaskFactory.create(
        repository=tenant_world.repository,
        task_kind="observe_refs",
        branch="",
        origin="sweep",
        sweep=sweep,
        ordinal=0,
    )
    TaskFactory.create(
        repository=tenant_world.repository, origin="follow_up", sweep=sweep, parent=done
    )

    shown = api_client().get(f"/api/v1/sweeps/{sweep.pk}").json()

    assert [row["ordinal"] for row in shown["worklist"]] == [0, 1, 2]
    assert (shown["worklist"][0]["task"], shown["worklist"][0]["state"]) == (done.pk, "completed")
    assert (shown["worklist"][1]["task"], shown["worklist"][1]["state"]) == (None, None)
    assert (shown["tasks"], shown["planned"], shown["skipped"]) == (2, 3, {"budget": 4})
    assert shown["worklist_digest"] == sweep.worklist_digest


def test_a_caller_of_one_tenant_sees_its_part_of_a_sweep_and_no_totals(
    operator: APIClient, tenant_world: World
) -> None:
    sweep = SweepFactory.create(items=[item("acme", ""), item("rival", ""), item("acme", "z")])
    for repository in (tenant_world.repository, tenant_world.strange_repository):
        TaskFactory.create(repository=repository, origin="sweep", sweep=sweep)

    shown = operator.get(f"/api/v1/sweeps/{sweep.pk}").json()

    assert [(row["tenant"], row["ordinal"]) for row in shown["worklist"]] == [
        ("acme", 0),
        ("acme", 2),
    ]
    assert shown["tasks"] == 1
    totals = ("considered", "planned", "skipped", "budget_repositories", "worklist_digest")
    assert {shown[name] for name in totals} == {None}
    assert {operator.get("/api/v1/sweeps").json()["results"][0][name] for name in totals} == {None}


def test_a_long_worklist_is_read_in_stretches(tenant_world: World) -> None:
    sweep = SweepFactory.create(items=[item("acme", f"b{number}") for number in range(5)])
    client, seen, start = api_client(), [], 0

    while start is not None:
        shown = client.get(f"/api/v1/sweeps/{sweep.pk}?items=2&from_ordinal={start}").json()
        seen += [row["branch"] for row in shown["worklist"]]
        start = shown["next_ordinal"]

    assert seen == ["b0", "b1", "b2", "b3", "b4"]


def test_a_delivery_in_full_shows_what_it_said_and_caused_and_no_secret(
    operator: APIClient, tenant_world: World
) -> None:
    source = webhook_source(tenant_world.repository)
    body = push_body("main", HEAD_A, HEAD_B)
    received = APIClient().post(
        f"/api/v1/webhooks/{source.token}",
        body,
        content_type="application/json",
        headers=github_headers(body),
    )
    delivery = WebhookDelivery.objects.get(pk=received.json()["delivery"])
    task = ReconciliationTask.objects.get()
    TaskFactory.create(repository=tenant_world.repository, parent=task, origin="follow_up")

    shown = operator.get(f"/api/v1/deliveries/{delivery.pk}")

    told = shown.json()
    assert told["headers"]["x-github-event"] == "push"
    assert [(one["kind"], one["branch"], one["after"]) for one in told["events"]] == [
        ("push", "main", HEAD_B)
    ]
    assert [row["task_kind"] for row in told["tasks"]] == ["observe_refs", "head_drift"]
    assert (told["outcome"], told["applied_at"], told["body_is_kept"]) == ("accepted", None, True)
    signature = github_headers(body)["X-Hub-Signature-256"]
    for secret in (SECRET, source.token, signature, signature.removeprefix("sha256=")):
        assert secret not in shown.content.decode()


def test_a_trace_goes_from_the_delivery_to_the_trail_in_order_of_time(
    operator: APIClient, tenant_world: World
) -> None:
    trace = "trace-from-push-to-decision"
    task = TaskFactory.create(
        repository=tenant_world.repository,
        correlation_id=trace,
        created_at=NOON + timedelta(milliseconds=5),
    )
    attempt: TaskAttempt = AttemptFactory.create(task=task)
    evaluation = EvaluationFactory.create(task=task)
    source = SourceFactory.create(repository=tenant_world.repository)
    delivery = DeliveryFactory.create(source=source, task=task, correlation_id=trace)

    shown = operator.get(f"/api/v1/traces/{trace}").json()

    assert [(step["kind"], step["id"]) for step in shown["steps"]] == [
        ("delivery", delivery.pk),
        ("task", task.pk),
        ("attempt", attempt.pk),
        ("evaluation", evaluation.pk),
    ]
    assert shown["correlation_id"] == trace
    assert shown["steps"][2]["took_ms"] == 1000
    assert shown["is_truncated"] is False
    assert json.dumps(shown)
