"""Bursts: many deliveries share one observation, and none of them is left behind by a race."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from reconciliation.models import ReconciliationTask, TaskState, WebhookDelivery, WebhookSource
from reconciliation.services.claiming import claim
from reconciliation.services.queue import ClaimedTask
from tests.factories.governance import HEAD_A, HEAD_B
from tests.functional.webhooks.sending import push

pytestmark = pytest.mark.django_db


def burst(source: WebhookSource, number: int, *, start: int = 0) -> None:
    for index in range(start, start + number):
        push(source, f"{index:040x}", f"{index + 1:040x}", delivery=f"d-{index}")


def claim_now() -> list[ClaimedTask]:
    return claim(worker="w", now=timezone.now(), limit=10, lasts=timedelta(minutes=1))


def test_a_burst_joins_the_observation_that_waits(source: WebhookSource) -> None:
    burst(source, 20)

    task = ReconciliationTask.objects.get()
    assert WebhookDelivery.objects.filter(task=task).count() == 20


@pytest.mark.parametrize(("seconds", "tasks"), [(4, 1), (6, 2)])
def test_an_observation_overdue_for_five_seconds_is_left_to_its_worker(
    source: WebhookSource, seconds: int, tasks: int
) -> None:
    burst(source, 1)
    ReconciliationTask.objects.update(run_after=timezone.now() - timedelta(seconds=seconds))

    burst(source, 1, start=1)

    assert ReconciliationTask.objects.count() == tasks


def test_without_a_worker_two_observations_wait_at_most(source: WebhookSource) -> None:
    for start in range(4):
        burst(source, 5, start=5 * start)
        ReconciliationTask.objects.update(run_after=timezone.now() - timedelta(minutes=1))

    oldest, newest = ReconciliationTask.objects.order_by("id")
    joined = WebhookDelivery.objects.order_by("id").values_list("task_id", flat=True)
    assert list(joined) == [oldest.pk] * 5 + [newest.pk] * 15


def test_one_that_waits_for_a_retry_is_joined_and_keeps_its_wait(source: WebhookSource) -> None:
    burst(source, 1)
    later = timezone.now() + timedelta(minutes=10)
    ReconciliationTask.objects.update(run_after=later, attempts=3)

    burst(source, 1, start=1)

    assert ReconciliationTask.objects.get().run_after == later


def in_thread(act: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def wait_until_somebody_waits() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE NOT granted")
            row = cursor.fetchone()
        if row and row[0]:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waited: the delivery joined a task that was being claimed")


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_delivery_that_meets_a_claim_gets_an_observation_of_its_own(
    source: WebhookSource,
) -> None:
    burst(source, 1)

    with transaction.atomic():
        [claimed] = claim_now()
        late = in_thread(lambda: push(source, HEAD_A, HEAD_B, delivery="late"))
        wait_until_somebody_waits()
    late.join(10)

    task = WebhookDelivery.objects.select_related("task").get(delivery_id="late").task
    assert task is not None
    assert task.pk != claimed.id
    assert task.state == TaskState.QUEUED


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_worker_passes_over_an_observation_while_it_is_joined(source: WebhookSource) -> None:
    burst(source, 1)
    claimed: list[ClaimedTask] = []

    with transaction.atomic():
        push(source, HEAD_A, HEAD_B, delivery="late")
        in_thread(lambda: claimed.extend(claim_now())).join(10)
    afterwards = claim_now()

    assert claimed == []
    assert [one.id for one in afterwards] == [ReconciliationTask.objects.get().pk]
    assert WebhookDelivery.objects.filter(task_id=afterwards[0].id).count() == 2


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_one_delivery_sent_by_eight_at_once_is_kept_once(source: WebhookSource) -> None:
    outcomes: list[str] = []

    def send() -> None:
        outcomes.append(push(source, HEAD_A, HEAD_B, delivery="d-1").json()["outcome"])

    threads = [in_thread(send) for _ in range(8)]
    for thread in threads:
        thread.join(20)

    assert sorted(outcomes) == ["accepted"] + ["duplicate"] * 7
    assert WebhookDelivery.objects.count() == ReconciliationTask.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_died_while_idle_costs_no_delivery(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="before")
    stray = connection.copy("stray")
    with connection.cursor() as cursor, stray.cursor() as other:
        cursor.execute("SELECT pg_backend_pid()")
        other.execute("SELECT pg_terminate_backend(%s, 5000)", cursor.fetchone())
    stray.close()

    answer = push(source, HEAD_B, HEAD_A, delivery="after")

    assert (answer.status_code, answer.json()["outcome"]) == (202, "accepted")
    assert WebhookDelivery.objects.count() == 2


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_pooled", [False, True])
def test_only_a_session_of_its_own_keeps_the_statement(
    source: WebhookSource, settings: Any, is_pooled: bool
) -> None:
    settings.TRANSACTION_POOLING = is_pooled
    connection.close()

    for delivery in ("first", "second"):
        assert push(source, HEAD_A, HEAD_B, delivery=delivery).status_code == 202

    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0 if is_pooled else 1,)
    assert WebhookDelivery.objects.count() == 2
