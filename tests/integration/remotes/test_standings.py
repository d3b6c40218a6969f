"""How branches stand to main, against git's own patch ids and the way each repository was made."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from reconciliation.remotes import GitRemote, RemoteTarget, fetching, history, patches, tidying
from reconciliation.remotes.base import LookBack, Standing
from reconciliation.remotes.git import Call, Git, GitResult, run_git
from tests.git_worlds import Fate, World, build_world

BESIDE = {Fate.SQUASHED_BESIDE_OTHERS, Fate.REBASED_BESIDE_OTHERS}
EACH = dict.fromkeys(Fate, 4)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world") / "r.git", commits=120, branches=EACH)


@pytest.fixture
def remote(world: World, tmp_path: Path) -> Iterator[GitRemote]:
    remote = GitRemote(tmp_path / "mirrors", allowed_local_roots=[world.path.parent])
    yield remote
    remote.close()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count the git processes that are started, readers included."""
    started: Counter[str] = Counter()

    def counting(git: Git, *arguments: str, call: Call) -> GitResult:
        started[arguments[0]] += 1
        return run_git(git, *arguments, call=call)

    for module in (fetching, history, patches, tidying):
        monkeypatch.setattr(module, "run_git", counting)
    start = subprocess.Popen.__init__

    def counted(process: object, arguments: list[str], *rest: object, **named: object) -> None:
        if arguments[:2] == ["git", "cat-file"]:
            started["cat-file"] += 1
        start(process, arguments, *rest, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess.Popen, "__init__", counted)
    return started


def target(world: World) -> RemoteTarget:
    return RemoteTarget(str(world.path), "1")


def standings(remote: GitRemote, world: World, *, files: bool = False) -> dict[str, Standing]:
    heads = world.heads()
    main = heads.pop("main")
    return remote.standings(
        target(world),
        heads,
        base=("main", main),
        look_for_changes=heads,
        compare_files=heads if files else (),
    )


def patch_ids(world: World, *diff: str, stdin: str = "") -> list[str]:
    patch = world.git(*diff, stdin=stdin)
    return [line.split()[0] for line in world.git("patch-id", "--stable", stdin=patch).splitlines()]


def is_merged_by_patch_ids(world: World, branch: str) -> bool:
    """Return what a person with a full clone would find: by ancestry, squash or rebase."""
    fork = world.git("merge-base", branch, "main").strip()
    if fork == world.heads()[branch]:
        return True
    on_main = set(patch_ids(world, "log", "-p", "--no-merges", "--no-renames", f"{fork}..main"))
    whole = patch_ids(world, "diff", "--no-renames", fork, branch)
    steps = patch_ids(world, "log", "-p", "--no-merges", "--no-renames", f"{fork}..{branch}")
    return set(whole) <= on_main or set(steps) <= on_main


def test_what_is_merged_is_found_and_what_cannot_be_told_is_said(
    remote: GitRemote, world: World
) -> None:
    for name, standing in standings(remote, world).items():
        fate = world.fates[name]
        if fate is Fate.MERGED:
            assert (standing.merged_by, standing.merge_unknown) == ("ancestry", ""), name
        elif fate in {Fate.SQUASHED, Fate.REBASED}:
            assert (standing.merged_by, standing.merge_unknown) == ("equivalence", ""), name
        elif fate in BESIDE:
            assert standing.merged_by == "", name
            assert "had moved on before" in standing.merge_unknown, name
        else:
            assert (standing.merged_by, standing.merge_unknown) == ("", ""), name


@pytest.mark.parametrize("files", [False, True], ids=["trees alone", "with the files"])
def test_nothing_is_said_that_git_patch_id_denies(
    remote: GitRemote, world: World, files: bool
) -> None:
    for name, standing in standings(remote, world, files=files).items():
        if not standing.merge_unknown:
            by_git = is_merged_by_patch_ids(world, name)
            assert bool(standing.merged_by) == by_git, (name, world.fates[name])
    if files:
        unknown = {
            n for n, one in standings(remote, world, files=True).items() if one.merge_unknown
        }
        assert unknown == set()


def test_counts_are_those_of_git(remote: GitRemote, world: World) -> None:
    for name, standing in standings(remote, world).items():
        counts = world.git("rev-list", "--left-right", "--count", f"{name}...main").split()
        compared = standing.comparison
        assert [compared.behind, compared.ahead] == [int(count) for count in counts], name


def test_a_pass_takes_a_constant_number_of_processes_and_the_next_one_none(
    remote: GitRemote, world: World, tmp_path: Path, processes: Counter[str]
) -> None:
    standings(remote, world)
    for_few = Counter(processes)
    large = build_world(tmp_path / "large.git", commits=150, branches=dict.fromkeys(Fate, 40))
    other = GitRemote(tmp_path / "others", allowed_local_roots=[tmp_path])
    processes.clear()

    first = standings(other, large)
    for_many = Counter(processes)
    processes.clear()
    again = standings(other, large)
    other.close()
    from_disk = GitRemote(tmp_path / "others", allowed_local_roots=[tmp_path])

    assert for_many["rev-list"] == for_few["rev-list"] == 1
    assert sum(for_many.values()) <= sum(for_few.values()) + 12, (for_few, for_many)
    assert first == again == standings(from_disk, large)
    assert processes == Counter()


def test_idle_branches_beside_a_long_history_take_one_walk(
    tmp_path: Path, processes: Counter[str]
) -> None:
    world = build_world(tmp_path / "r.git", commits=2_000, branches={Fate.UNMERGED: 60})
    remote = GitRemote(tmp_path / "mirrors", allowed_local_roots=[tmp_path])

    found = standings(remote, world)
    remote.close()

    assert {(one.merged_by, one.merge_unknown) for one in found.values()} == {("", "")}
    assert processes["rev-list"] == 1
    assert sum(processes.values()) < 40


def test_what_lies_beyond_the_look_back_is_not_called_unmerged(
    world: World, tmp_path: Path
) -> None:
    remote = GitRemote(
        tmp_path / "m", allowed_local_roots=[world.path.parent], look_back=LookBack(commits=1)
    )

    found = standings(remote, world)
    remote.close()

    squashed = [found[name] for name, fate in world.fates.items() if fate is Fate.SQUASHED]
    assert {one.merged_by for one in squashed} == {""}
    assert all("older commit" in one.merge_unknown for one in squashed)
    unmerged = [found[name] for name, fate in world.fates.items() if fate is Fate.UNMERGED]
    assert {(one.merged_by, one.merge_unknown) for one in unmerged} == {("", "")}


@pytest.mark.parametrize(
    ("look_back", "words"),
    [
        (LookBack(paths=1), "RECONCILER_LOOK_BACK_PATHS"),
        (LookBack(commits=1000, branch_commits=1), "RECONCILER_LOOK_BACK_BRANCH_COMMITS"),
        (LookBack(history=10), "RECONCILER_HISTORY_COMMITS"),
    ],
)
def test_a_branch_past_a_bound_names_the_setting_to_raise(
    world: World, tmp_path: Path, look_back: LookBack, words: str
) -> None:
    remote = GitRemote(tmp_path / "m", allowed_local_roots=[world.path.parent], look_back=look_back)

    found = standings(remote, world)
    remote.close()

    rebased = [found[name] for name, fate in world.fates.items() if fate is Fate.REBASED]
    assert any(words in one.merge_unknown for one in rebased)
    assert not any(
        one.merged_by
        for name, one in found.items()
        if world.fates[name] in {Fate.UNMERGED, Fate.HALF_SQUASHED}
    )


def test_a_damaged_memo_is_made_anew(remote: GitRemote, world: World, tmp_path: Path) -> None:
    before = standings(remote, world)
    memo = tmp_path / "mirrors" / "1" / "memo.sqlite3"
    memo.write_bytes(b"no database" * 1000)

    assert standings(remote, world) == before
    assert standings(remote, world) == before
    assert memo.read_bytes()[:6] == b"SQLite"


def test_a_reader_that_was_killed_is_started_again(remote: GitRemote, world: World) -> None:
    heads = world.heads()
    remote.sync(target(world), heads)
    before = remote.commits(target(world), [heads["main"]])
    for pid in children("cat-file"):
        os.kill(pid, signal.SIGKILL)

    assert remote.commits(target(world), [heads["main"]]) == before


def test_readers_end_with_the_process_that_started_them(world: World, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from reconciliation.remotes import GitRemote, RemoteTarget\n"
        f"remote = GitRemote(pathlib.Path({str(tmp_path / 'm')!r}),"
        f" allowed_local_roots=[pathlib.Path({str(world.path.parent)!r})])\n"
        f"target = RemoteTarget({str(world.path)!r}, '1')\n"
        "heads = remote.read_heads(target).heads\n"
        "remote.sync(target, heads)\n"
        "reader, = remote._readers._readers.values()\n"
        "print(reader._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert wait_until_gone(int(ended.stdout))


def children(words: str) -> list[int]:
    """Return our child processes with these words in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            command = folder.joinpath("cmdline").read_text()
        except (OSError, IndexError):
            continue
        if parent == os.getpid() and words in command:
            found.append(int(folder.name))
    assert found
    return found


def wait_until_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        subprocess.run(["sleep", "0.1"], check=True)
    return False


def fates_of(world: World, found: Mapping[str, Standing]) -> Counter[tuple[Fate, str]]:
    return Counter((world.fates[name], one.merged_by) for name, one in found.items())


def test_two_remotes_that_share_a_mirror_agree(world: World, tmp_path: Path) -> None:
    one = GitRemote(tmp_path / "m", allowed_local_roots=[world.path.parent])
    other = GitRemote(tmp_path / "m", allowed_local_roots=[world.path.parent])

    first, second = standings(one, world), standings(other, world, files=True)
    one.close()
    other.close()

    assert fates_of(world, first)[Fate.SQUASHED, "equivalence"] == 4
    assert {n: s.comparison for n, s in first.items()} == {
        n: s.comparison for n, s in second.items()
    }
