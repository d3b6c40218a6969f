"""A refusal names its cause: a body that was encoded on its way, two headers of one name."""

import gzip

import pytest

from reconciliation.models import WebhookDelivery, WebhookRefusal, WebhookSource
from reconciliation.webhooks.hosts import HostKind
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import SECRET, github_headers, push_body, webhook_source
from tests.functional.webhooks.sending import post

pytestmark = pytest.mark.django_db

BODY = push_body("main", HEAD_A, HEAD_B)


def test_a_body_that_a_proxy_compressed_is_named_as_the_cause(source: WebhookSource) -> None:
    headers = github_headers(BODY) | {"Content-Encoding": "gzip"}

    answer = post(source, gzip.compress(BODY), headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "content_encoding")
    assert "Content-Encoding" in answer.json()["detail"]
    assert "Compare the secret" not in answer.json()["detail"]
    assert WebhookRefusal.objects.get().reason == "content_encoding"


def test_an_encoded_body_of_a_host_that_signs_no_body_is_named_too(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host=HostKind.GITLAB)
    headers = {
        "X-Gitlab-Token": SECRET,
        "X-Gitlab-Event": "Push Hook",
        "Content-Encoding": "gzip",
    }

    answer = post(source, gzip.compress(b"{}"), headers)

    assert answer.json().get("code", answer.json().get("reason")) == "content_encoding"
    assert WebhookDelivery.objects.get().reason == "content_encoding"


@pytest.mark.parametrize("coding", ["identity", "", "utf-8", "gzip"])
def test_a_body_that_is_as_it_was_signed_is_taken_whatever_the_header_says(
    source: WebhookSource, coding: str
) -> None:
    answer = post(source, BODY, github_headers(BODY) | {"Content-Encoding": coding})

    assert answer.status_code == 202
    assert WebhookDelivery.objects.count() == 1


def test_a_wrong_secret_without_an_encoding_is_a_mismatch_as_ever(source: WebhookSource) -> None:
    answer = post(source, BODY + b" ", github_headers(BODY))

    assert (answer.status_code, answer.json()["code"]) == (401, "mismatch")
    assert "Compare the secret" in answer.json()["detail"]


def test_two_signature_headers_are_named_as_two(source: WebhookSource) -> None:
    headers = github_headers(BODY)
    name = next(name for name in headers if name.lower() == "x-hub-signature-256")
    # Servers join headers of one name by a comma.
    answer = post(source, BODY, headers | {name: f"{headers[name]}, {headers[name]}"})

    assert (answer.status_code, answer.json()["code"]) == (401, "repeated_signature")
    assert "two headers of one name" in answer.json()["detail"]
