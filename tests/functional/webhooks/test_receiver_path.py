"""The receiver's short way in keeps what every answer has: id, problem, metrics, and one log."""

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client import REGISTRY

from reconciliation.api import webhooks
from reconciliation.models import WebhookSource
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import github_headers, push_body
from tests.functional.webhooks.sending import post, push

pytestmark = pytest.mark.django_db

# As a server would: errors become answers.
as_hosts_see_it = Client(raise_request_exception=False)


def counted(status: str) -> float:
    labels = {"status": status, "view": "webhook", "method": "POST"}
    name = "django_http_responses_total_by_status_view_method_total"
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_a_delivery_is_counted_under_its_view(source: WebhookSource) -> None:
    before = counted("202")

    push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert counted("202") == before + 1


def test_a_callers_correlation_id_is_adopted_and_given_back(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answer = post(source, body, github_headers(body) | {"X-Correlation-ID": "given-by-a-proxy"})

    assert answer["X-Correlation-ID"] == answer.json()["correlation_id"] == "given-by-a-proxy"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Length"] == str(len(answer.content))


def test_the_unexpected_is_answered_in_structure_and_logged_once(
    source: WebhookSource, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(webhooks, "receive", fail)
    before = counted("500")

    answer = as_hosts_see_it.post(
        f"/api/v1/webhooks/{source.token}", data=b"{}", content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["correlation_id"] == answer["X-Correlation-ID"]
    assert counted("500") == before + 1
    assert [record.exc_text is not None for record in caplog.records] == [True]
    assert "nobody thought of this" in caplog.text


def test_a_database_that_does_not_answer_asks_the_host_to_come_back(
    source: WebhookSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the database is starting up")

    monkeypatch.setattr(webhooks, "receive", fail)

    answer = as_hosts_see_it.post(
        f"/api/v1/webhooks/{source.token}", data=b"{}", content_type="application/json"
    )

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"]


def test_a_host_header_that_is_not_ours_loses_no_delivery(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)

    answer = post(source, body, github_headers(body), HTTP_HOST="10.0.0.7:8000")

    assert answer.status_code == 202


@pytest.mark.parametrize("rest", ["/a/b", "", "/", "//"])
def test_what_is_no_address_of_a_source_is_a_404_with_problem_details(rest: str) -> None:
    answer = Client().post(f"/api/v1/webhooks{rest}", data=b"{}", content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_token_with_a_nul_is_refused_before_any_database_sees_it() -> None:
    answer = Client().post("/api/v1/webhooks/a%00b", data=b"{}", content_type="application/json")

    assert answer.status_code == 400


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head"])
def test_other_methods_go_the_long_way_to_405(source: WebhookSource, method: str) -> None:
    answer = getattr(Client(), method)(f"/api/v1/webhooks/{source.token}")

    assert answer.status_code == 405
