"""Keeping claims alive while a batch is worked, from a thread with a connection of its own."""

import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from reconciliation.services.claim_keeping import ClaimKeeper
from reconciliation.services.reap import reap_lost_claims
from tests.integration.queue.programs import wait_until
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db(transaction=True)

LASTS = timedelta(seconds=0.9)


@pytest.fixture
def queue(transactional_db: None) -> Queue:
    """Return a world on the clock of the wall, because the keeper waits in real time."""
    world = Queue()
    world.clock.now = timezone.now()
    return world


def test_claims_are_extended_and_progress_is_told_for_as_long_as_a_batch_is_held(
    queue: Queue,
) -> None:
    pk = queue.observe(queue.repository())
    claimed = queue.claim()
    told: list[int] = []

    with ClaimKeeper(
        lasts=LASTS,
        at_most=timedelta(minutes=1),
        clock=timezone.now,
        progress=lambda: told.append(1),
    ) as keeper:
        keeper.hold(claimed)
        first = task(pk).claim_expires_at
        wait_until(lambda: task(pk).claim_expires_at != first, within_seconds=20)
        extended = task(pk).claim_expires_at
        wait_until(lambda: task(pk).claim_expires_at != extended, within_seconds=20)

    assert len(told) >= 2
    assert task(pk).state == "running"


def test_a_batch_that_takes_too_long_loses_its_claims_after_all(queue: Queue) -> None:
    pk = queue.observe(queue.repository())
    claimed = queue.claim()
    told: list[int] = []

    with ClaimKeeper(
        lasts=LASTS,
        at_most=timedelta(0),
        clock=timezone.now,
        progress=lambda: told.append(1),
    ) as keeper:
        keeper.hold(claimed)
        threading.Event().wait(1)

    assert told == []
    assert reap_lost_claims(now=queue.clock.now + timedelta(seconds=61)) == 1
    assert task(pk).state == "queued"


def test_claims_that_were_let_go_are_left_alone(queue: Queue) -> None:
    pk = queue.observe(queue.repository())
    claimed = queue.claim()

    with ClaimKeeper(
        lasts=LASTS, at_most=timedelta(minutes=1), clock=timezone.now, progress=lambda: None
    ) as keeper:
        keeper.hold(claimed)
        keeper.hold(())
        threading.Event().wait(1)

    assert task(pk).claim_expires_at == queue.clock.now + timedelta(seconds=60)
