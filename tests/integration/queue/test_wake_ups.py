"""Wake-ups, canaries and the tick: what django-q2 is asked to run, and when."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage

from reconciliation.models import Heartbeat, ReconciliationTask
from reconciliation.schedules import ensure_tick_schedule
from reconciliation.services.canary import meet_canary, send_canary
from reconciliation.services.tick import tick
from reconciliation.services.wake import wake, wake_at, wake_if_overlooked
from tests.factories.governance import CORRELATION_ID
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db


def messages() -> list[dict[str, Any]]:
    return [SignedPackage.loads(row.payload) for row in OrmQ.objects.order_by("lock", "id")]


def test_a_burst_of_work_shares_one_wake_up(queue: Queue) -> None:
    queue.clock.forward(milliseconds=51)
    for _ in range(10):
        wake(queue.clock.now)
        queue.clock.forward(milliseconds=5)

    [message] = messages()
    assert (message["func"], message["args"]) == ("reconciliation.tasks.drain", ())
    assert OrmQ.objects.get().key == settings.Q_CLUSTER["name"]


def test_a_wake_up_that_was_taken_already_covers_nobody(queue: Queue) -> None:
    wake(queue.clock.now)
    OrmQ.objects.update(lock=queue.clock.now + timedelta(seconds=300))  # as django-q2 takes it

    wake(queue.clock.now)

    assert OrmQ.objects.count() == 2


def test_work_for_later_is_woken_when_it_is_due(queue: Queue) -> None:
    due = queue.clock.now + timedelta(seconds=40)

    wake(due)

    assert due + timedelta(milliseconds=50) <= OrmQ.objects.get().lock
    assert OrmQ.objects.get().lock <= due + timedelta(milliseconds=150)


def test_many_moments_are_thinned_out(queue: Queue) -> None:
    now = queue.clock.now
    wake_at(now + timedelta(seconds=0.3 * number) for number in range(100))

    assert OrmQ.objects.count() == 5


def test_a_drain_may_outlast_its_time_by_the_exchanges_it_began(queue: Queue) -> None:
    wake(queue.clock.now)

    [message] = messages()
    assert settings.DRAIN_SECONDS + 60 < message["timeout"] < settings.Q_CLUSTER["retry"]


@pytest.mark.parametrize(("seconds", "woken"), [(2.9, False), (3.0, True)])
def test_work_that_lies_there_with_no_wake_up_waiting_is_woken(
    queue: Queue, seconds: float, woken: bool
) -> None:
    queue.observe(queue.repository())
    now = queue.clock.forward(seconds=seconds)

    assert wake_if_overlooked(now=now) is woken
    assert OrmQ.objects.exists() is woken


def test_work_that_lies_there_while_a_wake_up_waits_is_only_busy(queue: Queue) -> None:
    queue.observe(queue.repository())
    wake(queue.clock.now)
    now = queue.clock.forward(seconds=30)

    assert not wake_if_overlooked(now=now)


def test_work_whose_time_has_not_come_is_not_overlooked(queue: Queue) -> None:
    queue.put(queue.planned(queue.repository(), run_after=queue.clock.now + timedelta(minutes=5)))

    assert not wake_if_overlooked(now=queue.clock.forward(minutes=1))


def test_a_canary_for_this_cluster_leaves_its_mark(queue: Queue) -> None:
    send_canary("c1", now=queue.clock.now)
    [message] = messages()
    cluster, sent_at = message["args"]
    now = queue.clock.forward(seconds=1)

    assert message["func"] == "reconciliation.tasks.canary"
    assert (cluster, sent_at) == ("c1", (now - timedelta(seconds=1)).isoformat())
    assert meet_canary("c1", now - timedelta(seconds=1), here="c1", worker="w", now=now)
    beat = Heartbeat.objects.get(name="canary")
    assert (beat.at, beat.detail) == (now, "w")


def test_a_canary_for_another_cluster_is_passed_on_with_its_age(queue: Queue) -> None:
    sent_at = queue.clock.now
    now = queue.clock.forward(seconds=29)

    assert not meet_canary("c1", sent_at, here="c2", worker="w", now=now)

    [message] = messages()
    assert message["args"] == ("c1", sent_at.isoformat())
    assert not Heartbeat.objects.exists()


def test_a_canary_too_old_to_prove_anything_ends_here(queue: Queue) -> None:
    sent_at = queue.clock.now
    now = queue.clock.forward(seconds=30)

    assert not meet_canary("c1", sent_at, here="c2", worker="w", now=now)

    assert messages() == []


def test_the_tick_takes_back_lost_claims_and_wakes_what_is_due(queue: Queue) -> None:
    lost = queue.observe(queue.repository("acme/api"))
    queue.claim()
    queue.observe(queue.repository("acme/web"))
    now = queue.clock.forward(seconds=60)

    done = tick(
        budget=None,
        body_retention=timedelta(days=30),
        correlation_id=CORRELATION_ID,
        now=now,
    )

    assert (done.reaped, done.woken) == (1, True)
    assert task(lost).state == "queued"
    assert "reconciliation.tasks.drain" in [message["func"] for message in messages()]
    assert Heartbeat.objects.get(name="tick").at == now


def test_a_tick_with_nothing_to_do_wakes_nobody(queue: Queue) -> None:
    done = tick(
        budget=None,
        body_retention=timedelta(days=30),
        correlation_id=CORRELATION_ID,
        now=queue.clock.now,
    )

    assert (done.reaped, done.woken, done.planned) == (0, False, 0)
    assert not OrmQ.objects.exists()
    assert not ReconciliationTask.objects.exists()


def test_there_is_one_schedule_however_often_it_is_ensured(queue: Queue) -> None:
    for _ in range(3):
        ensure_tick_schedule(now=queue.clock.now)

    row = Schedule.objects.get()
    assert (row.func, row.minutes) == ("reconciliation.tasks.tick", 1)


def test_ensuring_the_schedule_mends_one_that_was_changed(queue: Queue) -> None:
    ensure_tick_schedule(now=queue.clock.now)
    Schedule.objects.update(func="os.abort", minutes=600, repeats=0, args="(")
    Schedule.objects.create(name="reconciler tick", func="os.abort", next_run=queue.clock.now)

    ensure_tick_schedule(now=queue.clock.now)

    row = Schedule.objects.get()
    assert (row.func, row.minutes, row.repeats, row.args) == (
        "reconciliation.tasks.tick",
        1,
        -1,
        None,
    )
