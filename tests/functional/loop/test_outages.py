"""A real git host that goes down and comes back: closed port, 429, and then everything goes on."""

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from governance.models import Branch, Repository
from reconciliation.models import Alert, Circuit, ReconciliationTask, TaskAttempt
from reconciliation.remotes.base import Remote
from reconciliation.remotes.client import GitRemote
from reconciliation.services.execute import drain
from tests.git_server import GitServer, serving
from tests.integration.queue.world import LIMITS, Queue, task

pytestmark = [pytest.mark.django_db]

COUNT = 12


@pytest.fixture
def queue(db: None) -> Queue:
    return Queue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of bare repositories, each with a `main` of one empty commit."""
    people = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | dict.fromkeys(people, "a")

    def git(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout.strip()

    served = tmp_path / "served"
    for number in range(COUNT):
        folder = served / f"r{number:02}.git"
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "--bare", "-b", "main")
        tree = git(folder, "hash-object", "-w", "-t", "tree", "/dev/null")
        git(folder, "update-ref", "refs/heads/main", git(folder, "commit-tree", tree, "-m", "one"))
    return served


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return GitRemote(tmp_path / "mirrors", allow_insecure_http=True)


def govern(queue: Queue, url_of: GitServer) -> list[int]:
    """Govern every repository of a host and ask for an observation of each."""
    ids = []
    for number in range(COUNT):
        row = queue.repository(f"acme/r{number:02}")
        Repository.objects.filter(pk=row.pk).update(clone_url=url_of.url(f"r{number:02}.git"))
        ids.append(queue.observe(row))
    return ids


def work(queue: Queue, remote: Remote) -> None:
    drain(worker="ada", remote=remote, clock=queue.clock, limits=LIMITS)


def states(ids: list[int]) -> set[tuple[str, int]]:
    return set(ReconciliationTask.objects.filter(pk__in=ids).values_list("state", "attempts"))


def test_a_host_goes_down_and_comes_back(queue: Queue, root: Path, remote: Remote) -> None:
    with serving(root) as server:
        port = server.port
        ids = govern(queue, server)
    # The server is gone: the port refuses connections now.

    work(queue, remote)
    for _ in range(5):
        queue.clock.forward(minutes=11)
        work(queue, remote)

    assert states(ids) == {("queued", 0)}
    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.origin) == ("open", f"http://127.0.0.1:{port}")
    assert circuit.cause == "remote_unavailable"
    alert = Alert.objects.select_related("finding").get()
    assert alert.state == "open"
    assert f"{COUNT} tasks held for {COUNT} repositories" in alert.finding.summary
    assert set(TaskAttempt.objects.values_list("outcome", flat=True)) == {"held"}

    with serving(root, port=port):
        queue.clock.forward(minutes=11)
        work(queue, remote)

    assert states(ids) == {("completed", 1)}
    completed = TaskAttempt.objects.filter(outcome="completed", task__in=ids).order_by("id")
    asked_first, *rest = completed.values_list("task_id", flat=True)
    assert rest == [pk for pk in ids if pk != asked_first], "in canonical order, behind the probe"
    alert.refresh_from_db()
    assert (alert.state, Circuit.objects.get().state) == ("resolved", "closed")
    assert Branch.objects.filter(observed_head__isnull=False).count() == COUNT


def test_a_host_that_says_429_is_asked_again_at_its_own_time(
    queue: Queue, root: Path, remote: Remote
) -> None:
    with serving(root) as server:
        ids = govern(queue, server)
        server.switches.refuse_everything_with = (429, {"Retry-After": "120"})
        work(queue, remote)
        asked = len(server.seen)

        assert states(ids) == {("queued", 0)}
        assert {task(pk).run_after for pk in ids} == {queue.clock.now + timedelta(seconds=120)}
        queue.clock.forward(seconds=119)
        work(queue, remote)
        assert len(server.seen) == asked, "a host that asks for patience is left alone"

        server.switches.refuse_everything_with = None
        queue.clock.forward(seconds=1)
        work(queue, remote)

    assert states(ids) == {("completed", 1)}
    assert Alert.objects.get().state == "resolved"
