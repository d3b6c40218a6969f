"""A delivery id seen before: dedupe by what became of it, not by having seen it."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from governance.models import Repository
from reconciliation.models import (
    ReconciliationTask,
    RepositoryWatch,
    TaskState,
    WebhookDelivery,
    WebhookSource,
)
from reconciliation.services.sources import forget_cached_sources
from reconciliation.webhooks import dialects
from reconciliation.webhooks.hosts import HostKind
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import github_headers, push_body
from tests.functional.webhooks.sending import post, push

pytestmark = pytest.mark.django_db


def test_the_same_delivery_id_again_is_a_duplicate_and_plans_nothing(
    source: WebhookSource,
) -> None:
    first = push(source, HEAD_A, HEAD_B, delivery="d-1").json()

    again = push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert again.status_code == 202
    assert again.json()["outcome"] == "duplicate"
    assert again.json()["correlation_id"] == first["correlation_id"]
    assert again.json()["delivery"] == first["delivery"]
    assert WebhookDelivery.objects.count() == ReconciliationTask.objects.count() == 1


def test_a_redelivered_id_that_was_worked_is_a_duplicate_and_stays_worked(
    source: WebhookSource,
) -> None:
    push(source, HEAD_A, HEAD_B, delivery="d-1")
    ReconciliationTask.objects.update(state=TaskState.COMPLETED)
    WebhookDelivery.objects.update(applied_at=timezone.now())

    again = push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert again.json()["outcome"] == "duplicate"
    assert ReconciliationTask.objects.get().state == TaskState.COMPLETED
    assert WebhookDelivery.objects.get().applied_at is not None


def test_a_redelivered_id_whose_work_died_is_worked_again(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="d-1")
    ReconciliationTask.objects.update(state=TaskState.DEAD, attempts=7)

    again = push(source, HEAD_A, HEAD_B, delivery="d-1")

    task = ReconciliationTask.objects.get()
    assert again.json()["outcome"] == "accepted"
    assert (task.state, task.attempts, task.series) == (TaskState.QUEUED, 0, 2)


def test_a_redelivered_id_whose_work_was_discarded_is_worked_again(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="d-1")
    ReconciliationTask.objects.update(state=TaskState.DISCARDED)

    again = push(source, HEAD_A, HEAD_B, delivery="d-1")

    assert again.json()["outcome"] == "accepted"
    assert ReconciliationTask.objects.get().state == TaskState.QUEUED


def test_what_was_not_understood_is_worked_when_it_comes_again_understood(
    source: WebhookSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pushes = replace(dialects.DIALECTS[HostKind.GITHUB], handled={}, ignored={})
    with monkeypatch.context() as older:
        older.setattr(dialects, "DIALECTS", {**dialects.DIALECTS, HostKind.GITHUB: without_pushes})
        first = push(source, HEAD_A, HEAD_B, delivery="d-1").json()

    again = push(source, HEAD_A, HEAD_B, delivery="d-1").json()

    delivery = WebhookDelivery.objects.get()
    assert (first["outcome"], first["reason"]) == ("ignored", "unknown_event")
    assert again["outcome"] == delivery.outcome == "accepted"
    assert delivery.task_id == again["task"] == ReconciliationTask.objects.get().pk
    assert json.loads(delivery.events)[0]["branch"] == "main"


def test_a_malformed_body_is_kept_and_worked_when_a_good_one_comes_under_its_id(
    source: WebhookSource,
) -> None:
    broken = b'{"ref": 1}'
    refused = post(source, broken, github_headers(broken, delivery="d-1"))

    again = push(source, HEAD_A, HEAD_B, delivery="d-1")

    delivery = WebhookDelivery.objects.get()
    assert (refused.status_code, refused.json()["delivery"]) == (400, delivery.pk)
    assert (again.status_code, again.json()["outcome"]) == (202, "accepted")
    assert delivery.body_bytes == len(push_body("main", HEAD_A, HEAD_B))


def test_a_malformed_body_makes_the_next_sweep_read_the_repository(source: WebhookSource) -> None:
    later = timezone.now() + timedelta(hours=1)
    watch = RepositoryWatch.objects.create(
        repository=Repository.objects.get(webhook_sources=source), next_due_at=later
    )

    post(source, b"{", github_headers(b"{"))

    watch.refresh_from_db()
    assert watch.next_due_at <= timezone.now()


def test_what_was_ignored_while_the_repository_was_off_is_worked_when_it_is_on(
    source: WebhookSource,
) -> None:
    Repository.objects.filter(webhook_sources=source).update(is_active=False)
    off = push(source, HEAD_A, HEAD_B, delivery="d-1").json()
    Repository.objects.filter(webhook_sources=source).update(is_active=True)
    forget_cached_sources()

    again = push(source, HEAD_A, HEAD_B, delivery="d-1").json()

    assert (off["outcome"], off["reason"]) == ("ignored", "the repository is switched off")
    assert again["outcome"] == "accepted"


def test_an_event_that_asks_for_nothing_is_a_duplicate_when_it_comes_again(
    source: WebhookSource,
) -> None:
    body = json.dumps({"action": "opened"}).encode()
    headers = github_headers(body, event="issues")
    post(source, body, headers)

    assert post(source, body, headers).json()["outcome"] == "duplicate"
    assert WebhookDelivery.objects.count() == 1
