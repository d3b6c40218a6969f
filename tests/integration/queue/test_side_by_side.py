"""Several workers at once, with connections of their own: every task once, branches in order."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from audit.services import verify
from reconciliation.models import (
    Alert,
    Circuit,
    Evaluation,
    ReconciliationTask,
    TaskAttempt,
    TaskKind,
)
from reconciliation.remotes.base import RemoteUnavailable
from reconciliation.services.batches import work_batch
from reconciliation.services.claiming import claim
from reconciliation.services.execute import Limits, drain
from reconciliation.services.queue import ClaimedTask
from reconciliation.services.reap import reap_lost_claims
from tests.integration.queue.world import Queue

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4
KINDS = (TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN, TaskKind.STALE_BRANCH)


@pytest.fixture
def queue(transactional_db: None) -> Queue:
    return Queue()


def in_threads(work: Callable[[int], None]) -> None:
    """Run `work(number)` in every thread at once, and raise what any of them raised."""
    start = threading.Barrier(WORKERS)

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(run, range(WORKERS)))


def test_workers_that_claim_at_once_share_out_and_never_two_of_one_branch(queue: Queue) -> None:
    repository = queue.repository("acme/api", ["a", "b", "c"])
    for name in ("a", "b", "c"):
        for number in range(20):
            queue.put(*(queue.planned(repository, name, kind, about=f"{number}") for kind in KINDS))
    claimed: list[ClaimedTask] = []

    def work(number: int) -> None:
        # Clocks of machines differ: a task may be due for one worker and not yet for another.
        now = queue.clock.now + timedelta(milliseconds=number)
        for _ in range(10):
            claimed.extend(claim(worker=f"w{number}", now=now, limit=2, lasts=timedelta(minutes=1)))

    in_threads(work)

    # Nothing was ended, so three branches make three claims, each of its branch's first task.
    assert sorted((one.branch, one.task_kind) for one in claimed) == [
        ("a", "head_drift"),
        ("b", "head_drift"),
        ("c", "head_drift"),
    ]
    assert ReconciliationTask.objects.filter(state="running").count() == 3


def test_workers_at_once_do_every_task_once_and_each_branch_in_order(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{n}", ["a", "b", "c"]) for n in range(3)]
    for repository in repositories:
        for name in ("a", "b", "c"):
            queue.put(*(queue.planned(repository, name, kind) for kind in KINDS))
    queue.clock.forward(seconds=1)
    order: dict[tuple[int, str], list[str]] = defaultdict(list)
    lock = threading.Lock()

    def work(number: int) -> None:
        while batch := claim(
            worker=f"w{number}", now=queue.clock.now, limit=3, lasts=timedelta(minutes=1)
        ):
            with lock:
                for one in batch:
                    order[one.repository_id, one.branch].append(one.task_kind)
            work_batch(batch, remote=queue.remote, worker=f"w{number}", clock=queue.clock)

    in_threads(work)
    queue.drain()  # a worker may have found nothing while the others still held the last branches

    planned = ReconciliationTask.objects.filter(parent__isnull=True)
    assert set(planned.values_list("state", flat=True)) == {"completed"}
    attempts = Counter(TaskAttempt.objects.values_list("task_id", flat=True))
    assert set(attempts.values()) == {1}
    assert Evaluation.objects.count() == len(attempts)
    for kinds in order.values():
        assert kinds == sorted(kinds)
    assert verify("acme") is None


def test_reapers_at_once_take_each_claim_back_once(queue: Queue) -> None:
    for number in range(30):
        queue.observe(queue.repository(f"acme/r{number}"))
    queue.claim()
    later = queue.clock.forward(seconds=60)
    reaped: list[int] = []

    in_threads(lambda _: reaped.append(reap_lost_claims(now=later)))

    assert sum(reaped) == 30
    assert TaskAttempt.objects.filter(outcome="lost").count() == 30
    assert set(ReconciliationTask.objects.values_list("attempts", flat=True)) == {1}
    assert verify("acme") is None


def test_workers_that_meet_an_outage_at_once_open_one_circuit_with_one_alert(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{number:02}") for number in range(24)]
    for repository in repositories:
        queue.remote.fail(repository.clone_url, RemoteUnavailable("connection refused"))
        queue.observe(repository)

    def work(number: int) -> None:
        claimed = queue.claim(f"worker-{number}", limit=6)
        barrier.wait()
        work_batch(claimed, remote=queue.remote, worker=f"worker-{number}", clock=queue.clock)

    barrier = threading.Barrier(WORKERS)
    in_threads(work)

    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.openings) == ("open", 1)
    assert Alert.objects.count() == 1
    tasks = ReconciliationTask.objects.values_list("state", "attempts", "held_by")
    assert set(tasks) == {("queued", 0, circuit.pk)}
    assert verify("acme") is None

    for repository in repositories:
        queue.remote.fail(repository.clone_url, None)
    queue.clock.now = circuit.next_probe_at or queue.clock.now
    in_threads(lambda number: _drain(queue, f"worker-{number}"))
    _drain(queue, "the last")

    states = ReconciliationTask.objects.values_list("state", "attempts")
    assert set(states) == {("completed", 1)}
    assert Alert.objects.get().state == "resolved"
    assert verify("acme") is None


def test_whole_drains_at_once_leave_nothing_and_lose_nothing(queue: Queue) -> None:
    for number in range(40):
        queue.observe(queue.repository(f"acme/r{number:02}", ["main", "topic"]))

    in_threads(
        lambda number: _drain(queue, f"w{number}"),
    )

    states = ReconciliationTask.objects.values_list("state", flat=True)
    assert Counter(states) == {"completed": 40}
    assert Counter(TaskAttempt.objects.values_list("outcome", flat=True)) == {"completed": 40}


def _drain(queue: Queue, worker: str) -> None:
    drain(
        worker=worker,
        remote=queue.remote,
        clock=queue.clock,
        limits=Limits(batch=5, claim_seconds=60, total_seconds=60),
    )
