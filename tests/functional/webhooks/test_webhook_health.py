"""Webhook holes of a repository, on its page and over the API."""

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.domain.canonical import utc_text
from governance.models import Branch
from reconciliation.models import RepositoryWatch, WebhookDelivery, WebhookSource
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, api_client
from tests.factories.webhooks import github_headers, push_body
from tests.functional.loop.test_the_loop import Loop, loop
from tests.functional.webhooks.hosted import Hosted
from tests.functional.webhooks.sending import post, push

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

ADDRESS = "/api/v1/repositories/acme/api"


def webhooks() -> dict[str, Any]:
    answer: dict[str, Any] = api_client().get(ADDRESS).json()["webhooks"]
    return answer


def test_a_hole_shows_by_state_share_and_words(loop: Loop) -> None:
    github = Hosted(loop, "github")
    loop.move("main", HEAD_B)
    github.sweep()

    shown = webhooks()

    assert (shown["state"], shown["percent_missed"], shown["unannounced_since"]) == ("deaf", 100, 1)
    assert "no delivery has ever come" in shown["words"]
    assert "A push of more than 5,000 branches sends no push event" in str(shown["blind_spots"])


def test_a_webhook_that_works_has_no_hole(loop: Loop) -> None:
    github = Hosted(loop, "github")
    loop.move("main", HEAD_B)
    github.push(HEAD_A, HEAD_B)
    github.settle()

    shown = webhooks()

    assert (shown["state"], shown["percent_missed"]) == ("unknown", 0)
    assert shown["last_delivery_at"]


def test_the_rhythm_is_read_from_the_deliveries_of_four_weeks(
    source: WebhookSource, tenant_world: World
) -> None:
    now = timezone.now()
    for number in range(12):
        push(source, f"{number:040x}", f"{number + 1:040x}", delivery=f"d-{number}")
    for number, row in enumerate(WebhookDelivery.objects.order_by("id")):
        row.received_at = now - timedelta(hours=100 + 3 * number)
        row.save(update_fields=["received_at"])
    RepositoryWatch.objects.create(
        repository=tenant_world.repository,
        next_due_at=now,
        last_delivery_at=now - timedelta(hours=100),
    )

    shown = webhooks()

    assert (shown["state"], shown["usual_silence_seconds"]) == ("silent", 3 * 3600)
    assert shown["words"] == "Silent for 4 d 4 h; in 28 days the longest silence was 3 h."


def test_a_ping_is_heard(source: WebhookSource) -> None:
    body = b'{"zen": "Design for failure.", "repository": {"id": 7, "full_name": "acme/api"}}'
    post(source, body, github_headers(body, event="ping"))

    shown = webhooks()

    assert shown["last_delivery_at"] == utc_text(WebhookDelivery.objects.get().received_at)
    assert shown["words"] == "Too few deliveries to know the usual rhythm; none was missed."


def test_a_hook_that_sends_discussions_every_hour_is_not_silent_between_pushes(
    source: WebhookSource, tenant_world: World
) -> None:
    now = timezone.now()
    body = b'{"action": "opened"}'
    for number in range(12):
        post(source, body, github_headers(body, event="issues", delivery=f"d-{number}"))
    for number, row in enumerate(WebhookDelivery.objects.order_by("id")):
        row.received_at = now - timedelta(hours=number)
        row.save(update_fields=["received_at"])
    RepositoryWatch.objects.create(
        repository=tenant_world.repository,
        next_due_at=now,
        last_delivery_at=now - timedelta(days=3),
    )

    assert webhooks()["state"] == "ok"


def test_a_hook_without_push_events_is_deaf_however_much_it_says(loop: Loop) -> None:
    github = Hosted(loop, "github")
    loop.move("main", HEAD_B)
    github.sweep()

    github.say("issues", {"action": "opened"})

    shown = webhooks()
    assert shown["state"] == "deaf"
    assert "though deliveries come" in shown["words"]


def test_a_refused_signature_shows_on_its_source(source: WebhookSource) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    post(source, body, github_headers(body, secret="wrong"))

    shown = webhooks()

    assert shown["state"] == "refused"
    [line] = shown["sources"]
    assert [refusal["reason"] for refusal in line["refusals"]] == ["mismatch"]
    assert source.token not in str(shown)


def test_a_body_that_was_too_large_does_not_make_a_webhook_refused(source: WebhookSource) -> None:
    too_large: dict[str, Any] = {
        "wsgi.input": io.BytesIO(),
        "CONTENT_LENGTH": str(26 * 1024 * 1024),
    }

    post(source, b"", {}, **too_large)

    assert webhooks()["state"] == "unknown"


def test_without_a_source_it_says_so(tenant_world: World) -> None:
    assert webhooks()["state"] == "no_source"


def test_the_page_says_it_in_words(loop: Loop) -> None:
    github = Hosted(loop, "gitea")
    loop.move("main", HEAD_B)
    github.sweep()
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"))

    page = client.get(reverse("pages:repository", args=["acme", "api"])).content.decode()

    assert "1 head moved and no delivery has ever come, unannounced" in page
    assert "What this host never announces" in page


def test_the_queries_do_not_grow_with_deliveries_or_branches(
    source: WebhookSource, tenant_world: World
) -> None:
    def asked() -> int:
        client = api_client()
        with CaptureQueriesContext(connection) as captured:
            client.get(ADDRESS)
        return len(captured.captured_queries)

    few = asked()
    for number in range(30):
        push(source, f"{number:040x}", f"{number + 1:040x}", delivery=f"d-{number}")
    Branch.objects.bulk_create(
        Branch(repository=tenant_world.repository, name=f"b{number}", first_seen_at=timezone.now())
        for number in range(30)
    )

    assert asked() == few
