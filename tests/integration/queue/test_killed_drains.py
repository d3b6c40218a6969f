"""Real processes killed or stopped in mid-task: the work is done once, and nobody waits."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.selectors import entries_of_object
from audit.services import verify
from governance.models import Branch, Repository
from reconciliation.models import Evaluation, ReconciliationTask, TaskAttempt
from tests.git_server import GitServer, serving
from tests.integration.queue.programs import running, wait_until
from tests.integration.queue.world import Queue, task

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))
START_SECONDS = 60.0


class SlowHost:
    """A git host whose answers wait until they are let through."""

    def __init__(self, server: GitServer, folder: Path) -> None:
        self._server = server
        self.asked = threading.Semaphore(0)
        self._let_through = threading.Event()
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        people = [
            f"{prefix}_{what}=a@example.org"
            for prefix in ("GIT_AUTHOR", "GIT_COMMITTER")
            for what in ("NAME", "EMAIL")
        ]
        environment |= dict(one.split("=") for one in people)

        def git(*arguments: str) -> str:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                env=environment,
                capture_output=True,
                check=True,
                text=True,
            )
            return done.stdout.strip()

        git("init", "-q", "--bare", "-b", "main")
        git("hash-object", "-w", "-t", "tree", "/dev/null")
        self.head = git("commit-tree", tree, "-m", "first")
        git("update-ref", "refs/heads/main", self.head)
        self.url = server.url(folder.name)

    def hold(self) -> None:
        """Let every answer wait from now on."""
        self._server.during = self._wait

    def let_through(self) -> None:
        """Let answers go, those that wait and those to come."""
        self._let_through.set()

    def _wait(self) -> None:
        self.asked.release()
        self._let_through.wait(14)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SlowHost]:
    folder = tmp_path / "served" / "api.git"
    folder.mkdir(parents=True)
    with serving(folder.parent) as server:
        slow = SlowHost(server, folder)
        slow.hold()
        yield slow
        slow.let_through()


@pytest.fixture
def queue(transactional_db: None) -> Queue:
    """Return a world on the clock of the wall, as real processes see it."""
    world = Queue()
    world.clock.now = timezone.now()
    return world


def govern(queue: Queue, host: SlowHost, path: str = "acme/api") -> Repository:
    row = queue.repository(path)
    row.clone_url = host.url
    row.save()
    return row


def test_a_task_whose_worker_is_killed_is_done_once_by_another(
    queue: Queue, host: SlowHost
) -> None:
    pk = queue.observe(govern(queue, host))
    with running("drain", "--loop", RECONCILER_CLAIM_SECONDS="2") as first:
        assert host.asked.acquire(timeout=START_SECONDS), first.said()
        assert task(pk).state == "running"
        # Twice as long as a claim lasts: a worker that lives keeps it.
        threading.Event().wait(4)
        assert (task(pk).state, task(pk).claim_epoch) == ("running", 1)
        first.kill()
    host.let_through()

    with running("drain", "--loop", RECONCILER_CLAIM_SECONDS="2") as second:
        wait_until(
            lambda: task(pk).state == "completed",
            within_seconds=START_SECONDS,
            what=f"the task is done; the second worker said:\n{second.said()}",
        )
        assert second.terminate(within_seconds=35) == 0

    attempts = TaskAttempt.objects.filter(task=pk).order_by("id")
    assert list(attempts.values_list("outcome", flat=True)) == ["lost", "completed"]
    assert len({attempt.worker for attempt in attempts}) == 2
    assert Evaluation.objects.filter(task=pk).count() == 1
    entries = entries_of_object(EVERYONE, kind="task", object_id=str(pk))
    assert [entry.action for entry in entries].count("decision.observe_refs") == 1
    assert Branch.objects.get().observed_head == host.head
    assert verify("acme") is None


def test_a_worker_told_to_stop_finishes_what_it_reads_and_gives_the_rest_back(
    queue: Queue, host: SlowHost
) -> None:
    for number in range(20):
        queue.observe(govern(queue, host, f"acme/r{number:02}"))
    with running("drain", "--loop", "--json", RECONCILER_CLAIM_SECONDS="20") as worker:
        for _ in range(16):  # sixteen are read at once
            assert host.asked.acquire(timeout=START_SECONDS), worker.said()
        worker.process.terminate()
        threading.Event().wait(0.5)
        host.let_through()
        assert worker.terminate(within_seconds=35) == 0, worker.said()

    done = json.loads("\n".join(worker.lines))
    assert (done["completed"], done["given_back"]) == (16, 4)
    states = ReconciliationTask.objects.filter(task_kind="observe_refs").values_list(
        "state", "attempts"
    )
    assert sorted(states) == [("completed", 1)] * 16 + [("queued", 0)] * 4


def test_a_drain_with_a_limit_ends_by_itself_and_says_what_is_left(
    queue: Queue, host: SlowHost
) -> None:
    host.let_through()
    for number in range(3):
        queue.observe(govern(queue, host, f"acme/r{number}"))

    with running("drain", "--json", "--limit-seconds", "0") as worker:
        assert worker.process.wait(START_SECONDS) == 0, worker.said()

    assert ReconciliationTask.objects.filter(state="running").count() == 0
    assert TaskAttempt.objects.filter(outcome="lost").count() == 0


def test_cron_can_drive_everything_by_one_command(queue: Queue, host: SlowHost) -> None:
    host.let_through()
    repository = govern(queue, host)
    repository.watch.next_due_at = timezone.now() - timedelta(minutes=1)
    repository.watch.save()

    with running("drain", "--tick", "--json") as worker:
        assert worker.process.wait(START_SECONDS) == 0, worker.said()

    task_of_sweep = ReconciliationTask.objects.get(task_kind="observe_refs")
    assert (task_of_sweep.state, task_of_sweep.origin) == ("completed", "sweep")
    assert Branch.objects.get().observed_head == host.head
