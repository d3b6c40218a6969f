"""Builds real repositories of any size with known truth about every branch, by `git fast-import`.

Each branch leaves main somewhere, changes a few files and ends in one of the ways of `Fate`.
"""

import os
import random
import subprocess
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

BORN = 1_700_000_000
_QUIET = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}


class Fate(StrEnum):
    """What became of a branch."""

    UNMERGED = "unmerged"
    MERGED = "merged"
    SQUASHED = "squashed"
    REBASED = "rebased"
    SQUASHED_BESIDE_OTHERS = "squashed_beside_others"
    """Squashed after main had changed another line of the same file."""
    REBASED_BESIDE_OTHERS = "rebased_beside_others"
    HALF_SQUASHED = "half_squashed"
    """Only one of its files came to main."""


@dataclass(slots=True)
class World:
    """A bare repository, the fate of each branch, and how old (in commits) its end on main is."""

    path: Path
    fates: dict[str, Fate] = field(default_factory=dict)
    landed_at: dict[str, int] = field(default_factory=dict)
    commits: int = 0

    def git(self, *arguments: str, stdin: str = "") -> str:
        """Run git there and return what it printed."""
        result = subprocess.run(
            ["git", f"--git-dir={self.path}", *arguments],
            input=stdin.encode(),
            capture_output=True,
            check=True,
            env={**os.environ, **_QUIET},
        )
        return result.stdout.decode("utf-8", "backslashreplace")

    def heads(self) -> dict[str, str]:
        """Return all branches with their heads."""
        listing = self.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads")
        pairs = (line.split(" ", 1) for line in listing.splitlines())
        return {name.removeprefix("refs/heads/"): oid for oid, name in pairs}

    def age_of_landing(self, name: str) -> int:
        """Return how many commits of main came after the branch's."""
        return self.commits - self.landed_at[name]


class _Import:
    """The stream of one fast-import."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.marks = 0
        self.at = BORN

    def commit(self, ref: str, files: dict[str, str], *, parents: tuple[int, ...] = ()) -> int:
        self.marks += 1
        self.at += 60
        self.parts.append(
            f"commit {ref}\nmark :{self.marks}\ncommitter a <a@example.org> {self.at} +0000\n"
            "data 1\nx\n"
        )
        if parents:
            self.parts.append(f"from :{parents[0]}\n")
            self.parts += [f"merge :{parent}\n" for parent in parents[1:]]
        for path, content in sorted(files.items()):
            self.parts.append(f"M 100644 inline {path}\ndata {len(content)}\n{content}\n")
        self.parts.append("\n")
        return self.marks


def build_world(path: Path, *, commits: int, branches: dict[Fate, int], seed: int = 1) -> World:
    """Build a repository with `commits` on main, about, and so many branches of each fate.

    Branches leave main anywhere, and land anywhere after that.
    """
    chance = random.Random(seed)
    subprocess.run(
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True
    )
    world = World(path)
    stream = _Import()
    wanted = [fate for fate, count in sorted(branches.items()) for _ in range(count)]
    chance.shuffle(wanted)
    events: dict[int, list[tuple[str, Fate]]] = {}
    leaves: dict[int, list[tuple[str, Fate]]] = {}
    for number, fate in enumerate(wanted):
        name = f"topic/{number:05d}"
        left = chance.randrange(commits - 1)
        leaves.setdefault(left, []).append((name, fate))
        if fate is not Fate.UNMERGED:
            events.setdefault(chance.randrange(left + 1, commits), []).append((name, fate))
        world.fates[name] = fate
    lines = {f"src/p{n % 23}/m{n % 7}/shared{n}.txt": _lines(n) for n in range(60)}
    main = stream.commit("refs/heads/main", {p: _text(value) for p, value in lines.items()})
    world.commits = 1
    own: dict[str, list[dict[str, str]]] = {}
    tips: dict[str, int] = {}
    for step in range(commits):
        for name, fate in leaves.get(step, ()):
            own[name], tips[name] = _branch(stream, name, fate, main, lines, chance)
        for name, fate in events.get(step, ()):
            main = _land(stream, world, name, fate, main, own[name], tips[name], lines)
        main = stream.commit(
            "refs/heads/main",
            {f"src/p{step % 23}/log{step % 11}.txt": f"{step}\n"},
            parents=(main,),
        )
        world.commits += 1
    subprocess.run(
        ["git", f"--git-dir={path}", "fast-import", "--quiet"],
        input="".join(stream.parts).encode(),
        check=True,
    )
    return world


def _lines(number: int) -> list[str]:
    return [f"{number} line {line}" for line in range(30)]


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _branch(
    stream: _Import,
    name: str,
    fate: Fate,
    base: int,
    lines: dict[str, list[str]],
    chance: random.Random,
) -> tuple[list[dict[str, str]], int]:
    """Commit the branch's own work; return the files of each commit, and its last mark."""
    tip, steps = base, []
    beside = fate in {Fate.SQUASHED_BESIDE_OTHERS, Fate.REBASED_BESIDE_OTHERS}
    shared = chance.choice(sorted(lines))
    for number in range(2):
        folder = f"src/p{chance.randrange(23)}/{name.replace('/', '-')}"
        files = {f"{folder}/new{number}.txt": f"{name} {number}\n"}
        if beside and number == 0:
            changed = list(lines[shared])
            changed[2] = f"changed by {name}"
            files[shared] = _text(changed)
        tip = stream.commit(f"refs/heads/{name}", files, parents=(tip,))
        steps.append(files)
    return steps, tip


def _land(
    stream: _Import,
    world: World,
    name: str,
    fate: Fate,
    main: int,
    steps: list[dict[str, str]],
    tip: int,
    lines: dict[str, list[str]],
) -> int:
    """Bring a branch to main in the way of its fate; return the new tip of main."""
    if fate in {Fate.SQUASHED_BESIDE_OTHERS, Fate.REBASED_BESIDE_OTHERS}:
        shared = next(path for files in steps for path in files if path in lines)
        lines[shared][20] = f"main before {name}"
        main = stream.commit("refs/heads/main", {shared: _text(lines[shared])}, parents=(main,))
        world.commits += 1
        lines[shared][2] = f"changed by {name}"
        steps = [
            {path: _text(lines[shared]) if path == shared else text for path, text in files.items()}
            for files in steps
        ]
    everything = {path: text for files in steps for path, text in files.items()}
    if fate is Fate.MERGED:
        main = stream.commit("refs/heads/main", everything, parents=(main, tip))
        world.commits += 1 + len(steps)
    elif fate is Fate.HALF_SQUASHED:
        path = min(everything)
        main = stream.commit("refs/heads/main", {path: everything[path]}, parents=(main,))
        world.commits += 1
    elif fate in {Fate.SQUASHED, Fate.SQUASHED_BESIDE_OTHERS}:
        main = stream.commit("refs/heads/main", everything, parents=(main,))
        world.commits += 1
    else:
        for files in steps:
            main = stream.commit("refs/heads/main", files, parents=(main,))
            world.commits += 1
    world.landed_at[name] = world.commits
    return main
