"""The supervisor with real processes: deadlocks, kills at every level, and orderly ends."""

import os
import signal
import sys
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule

from reconciliation.models import Heartbeat, ReconciliationTask
from reconciliation.services.wake import wake
from tests.integration.queue.programs import (
    Program,
    children_of,
    members_of,
    running,
    wait_until,
)
from tests.integration.queue.world import Queue

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

START_SECONDS = 60.0


@pytest.fixture
def queue(transactional_db: None) -> Queue:
    """Return a world on the clock of the wall, as real processes see it."""
    world = Queue()
    world.clock.now = timezone.now()
    return world


def supervised(*extra: str) -> tuple[str, ...]:
    return ("reconcile_worker", "--json", "--canary-every", "1", *extra)


def proven(program: Program, *, times: int = 1) -> int:
    """Wait until the cluster was proven so often, and return its main process."""
    wait_until(
        lambda: len(program.told("cluster.proven")) >= times or program.process.poll() is not None,
        within_seconds=START_SECONDS,
        what=f"cluster proven; it said:\n{program.said()}",
    )
    assert len(program.told("cluster.proven")) >= times, program.said()
    pid: int = program.told("cluster.proven")[-1]["pid"]
    return pid


def work_is_done(queue: Queue, *, about: str, within_seconds: float) -> float:
    """Queue a task and wait until a worker tried it; return the seconds that took.

    Each has a repository and a host of its own: failures in a row would open a circuit.
    """
    queue.clock.now = timezone.now()
    repository = queue.repository("acme/" + about.replace(" ", "-"))
    repository.clone_url = f"http://127.0.0.1:{repository.pk % 9 + 1}/nobody.git"
    repository.save()
    pk = queue.observe(repository, about=about)
    wake(queue.clock.now)
    began = time.monotonic()
    wait_until(
        lambda: ReconciliationTask.objects.get(pk=pk).attempt_rows.exists(),
        within_seconds=within_seconds,
        what=f"the task {about!r} is tried",
    )
    return time.monotonic() - began


def test_a_cluster_gone_deaf_is_replaced_and_work_flows_again_within_30_seconds(
    queue: Queue,
) -> None:
    with running(*supervised("--canary-deadline", "12")) as program:
        main = proven(program)
        work_is_done(queue, about="before", within_seconds=20)
        [sentinel] = children_of(main)
        idle_workers = children_of(sentinel)[:2]
        time.sleep(1)  # let both wait for the next message, one of them with the queue's lock

        for pid in idle_workers:
            os.kill(pid, signal.SIGKILL)
        seconds = work_is_done(queue, about="after", within_seconds=30)

        assert seconds < 30
        wait_until(
            lambda: program.told("cluster.hung"), within_seconds=30, what="the deadlock is noticed"
        )
        second_main = proven(program, times=2)
        assert members_of(main) == []
        assert second_main != main
        assert work_is_done(queue, about="in the new cluster", within_seconds=20) < 20

        began = time.monotonic()
        assert program.terminate(within_seconds=35) == 0, program.said()
        assert time.monotonic() - began < 35
        assert program.told("cluster.end")[-1]["in_order"] is True
        assert members_of(second_main) == []


def test_nothing_outlives_a_main_process_or_a_sentinel_or_a_supervisor_that_is_killed(
    queue: Queue,
) -> None:
    with running(*supervised()) as program:
        main = proven(program)
        family = members_of(main)
        assert len(family) == 6  # main, sentinel, two workers, monitor, pusher
        os.kill(main, signal.SIGKILL)
        second_main = proven(program, times=2)
        assert members_of(main) == []

        [sentinel] = children_of(second_main)
        os.kill(sentinel, signal.SIGKILL)
        third_main = proven(program, times=3)
        assert members_of(second_main) == []

        program.kill()
        wait_until(lambda: not members_of(third_main), within_seconds=10, what="all are gone")


def test_a_stop_before_the_cluster_is_up_is_an_orderly_one(queue: Queue) -> None:
    with running(*supervised()) as program:
        wait_until(lambda: program.told("cluster.start"), within_seconds=START_SECONDS)
        group = program.told("cluster.start")[0]["pid"]

        assert program.terminate(within_seconds=35) == 0, program.said()

        assert members_of(group) == []


def test_once_proves_the_cluster_ticks_and_leaves_one_schedule(queue: Queue) -> None:
    with running(*supervised("--once")) as program:
        assert program.process.wait(START_SECONDS + 35) == 0, program.said()

    now = timezone.now()
    assert Heartbeat.objects.get(name="canary").at > now - timedelta(minutes=2)
    assert Heartbeat.objects.get(name="tick").at > now - timedelta(minutes=2)
    assert Schedule.objects.count() == 1
