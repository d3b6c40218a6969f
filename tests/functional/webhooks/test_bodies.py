"""Bodies as servers hand them over: cut short, in chunks, too large, as forms, with odd text."""

import io
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from governance.models import Repository
from reconciliation.models import (
    Alert,
    ReconciliationTask,
    RepositoryWatch,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSource,
)
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import gitea_headers, github_headers, push_body, webhook_source
from tests.functional.webhooks.sending import post

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"


def as_server(stream: io.BytesIO, **environ: Any) -> dict[str, Any]:
    return {"wsgi.input": stream, **environ}


def test_a_body_that_is_cut_short_is_no_signature_failure(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    broken = as_server(io.BytesIO(body[:100]), CONTENT_LENGTH=str(len(body)))

    answer = post(source, body, github_headers(body), **broken)

    assert (answer.status_code, answer.json()["code"]) == (400, "incomplete_body")
    assert "100 of the" in answer.json()["detail"]
    assert WebhookRefusal.objects.get().reason == "incomplete_body"
    assert not Alert.objects.exists()


def test_a_sender_that_hangs_up_is_no_server_error(source: WebhookSource) -> None:
    class HungUp(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError("the client went away")

    body = push_body("main", HEAD_A, HEAD_B)

    answer = post(source, body, github_headers(body), **as_server(HungUp()))

    assert (answer.status_code, answer.json()["code"]) == (400, "incomplete_body")


def test_a_body_in_chunks_is_read_to_its_end(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    chunked = as_server(
        io.BytesIO(body),
        CONTENT_LENGTH="",
        HTTP_TRANSFER_ENCODING="chunked",
        **{"wsgi.input_terminated": True},
    )

    answer = post(source, body, github_headers(body), **chunked)

    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")


def test_a_body_in_chunks_from_a_server_that_knows_no_end_of_them_is_411(
    source: WebhookSource,
) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    chunked = as_server(io.BytesIO(body), CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")

    answer = post(source, body, github_headers(body), **chunked)

    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


@pytest.mark.parametrize(("over", "status"), [(0, 202), (1, 413)])
def test_the_cap_is_exact_and_only_one_byte_more_is_read(
    tenant_world: World, over: int, status: int
) -> None:
    source = webhook_source(tenant_world.repository, host="gitea")
    cap = 3 * 1024 * 1024
    body = push_body("main", HEAD_A, HEAD_B)
    body += b" " * (cap - len(body) + over)

    answer = post(source, body, gitea_headers(body))

    assert answer.status_code == status


def test_chunks_beyond_the_cap_are_413_too(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="gitea")
    body = b"x" * (3 * 1024 * 1024 + 1)
    chunked = as_server(
        io.BytesIO(body),
        CONTENT_LENGTH="",
        HTTP_TRANSFER_ENCODING="chunked",
        **{"wsgi.input_terminated": True},
    )

    assert post(source, b"", gitea_headers(body), **chunked).status_code == 413


@pytest.mark.parametrize("host", ["gitlab", "gitea"])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_body_over_the_cap_is_taken_off_the_line_so_that_its_sender_sees_the_answer(
    tenant_world: World, host: str, in_chunks: bool
) -> None:
    source = webhook_source(tenant_world.repository, host=host)
    stream = io.BytesIO(b"x" * (10 * 1024 * 1024))
    framing = (
        {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        if in_chunks
        else {"CONTENT_LENGTH": str(10 * 1024 * 1024)}
    )

    answer = post(source, b"", {}, **as_server(stream, **framing))

    assert answer.status_code == (202 if host == "gitlab" else 413)
    assert stream.read() == b""


def test_no_more_than_32_mib_are_ever_taken_off_the_line(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="gitea")
    piece, taken = b"x" * (64 * 1024), []

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            taken.append(size)
            return piece

    answer = post(source, b"", {}, **as_server(Endless(), CONTENT_LENGTH=str(10**12)))

    assert answer.status_code == 413
    assert len(taken) * len(piece) == 32 * 1024 * 1024


def test_what_was_too_large_is_read_by_the_next_sweep(source: WebhookSource) -> None:
    later = timezone.now() + timedelta(hours=1)
    watch = RepositoryWatch.objects.create(
        repository=Repository.objects.get(webhook_sources=source), next_due_at=later
    )

    post(source, b"", {}, **as_server(io.BytesIO(), CONTENT_LENGTH=str(26 * 1024 * 1024)))

    watch.refresh_from_db()
    assert watch.next_due_at <= timezone.now()
    assert not ReconciliationTask.objects.exists()


def test_a_form_of_github_is_signed_outside(source: WebhookSource) -> None:
    form = urlencode({"payload": push_body("main", HEAD_A, HEAD_B).decode()}).encode()

    answer = post(source, form, github_headers(form), content_type=FORM)

    assert answer.json()["outcome"] == "accepted"


def test_a_form_of_gitea_is_signed_inside(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="gitea")
    body = push_body("main", HEAD_A, HEAD_B)
    form = urlencode({"payload": body.decode()}).encode()

    inside = post(source, form, gitea_headers(body, delivery="in"), content_type=FORM)
    outside = post(source, form, gitea_headers(form, delivery="out"), content_type=FORM)

    assert inside.json()["outcome"] == "accepted"
    assert outside.status_code == 401


@pytest.mark.parametrize(
    "branch", ["a/b/c", "refs/heads/odd", "v1.0", "ünï/日本", "e\u0301", "é", "😀"]
)
def test_odd_branch_names_are_understood_as_git_has_them(
    source: WebhookSource, branch: str
) -> None:
    body = push_body(branch, HEAD_A, HEAD_B)

    answer = post(source, body, github_headers(body))

    assert answer.status_code == 202
    if answer.json()["outcome"] == "accepted":
        assert json.loads(WebhookDelivery.objects.get().events)[0]["branch"] == branch


@pytest.mark.parametrize("text", ["\\ud800", "\\udfff\\ud800", "\\u0000", "x\\u0000y", "\\u202e"])
@pytest.mark.parametrize("where", ["ref", "pusher", "full_name", "clone_url"])
def test_text_that_no_database_could_hold_is_never_a_server_error(
    source: WebhookSource, where: str, text: str
) -> None:
    document = json.loads(push_body("main", HEAD_A, HEAD_B))
    document["ref"] = f"refs/heads/{text}" if where == "ref" else document["ref"]
    if where == "pusher":
        document["pusher"] = document["sender"] = {"name": text, "login": text}
    if where in document["repository"]:
        document["repository"][where] = f"acme/{text}"
    body = json.dumps(document).encode()

    assert post(source, body, github_headers(body)).status_code in (202, 400)
