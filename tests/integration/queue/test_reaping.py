"""Reaping: what a dead worker held comes back later, and what kills workers stays down."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.services import verify
from reconciliation.domain.retry import backoff
from reconciliation.models import AttemptOutcome, TaskAttempt
from reconciliation.services.batches import work_batch
from reconciliation.services.claiming import CLAIM_LOST
from reconciliation.services.reap import reap_lost_claims
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db


def lose(queue: Queue, *, worker: str = "ada") -> int:
    """Let a worker claim what is due and never be heard of again."""
    queue.claim(worker)
    queue.clock.forward(seconds=60)
    return reap_lost_claims(now=queue.clock.now)


def test_a_claim_is_taken_back_when_its_time_is_up_and_not_before(queue: Queue) -> None:
    queue.observe(queue.repository())
    queue.claim()

    queue.clock.forward(seconds=59)
    assert reap_lost_claims(now=queue.clock.now) == 0
    queue.clock.forward(seconds=1)
    assert reap_lost_claims(now=queue.clock.now) == 1
    assert reap_lost_claims(now=queue.clock.now) == 0


def test_a_lost_attempt_counts_is_told_and_waits_its_backoff(queue: Queue) -> None:
    pk = queue.observe(queue.repository())

    lose(queue, worker="ada")

    row = task(pk)
    assert (row.state, row.attempts, row.claimed_by, row.claim_expires_at) == (
        "queued",
        1,
        "",
        None,
    )
    assert row.run_after == queue.clock.now + backoff(row.idempotency_key, 1)
    assert (row.last_error_class, row.last_error_code) == ("transient", CLAIM_LOST)
    attempt = TaskAttempt.objects.get()
    assert (attempt.outcome, attempt.worker, attempt.number) == (AttemptOutcome.LOST, "ada", 1)
    assert attempt.ended_at - attempt.started_at == timedelta(seconds=60)
    assert verify("acme") is None


def test_a_task_that_takes_its_worker_down_three_times_is_poison(queue: Queue) -> None:
    pk = queue.observe(queue.repository())

    for _ in range(2):
        assert lose(queue) == 1
        queue.clock.now = task(pk).run_after
    lose(queue)

    row = task(pk)
    assert (row.state, row.attempts, row.last_error_class) == ("dead", 3, "poison")
    assert queue.claim() == []
    assert list(TaskAttempt.objects.order_by("number").values_list("number", "outcome")) == [
        (1, "lost"),
        (2, "lost"),
        (3, "lost"),
    ]


def test_a_poisonous_task_takes_none_of_its_batch_down_with_it(queue: Queue) -> None:
    innocent = [queue.observe(queue.repository(f"acme/{name}")) for name in ("api", "web")]
    poison = queue.observe(queue.repository("acme/bad"))
    for _ in range(20):
        batch = queue.claim()
        if any(one.id == poison for one in batch):  # whoever works this one dies
            queue.clock.forward(seconds=60)
            reap_lost_claims(now=queue.clock.now)
            queue.clock.forward(minutes=15)
        elif batch:
            work_batch(batch, remote=queue.remote, worker="ada", clock=queue.clock)

    assert task(poison).state == "dead"
    assert [task(pk).state for pk in innocent] == ["completed", "completed"]
    assert [task(pk).attempts for pk in innocent] == [2, 2]


def test_losses_of_an_earlier_series_are_not_held_against_a_task(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    for _ in range(2):
        lose(queue)
        queue.clock.now = task(pk).run_after
    queue.drain()
    assert task(pk).state == "completed"

    queue.observe(repository)
    lose(queue)

    assert (task(pk).state, task(pk).series, task(pk).attempts) == ("queued", 2, 1)


def test_taking_back_many_claims_costs_no_more_statements_than_taking_back_one(
    queue: Queue,
) -> None:
    def cost(count: int, tenant: str) -> int:
        for number in range(count):
            queue.observe(queue.repository(f"{tenant}/r{number}"))
        queue.claim()
        queue.clock.forward(seconds=60)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert reap_lost_claims(now=queue.clock.now) == count
        return sum("django_q_ormq" not in query["sql"] for query in seen)

    assert cost(1, "acme") == cost(40, "rival")
