"""Workers that share a mirror: one that is killed leaves its work, two at once agree."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciliation.remotes import GitRemote, RemoteTarget
from reconciliation.remotes.base import Standing
from reconciliation.remotes.supply import Supply
from tests.git_worlds import Fate, World, build_world

WORKER = """
import os, pathlib, signal, sys
from reconciliation.remotes import GitRemote, RemoteTarget
from reconciliation.remotes.memo import Memo
folder, path, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
remember, calls = Memo.remember, []
def counted(self, answers):
    remember(self, answers)
    calls.append(1)
    if len(calls) == most:
        os.kill(os.getpid(), signal.SIGKILL)
Memo.remember = counted
remote = GitRemote(pathlib.Path(folder), allowed_local_roots=[pathlib.Path(path).parent])
target = RemoteTarget(path, "1")
heads = dict(remote.read_heads(target).heads)
base = ("main", heads.pop("main"))
found = remote.standings(target, heads, base=base, look_for_changes=heads, compare_files=())
remote.close()
for name in sorted(found):
    print(name, found[name].merged_by, found[name].merge_unknown, sep="|")
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    return build_world(folder / "r.git", commits=80, branches=dict.fromkeys(Fate, 3))


@pytest.fixture
def trees_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the trees that are read in this process."""
    asked: list[str] = []
    read = Supply.read_trees

    def collecting(self: Supply, oids: list[str]) -> tuple[dict[str, bytes], str]:
        asked.extend(oids)
        return read(self, oids)

    monkeypatch.setattr(Supply, "read_trees", collecting)
    return asked


def standings(folder: Path, world: World) -> dict[str, Standing]:
    heads = world.heads()
    base = ("main", heads.pop("main"))
    remote = GitRemote(folder, allowed_local_roots=[world.path.parent])
    found = remote.standings(
        RemoteTarget(str(world.path), "1"),
        heads,
        base=base,
        look_for_changes=heads,
        compare_files=(),
    )
    remote.close()
    return found


def worker(folder: Path, world: World, *, killed_after: int = 0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WORKER, str(folder), str(world.path), str(killed_after)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_the_next_worker_goes_on_where_a_killed_one_was(
    world: World, tmp_path: Path, trees_read: list[str]
) -> None:
    whole = standings(tmp_path / "fresh", world)
    from_nothing = len(trees_read)
    trees_read.clear()
    killed = worker(tmp_path / "shared", world, killed_after=2)
    killed.communicate(timeout=60)

    found = standings(tmp_path / "shared", world)

    assert killed.returncode == -signal.SIGKILL
    assert found == whole
    assert len(trees_read) < from_nothing / 2


def test_two_workers_at_once_agree_with_one_alone(world: World, tmp_path: Path) -> None:
    whole = standings(tmp_path / "fresh", world)
    at_once = [worker(tmp_path / "shared", world) for _ in range(2)]

    answers = [one.communicate(timeout=60)[0].splitlines() for one in at_once]

    assert [one.returncode for one in at_once] == [0, 0]
    alone = [f"{name}|{one.merged_by}|{one.merge_unknown}" for name, one in sorted(whole.items())]
    assert answers == [alone, alone]
