"""The webhook receiver as a host meets it: answers, what is stored, what is planned."""

import json
import zlib

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from reconciliation.models import (
    ReconciliationTask,
    TaskState,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSource,
)
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C
from tests.factories.webhooks import (
    ZERO,
    gitea_headers,
    github_headers,
    push_body,
    webhook_source,
)
from tests.functional.webhooks.sending import post, push

pytestmark = pytest.mark.django_db


def test_a_signed_push_is_stored_planned_and_answered_with_its_correlation_id(
    source: WebhookSource,
) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answer = post(source, body, github_headers(body))

    assert answer.status_code == 202
    told = answer.json()
    delivery = WebhookDelivery.objects.get()
    task = ReconciliationTask.objects.get()
    assert told == {
        "outcome": "accepted",
        "reason": "ok",
        "delivery": delivery.pk,
        "task": task.pk,
        "correlation_id": delivery.correlation_id,
    }
    assert answer["X-Correlation-ID"] == delivery.correlation_id == task.correlation_id
    assert zlib.decompress(bytes(delivery.body or b"")) == body
    assert delivery.task_id == task.pk
    assert (task.task_kind, task.branch, task.origin) == ("observe_refs", "", "webhook")
    assert task.subject == f"push main:{HEAD_A}..{HEAD_B}"
    assert OrmQ.objects.count() == 1


def test_a_new_delivery_costs_one_statement_on_postgresql_and_three_on_sqlite(
    source: WebhookSource,
) -> None:
    push(source, HEAD_A, HEAD_B, delivery="warm-the-source-cache")
    body = push_body("main", HEAD_B, HEAD_C)
    headers = github_headers(body, delivery="counted")

    with CaptureQueriesContext(
        connection,
    ) as captured:
        post(source, body, headers)

    statements = [
        query["sql"]
        for query in captured.captured_queries
        if not query["sql"].startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))
    ]
    assert len(statements) == (1 if connection.vendor == "postgresql" else 3)


def test_both_spellings_of_the_address_answer_without_a_redirect(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answer = post(source, body, github_headers(body), slash="/")

    assert answer.status_code == 202


def test_one_push_announced_by_two_hooks_is_one_task(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="repository-hook")
    ReconciliationTask.objects.update(state=TaskState.COMPLETED)

    push(source, HEAD_A, HEAD_B, delivery="organisation-hook")

    task = ReconciliationTask.objects.get()
    assert (task.state, task.series) == (TaskState.QUEUED, 2)
    assert WebhookDelivery.objects.filter(task=task).count() == 2


def test_a_push_during_an_observation_gets_one_of_its_own(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="d-1")
    ReconciliationTask.objects.update(
        state=TaskState.RUNNING, claim_expires_at="2100-01-01T00:00:00Z"
    )

    push(source, HEAD_B, HEAD_C, delivery="d-2")

    states = sorted(ReconciliationTask.objects.values_list("state", flat=True))
    assert states == ["queued", "running"]


def test_a_branch_that_swings_back_and_forth_is_observed_each_time(source: WebhookSource) -> None:
    moves = [(HEAD_A, HEAD_B), (HEAD_B, HEAD_A), (HEAD_A, HEAD_B), (HEAD_B, HEAD_A)]
    observed = 0

    for number, (before, after) in enumerate(moves):
        push(source, before, after, delivery=f"d-{number}")
        observed += ReconciliationTask.objects.filter(state="queued").update(state="completed")

    assert observed == 4


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-Hub-Signature-256": "sha256=" + "0" * 64}, "mismatch"),
        ({"X-Hub-Signature-256": "sha256="}, "empty_signature"),
        ({"X-Hub-Signature-256": ""}, "empty_signature"),
        ({"X-Hub-Signature-256": "nonsense"}, "malformed_signature"),
    ],
)
def test_a_bad_signature_is_refused_counted_and_stores_no_work(
    source: WebhookSource, headers: dict[str, str], code: str
) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answers = [post(source, body, {**github_headers(body), **headers}) for _ in range(3)]

    answer = answers[-1]
    problem = answer.json()
    assert answer.status_code == 401
    assert answer["Content-Type"] == "application/problem+json"
    assert problem["code"] == code
    assert problem["correlation_id"] == answer["X-Correlation-ID"]
    assert not WebhookDelivery.objects.exists()
    assert not ReconciliationTask.objects.exists()
    assert WebhookRefusal.objects.get(reason=code).count == 3


def test_a_forged_delivery_id_does_not_burn_the_real_one(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    post(source, body, {**github_headers(body, secret="guessed"), "X-GitHub-Delivery": "d-1"})

    real = push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert real.json()["outcome"] == "accepted"


def test_an_unknown_source_is_404(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answer = Client().post(
        "/api/v1/webhooks/nobody",
        data=body,
        content_type="application/json",
        headers=github_headers(body),
    )

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_source")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ref": 1}', b"\xff\xfe", b'{"a":1,"a":2}', b""])
def test_a_signed_body_that_is_no_push_is_400_and_no_work(
    source: WebhookSource, body: bytes
) -> None:
    answer = post(source, body, github_headers(body))

    assert answer.status_code == 400
    assert answer.json()["correlation_id"]
    assert WebhookDelivery.objects.get().outcome == "malformed"
    assert not ReconciliationTask.objects.exists()


def test_a_body_over_the_cap_is_413(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="gitea")
    body = b"x" * (3 * 1024 * 1024 + 1)

    answer = post(source, body, gitea_headers(body))

    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert not WebhookDelivery.objects.exists()


def test_gitlab_is_never_told_4xx_for_a_large_or_strange_body(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="gitlab")
    headers = {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": "a secret of the tests"}

    large = post(source, b"x" * (3 * 1024 * 1024 + 1), headers)
    strange = post(source, b"{", headers)

    assert (large.status_code, large.json()["outcome"]) == (202, "ignored")
    assert (strange.status_code, strange.json()["outcome"]) == (202, "ignored")


def test_an_event_that_we_ignore_is_202_and_kept(source: WebhookSource) -> None:
    body = json.dumps({"action": "opened"}).encode()

    answer = post(source, body, github_headers(body, event="issues"))

    assert (answer.status_code, answer.json()["outcome"]) == (202, "ignored")
    assert WebhookDelivery.objects.get().outcome == "ignored"
    assert not ReconciliationTask.objects.exists()


def test_a_tag_push_is_no_branch_work(source: WebhookSource) -> None:
    body = push_body("x", ZERO, HEAD_B).replace(b"refs/heads/x", b"refs/tags/v1")

    answer = post(source, body, github_headers(body))

    assert answer.status_code == 202
    assert not ReconciliationTask.objects.exists()


def test_gitea_headers_beside_github_ones_work_on_a_gitea_source(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="gitea")
    body = push_body("feature/ünï/x", HEAD_A, HEAD_B)

    answer = post(source, body, gitea_headers(body))

    assert answer.json()["outcome"] == "accepted"
    assert "feature/ünï/x" in ReconciliationTask.objects.get().subject


def test_a_get_is_405_with_problem_details(source: WebhookSource) -> None:
    answer = Client().get(f"/api/v1/webhooks/{source.token}")

    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
