"""How branches stand to main in unusual histories: criss-cross, huge, taken back, foreign."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciliation.remotes import GitRemote, RemoteTarget
from reconciliation.remotes.base import LookBack, Relation, Standing
from reconciliation.remotes.readers import _Reader
from reconciliation.remotes.supply import NO_TREES, Supply
from tests.git_worlds import Fate, build_world

OLD = 1_700_000_000
LOOK_BACK = LookBack()


class Story:
    """A bare repository that is written commit by commit; commits are known by number."""

    def __init__(self, path: Path, *, object_format: str = "sha1") -> None:
        self.path = path
        self._stream: list[bytes] = []
        self._number = 0
        self._git("init", "-q", "--bare", "-b", "main", f"--object-format={object_format}")

    def commit(self, branch: str, *parents: int, delete: tuple[str, ...] = (), **files: str) -> int:
        """Commit files, written as `name=text`, and return the commit's number."""
        return self.commit_paths(
            branch,
            *parents,
            files={name.encode(): text for name, text in files.items()},
            delete=delete,
        )

    def commit_paths(
        self,
        branch: str,
        *parents: int,
        files: Mapping[bytes, str],
        delete: tuple[str, ...] = (),
    ) -> int:
        self._number += 1
        head = (
            f"commit refs/heads/{branch}\nmark :{self._number}\n"
            f"committer a <a@example.org> {OLD + self._number} +0000\ndata 1\nx\n"
        )
        words = ["from", *["merge"] * len(parents)]
        links = "".join(f"{word} :{one}\n" for word, one in zip(words, parents, strict=False))
        self._stream.append(head.encode() + links.encode())
        self._stream += [f"D {path}\n".encode() for path in delete]
        for path, text in files.items():
            quoted = b"".join(b"\\%03o" % byte for byte in path)
            self._stream.append(
                b'M 100644 inline "%s"\ndata %d\n%s\n' % (quoted, len(text), text.encode())
            )
        self._stream.append(b"\n")
        return self._number

    def heads(self) -> dict[str, str]:
        """Write what was committed; return all heads by branch."""
        if self._stream:
            # A branch that starts anew at another parent replaces what it was.
            self._git("fast-import", "--quiet", "--force", stdin=b"".join(self._stream))
            self._stream = []
        lines = self._git("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)")
        return {name: oid for oid, _, name in (line.partition(" ") for line in lines.splitlines())}

    def _git(self, *arguments: str, stdin: bytes = b"") -> str:
        self.path.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["git", "-C", str(self.path), *arguments], input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "r.git")


def standings(
    path: Path,
    heads: Mapping[str, str],
    *,
    files: bool = False,
    look_back: LookBack = LOOK_BACK,
    remote: GitRemote | None = None,
) -> dict[str, Standing]:
    reader = remote or GitRemote(
        path.parent / "mirrors", allowed_local_roots=[path.parent], look_back=look_back
    )
    branches = {name: oid for name, oid in heads.items() if name != "main"}
    try:
        return reader.standings(
            RemoteTarget(str(path), "1"),
            branches,
            base=("main", heads["main"]),
            look_for_changes=branches,
            compare_files=branches if files else (),
        )
    finally:
        if remote is None:
            reader.close()


def answer(standing: Standing) -> tuple[str, bool]:
    return standing.merged_by, bool(standing.merge_unknown)


def test_a_change_that_main_took_back_before_the_branch_left_is_not_its_merge(
    story: Story,
) -> None:
    first = story.commit("main", a="0")
    taken_back = story.commit("main", story.commit("main", first, a="1"), a="0")
    story.commit("again", taken_back, a="1")
    story.commit("main", taken_back, b="0")

    assert answer(standings(story.path, story.heads())["again"]) == ("", False)


def test_a_squash_that_main_took_back_is_not_merged(story: Story) -> None:
    first = story.commit("main", a="0")
    story.commit("topic", first, a="1")
    squash = story.commit("main", first, a="1")
    story.commit("main", squash, a="0")

    assert answer(standings(story.path, story.heads())["topic"]) == ("", False)


def test_a_large_branch_is_read_in_bounds_and_disturbs_no_other(story: Story) -> None:
    first = story.commit("main", a="0")
    large = {b"d%d/f%d" % (number // 100, number): "1" for number in range(100_000)}
    story.commit_paths("large", first, files=large)
    story.commit("small", first, b="1")
    story.commit("main", first, b="1")

    found = standings(story.path, story.heads(), look_back=LookBack(paths=500))

    assert "RECONCILER_LOOK_BACK_PATHS" in found["large"].merge_unknown
    assert answer(found["small"]) == ("equivalence", False)


def test_a_step_that_is_too_large_to_compare_leaves_the_answer_open(story: Story) -> None:
    """The branch adds files and takes them away again, and was rebased onto main so."""
    names = [f"g{number}" for number in range(30)]
    first = story.commit("main", z="0")

    def work(branch: str, tip: int) -> int:
        tip = story.commit_paths(branch, tip, files={name.encode(): "1" for name in names})
        tip = story.commit(branch, tip, a="1", delete=tuple(names))
        return story.commit(branch, tip, b="1")

    work("topic", first)
    work("main", story.commit("main", first, z="1"))

    found = standings(story.path, story.heads(), look_back=LookBack(paths=10))["topic"]

    assert answer(found) == ("", True)


def test_what_a_merge_commit_of_the_branch_itself_changed_counts(story: Story) -> None:
    """Main has both commits of the branch, and not what its merge of main made of a file."""
    first = story.commit("main", a="0", b="0")
    own = story.commit("topic", story.commit("topic", first, a="1"), b="1")
    moved = story.commit("main", first, c="1")
    story.commit("topic", own, moved, a="2", c="1")
    story.commit("main", story.commit("main", moved, a="1"), b="1")

    assert answer(standings(story.path, story.heads())["topic"])[0] == ""


def test_one_commit_and_a_criss_cross_is_found_or_left_open(story: Story) -> None:
    first = story.commit("main", a="0")
    left = story.commit("main", first, left="1")
    right = story.commit("topic", first, right="1")
    main = story.commit("main", left, right, right="1")
    topic = story.commit("topic", right, left, left="1")
    story.commit("topic", topic, own="1")
    story.commit("main", main, own="1")
    story.commit("other", topic, other="1")

    found = standings(story.path, story.heads())

    assert found["topic"].comparison.relation is Relation.DIVERGED
    assert answer(found["topic"]) != ("", False)
    assert found["other"].merged_by == ""


def test_a_branch_on_top_of_main_and_one_without_relation_are_not_merged(story: Story) -> None:
    first = story.commit("main", a="0")
    story.commit("ahead", first, b="1")
    story.commit("foreign", a="0")

    found = standings(story.path, story.heads())

    relations = {name: one.comparison.relation for name, one in found.items()}
    assert relations == {"ahead": Relation.DESCENDANT, "foreign": Relation.UNRELATED}
    assert {answer(one) for one in found.values()} == {("", False)}


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_names_of_any_bytes_and_both_kinds_of_ids(
    tmp_path: Path, object_format: str, files: bool
) -> None:
    story = Story(tmp_path / "r.git", object_format=object_format)
    first = story.commit_paths("main", files={b"a": "0\n", b"\xb1/\xff": "0\n"})
    story.commit_paths("merged", first, files={b"\xb1/\xff": "1\n"})
    story.commit_paths("open", first, files={b"\xb1/\xfe": "1\n"})
    lines = [f"{number}\n" for number in range(30)]
    shared = story.commit_paths("main", first, files={b"s": "".join(lines)})
    story.commit_paths("beside", shared, files={b"s": "".join(["x\n", *lines[1:]])})
    moved = story.commit_paths("main", shared, files={b"s": "".join([*lines[:-1], "y\n"])})
    picked = story.commit_paths("main", moved, files={b"s": "".join(["x\n", *lines[1:-1], "y\n"])})
    story.commit_paths("main", picked, files={b"\xb1/\xff": "1\n"})

    found = standings(story.path, story.heads(), files=files)

    assert answer(found["merged"]) == ("equivalence", False)
    assert answer(found["open"]) == ("", False)
    assert answer(found["beside"]) == (("equivalence", False) if files else ("", True))


def test_no_answer_hangs_on_which_branches_were_asked_together(tmp_path: Path) -> None:
    world = build_world(tmp_path / "r.git", commits=60, branches=dict.fromkeys(Fate, 2))
    heads = world.heads()
    together = standings(world.path, heads)

    for name in together:
        alone = GitRemote(tmp_path / f"alone-{name[-1]}", allowed_local_roots=[tmp_path])
        some = {"main": heads["main"], name: heads[name]}
        assert standings(world.path, some, remote=alone) == {name: together[name]}
        alone.close()


def test_a_mirror_that_was_replaced_under_a_reader_is_read_anew(tmp_path: Path) -> None:
    world = build_world(tmp_path / "r.git", commits=60, branches=dict.fromkeys(Fate, 2))
    heads = world.heads()
    remote = GitRemote(tmp_path / "mirrors", allowed_local_roots=[tmp_path])
    few = {name: heads[name] for name in ["main", *sorted(world.fates)[:3]]}
    standings(world.path, few, remote=remote)
    (tmp_path / "mirrors/1/mirror.git").rename(tmp_path / "mirrors/1/elsewhere.git")

    found = standings(world.path, heads, remote=remote)
    remote.close()

    fresh = GitRemote(tmp_path / "fresh", allowed_local_roots=[tmp_path])
    assert found == standings(world.path, heads, remote=fresh)
    fresh.close()


def test_trees_that_the_server_does_not_hand_out_leave_the_answer_open_and_unremembered(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = story.commit("main", a="0")
    story.commit("topic", first, b="1")
    story.commit("main", first, b="1")
    heads = story.heads()
    with monkeypatch.context() as refusing:
        refusing.setattr(Supply, "read_trees", lambda self, oids: ({}, NO_TREES))
        refused = standings(story.path, heads)["topic"]

    assert (refused.merged_by, refused.merge_unknown) == ("", NO_TREES)
    assert answer(standings(story.path, heads)["topic"]) == ("equivalence", False)


def test_a_reader_that_is_killed_in_mid_answer_costs_no_mirror(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = story.commit("main", a="0")
    story.commit("topic", first, b="1")
    story.commit("main", first, b="1")
    heads = story.heads()
    receive, killed = _Reader._receive, list[int]()

    def killed_once(self: _Reader, deadline: float) -> None:
        if not killed:
            killed.append(self._process.pid)
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        receive(self, deadline)

    remote = GitRemote(story.path.parent / "m", allowed_local_roots=[story.path.parent])
    remote.sync(RemoteTarget(str(story.path), "1"), heads)
    monkeypatch.setattr(_Reader, "_receive", killed_once)
    # A reader's answer may be in the pipe already: start with a new one, which has said nothing.
    remote.close()

    found = standings(story.path, heads, remote=remote)["topic"]
    remote.close()

    assert killed
    assert answer(found) == ("equivalence", False)
    assert [one.name for one in (story.path.parent / "m" / "1").glob("*.git")] == ["mirror.git"]
