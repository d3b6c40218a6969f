"""Queueing: the same thing is one task for ever, and what is announced again is worked again."""

from datetime import timedelta

import pytest

from reconciliation.models import ReconciliationTask, TaskKind, TaskState
from reconciliation.services.queue import enqueue
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db


def test_the_same_thing_asked_for_twice_is_one_task(queue: Queue) -> None:
    repository = queue.repository()

    first = queue.put(queue.planned(repository), queue.planned(repository))
    second = queue.put(queue.planned(repository))

    assert first == second
    assert ReconciliationTask.objects.count() == 1


def test_ids_follow_the_canonical_order_whatever_the_order_of_planning(queue: Queue) -> None:
    repository = queue.repository()
    planned = [queue.planned(repository, name, TaskKind.HEAD_DRIFT) for name in ("b", "a", "c")]

    queue.put(*planned)

    rows = ReconciliationTask.objects.order_by("id").values_list("branch", flat=True)
    assert list(rows) == ["a", "b", "c"]


@pytest.mark.parametrize("ended", [TaskState.COMPLETED, TaskState.DEAD, TaskState.DISCARDED])
def test_a_finished_task_that_is_announced_again_starts_a_new_series(
    queue: Queue, ended: TaskState
) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    ReconciliationTask.objects.filter(pk=pk).update(
        state=ended, attempts=4, completed_at=queue.clock.now, run_id="run-7", ordinal=12
    )
    queue.clock.forward(minutes=5)

    assert queue.observe(repository) == pk

    row = task(pk)
    assert (row.state, row.series, row.attempts) == ("queued", 2, 0)
    assert (row.run_after, row.announced_at) == (queue.clock.now, queue.clock.now)
    assert row.completed_at is None
    assert (row.run_id, row.ordinal) == ("run-7", 12)


def test_a_running_task_that_is_announced_again_is_run_once_more(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    [claimed] = queue.claim()

    queue.observe(repository)

    row = task(pk)
    assert (row.state, row.rerun, row.series, row.attempts) == ("running", True, 1, 1)
    assert row.claim_epoch == claimed.epoch


def test_a_task_in_backoff_that_is_announced_again_is_worked_at_once(queue: Queue) -> None:
    repository = queue.repository()
    later = queue.clock.now + timedelta(minutes=10)
    [pk] = queue.put(queue.planned(repository, run_after=later))
    ReconciliationTask.objects.update(attempts=3)

    queue.observe(repository)

    row = task(pk)
    assert (row.run_after, row.attempts, row.series) == (queue.clock.now, 3, 1)


def test_announcing_again_never_makes_a_waiting_task_wait_longer(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    due = queue.clock.now
    queue.clock.forward(milliseconds=150)

    again = queue.planned(repository, run_after=queue.clock.now + timedelta(milliseconds=200))
    assert queue.put(again) == [pk]

    assert task(pk).run_after == due


def test_the_same_slot_planned_twice_adds_and_changes_nothing(queue: Queue) -> None:
    repository = queue.repository()
    [pk] = queue.put(queue.planned(repository, about="sweep"), revive=False)
    ReconciliationTask.objects.update(state=TaskState.COMPLETED, attempts=1)
    queue.clock.forward(seconds=30)

    assert queue.put(queue.planned(repository, about="sweep"), revive=False) == []

    row = task(pk)
    assert (row.state, row.series, row.attempts) == ("completed", 1, 1)


def test_queueing_nothing_asks_the_database_nothing(queue: Queue) -> None:
    assert enqueue([], now=queue.clock.now, revive=True) == []
