"""Mirrors shared by many, with writers that are killed, and mirrors of many pieces."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from reconciliation.remotes import (
    GitRemote,
    Relation,
    RemoteRefused,
    RemoteTarget,
    RemoteUnavailable,
    tidying,
)
from reconciliation.remotes.git import Git
from reconciliation.remotes.locks import locked
from reconciliation.remotes.mirror import Mirror
from tests.git_server import GitServer
from tests.integration.remotes.hosts import GitHost, Sketch, git


def sync(host: GitHost) -> None:
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)


def relation(host: GitHost, old: str, new: str) -> Relation:
    pair = (host.oids[old], host.oids[new])
    return host.remote.compare(host.target, [pair])[pair].relation


@pytest.fixture
def synced(file_host: GitHost) -> GitHost:
    """Return a host with `main` - `work`, both in the mirror."""
    file_host.add(Sketch("root"), Sketch("work", ("root",)))
    file_host.point("main", "root")
    file_host.point("work", "work")
    sync(file_host)
    return file_host


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Return the folder of the one mirror."""
    return tmp_path / "mirrors" / "1"


def packs_of(mirror: Path) -> list[Path]:
    return sorted(mirror.glob("mirror.git/objects/pack/*.pack"))


@pytest.mark.parametrize("key", ["", ".", "..", ".hidden", "-x", "a/b", "a\nb", "a b", "x" * 101])
def test_a_mirror_key_is_a_plain_directory_name(remote: GitRemote, key: str) -> None:
    with pytest.raises(RemoteRefused, match="mirror key"):
        remote.sync(RemoteTarget("https://h.example/a", key), {"main": "a" * 40})


def test_leftovers_of_a_killed_writer_are_swept_away(synced: GitHost, mirror: Path) -> None:
    repository = mirror / "mirror.git"
    leftovers = [
        repository / "packed-refs.lock",
        repository / "config.lock",
        repository / "objects/pack/tmp_pack_abc",
        repository / "objects/info/commit-graphs/commit-graph-chain.lock",
    ]
    for leftover in leftovers:
        leftover.parent.mkdir(parents=True, exist_ok=True)
        leftover.write_text("")
    (mirror / "in-use").touch()
    synced.add(Sketch("next", ("work",)))
    synced.point("work", "next")

    sync(synced)

    assert relation(synced, "root", "next") is Relation.ANCESTOR
    assert not any(leftover.exists() for leftover in leftovers)
    assert not (mirror / "in-use").exists()


def test_a_writer_killed_in_the_middle_of_a_fetch_does_no_lasting_harm(
    server: GitServer, http_host: GitHost, tmp_path: Path
) -> None:
    http_host.add(*(Sketch(f"c{n}", (f"c{n - 1}",) if n else ()) for n in range(50)))
    http_host.point("main", "c49")
    fetching, may_go_on = threading.Event(), threading.Event()

    def hold() -> None:
        if len(server.seen) >= 3:  # two for the heads, one for the fetch's own GET
            fetching.set()
            may_go_on.wait(10)

    server.during = hold
    script = (
        "import sys, pathlib; from reconciliation.remotes import GitRemote, RemoteTarget;"
        "remote = GitRemote(pathlib.Path(sys.argv[1])); target = RemoteTarget(sys.argv[2], '1');"
        "remote.sync(target, remote.read_heads(target).heads)"
    )
    url, mirrors = http_host.target.clone_url, str(tmp_path / "mirrors")
    writer = subprocess.Popen([sys.executable, "-c", script, mirrors, url], cwd=Path.cwd())
    try:
        assert fetching.wait(10)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        server.during = None
        may_go_on.set()

    sync(http_host)

    assert relation(http_host, "c0", "c49") is Relation.ANCESTOR


def test_an_orphaned_fetch_keeps_the_lock_until_it_ends(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock, exclusive=True, timeout_seconds=1) as descriptor:
        child = subprocess.Popen(["sleep", "0.5"], pass_fds=[descriptor])

    with pytest.raises(RemoteUnavailable), locked(lock, exclusive=True, timeout_seconds=0.1):
        pass
    child.wait()
    with locked(lock, exclusive=True, timeout_seconds=0.1):
        pass


def test_readers_share_a_mirror_and_a_writer_has_it_alone(tmp_path: Path) -> None:
    mirror = Mirror(Git(), tmp_path, "1", lock_timeout_seconds=0.1)

    def write() -> None:
        with mirror.writing(object_format="sha1"):
            read()

    def read() -> None:
        with mirror.reading():
            pass

    with mirror.reading(), mirror.reading(), pytest.raises(RemoteUnavailable, match="1 is busy"):
        write()
    with pytest.raises(RemoteUnavailable, match="1 is busy"):
        write()
    read()


def test_many_threads_may_sync_one_mirror_at_once(http_host: GitHost) -> None:
    http_host.add(Sketch("root"), *(Sketch(f"c{n}", ("root",)) for n in range(6)))
    for n in range(6):
        http_host.point(f"b{n}", f"c{n}")
    heads = http_host.remote.read_heads(http_host.target).heads
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            http_host.remote.sync(http_host.target, {name: heads[name]})
        except BaseException as failure:  # noqa: BLE001  shown below
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(name,)) for name in heads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert set(http_host.remote.commits(http_host.target, list(heads.values()))) == set(
        heads.values()
    )


def test_a_mirror_of_many_pieces_is_tidied_and_forgets_nothing(
    file_host: GitHost, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "_MANY_PACKS", 3)
    monkeypatch.setattr(tidying, "_MANY_LOOSE_REFS", 3)
    monkeypatch.setattr(tidying, "_GRAPH_WORTHY_BYTES", 0)
    file_host.add(Sketch("c0", (), {"a": "0"}))
    for n in range(1, 8):
        file_host.add(Sketch(f"c{n}", (f"c{n - 1}",), {"a": str(n)}))
        file_host.point("main", f"c{n}")
        sync(file_host)
    file_host.add(Sketch("rewritten", ("c3",)))
    file_host.point("main", "rewritten")
    sync(file_host)
    oids = file_host.oids
    changed = file_host.remote.changed_paths(file_host.target, oids["c1"], oids["c2"], limit=9)

    assert changed.paths == ("a",)
    repository = mirror / "mirror.git"
    assert len(packs_of(mirror)) <= 4
    assert all(pack.with_suffix(".promisor").exists() for pack in packs_of(mirror))
    assert not list(repository.glob("objects/tmp_*"))
    kept = set(git("for-each-ref", "--format=%(objectname)", folder=repository).split())
    assert {oids["c7"], oids["rewritten"]} <= kept
    assert oids["c1"] not in kept
    promised = ("-c", "remote.origin.promisor=true")
    git(*promised, "fsck", "--connectivity-only", "--no-dangling", folder=repository)
    file_host.prune()
    sync(file_host)
    assert relation(file_host, "c0", "c7") is Relation.ANCESTOR
    assert relation(file_host, "c7", "rewritten") is Relation.DIVERGED
    assert not (mirror / "damaged.git").exists()


def test_a_time_out_ends_the_fetch_and_the_lock(
    server: GitServer, http_host: GitHost, tmp_path: Path
) -> None:
    http_host.add(Sketch("root"))
    http_host.point("main", "root")
    heads = http_host.remote.read_heads(http_host.target).heads
    hasty = GitRemote(tmp_path / "mirrors", read_timeout_seconds=5, fetch_seconds=0.6)
    hasty.read_heads(http_host.target)
    may_answer = threading.Event()
    server.during = lambda: may_answer.wait(20)
    begun = time.monotonic()

    with pytest.raises(RemoteUnavailable, match="took more than"):
        hasty.sync(http_host.target, heads)

    assert time.monotonic() - begun < 8
    server.during = None
    may_answer.set()
    sync(http_host)
    assert http_host.remote.commits(http_host.target, [heads["main"]])
