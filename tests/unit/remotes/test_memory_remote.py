"""What the remote in memory adds to the common contract: people who push, and hosts that fail."""

from __future__ import annotations

import pytest

from reconciliation.remotes import MemoryRemote, RemoteTarget, RemoteThrottled
from reconciliation.remotes.memory import MemoryCommit

URL = "https://git.example.org/acme/api.git"
TARGET = RemoteTarget(URL, "1")
ROOT = MemoryCommit("a" * 40)
WORK = MemoryCommit("b" * 40, (ROOT.oid,))


@pytest.fixture
def memory() -> MemoryRemote:
    """Return a host with one repository: `main` at ROOT, `work` at WORK."""
    remote = MemoryRemote()
    remote.create(URL)
    remote.push(URL, "main", ROOT)
    remote.push(URL, "work", WORK)
    return remote


def test_a_host_can_be_made_to_fail_and_to_recover(memory: MemoryRemote) -> None:
    memory.fail(URL, RemoteThrottled("slow down", retry_after_seconds=30))

    with pytest.raises(RemoteThrottled) as failure:
        memory.read_heads(TARGET)
    assert failure.value.retry_after_seconds == 30

    memory.fail(URL, None)
    assert memory.read_heads(TARGET).heads == {"main": ROOT.oid, "work": WORK.oid}


def test_what_is_in_the_mirror_is_answered_while_the_host_fails(memory: MemoryRemote) -> None:
    memory.sync(TARGET, {"work": WORK.oid})
    memory.fail(URL, RemoteThrottled("slow down"))

    memory.sync(TARGET, {"work": WORK.oid})
    assert memory.commits_between(TARGET, ROOT.oid, WORK.oid, limit=9) == (WORK.oid,)
    with pytest.raises(RemoteThrottled):
        memory.compare(TARGET, [("c" * 40, WORK.oid)])


def test_the_exchanges_with_the_host_can_be_counted(memory: MemoryRemote) -> None:
    memory.read_heads(TARGET)
    memory.sync(TARGET, {"work": WORK.oid})
    memory.sync(TARGET, {"work": WORK.oid, "main": ROOT.oid})

    assert memory.calls == [("read_heads", URL), ("sync", URL)]


def test_a_commit_is_pushed_after_its_parents(memory: MemoryRemote) -> None:
    with pytest.raises(ValueError, match="push the parents"):
        memory.push(URL, "lost", MemoryCommit("c" * 40, ("d" * 40,)))


def test_two_mirrors_of_one_repository_know_different_things(memory: MemoryRemote) -> None:
    memory.sync(TARGET, {"work": WORK.oid})

    assert memory.commits(RemoteTarget(URL, "2"), [WORK.oid]) == {}
    assert list(memory.commits(TARGET, [WORK.oid])) == [WORK.oid]
