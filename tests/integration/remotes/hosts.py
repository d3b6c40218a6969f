"""Hosts for the contract tests: the same sketches of commits, in real git and in memory."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from reconciliation.remotes import MemoryRemote, Remote, RemoteTarget
from reconciliation.remotes.memory import MemoryCommit

BORN = 1_750_000_000


@dataclass(frozen=True, slots=True)
class Sketch:
    """A commit by name: what a test needs to say, and nothing git computes."""

    name: str
    parents: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    at: int = BORN


class Host(Protocol):
    """A place people push to, and a remote that reads it."""

    remote: Remote
    target: RemoteTarget
    oids: dict[str, str]

    def add(self, *sketches: Sketch) -> None: ...
    def point(self, branch: str, name: str) -> None: ...
    def drop(self, branch: str) -> None: ...
    def prune(self) -> None: ...


def blob_id(text: str) -> str:
    """Return the id git gives a file with this content."""
    return hashlib.sha1(b"blob %d\0%s" % (len(text.encode()), text.encode())).hexdigest()


def git(*arguments: str, folder: Path, stdin: bytes = b"") -> str:
    """Run git the way a person would, but untouched by that person's configuration."""
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        input=stdin,
        capture_output=True,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "author@example.org",
            "GIT_COMMITTER_NAME": "c",
            "GIT_COMMITTER_EMAIL": "committer@example.org",
        },
    )
    return result.stdout.decode()


class GitHost:
    """A bare repository on disk, and whatever `remote` reads it by."""

    def __init__(
        self, folder: Path, remote: Remote, target: RemoteTarget, *, object_format: str = "sha1"
    ) -> None:
        self.folder = folder
        self.remote = remote
        self.target = target
        self.oids: dict[str, str] = {}
        folder.mkdir(parents=True)
        git("init", "-q", "--bare", "-b", "main", f"--object-format={object_format}", folder=folder)

    def add(self, *sketches: Sketch) -> None:
        """Write commits, parents first; all in one process."""
        marks = {sketch.name: number for number, sketch in enumerate(sketches, start=1)}
        stream = b"".join(self._commit(sketch, marks) for sketch in sketches)
        marks_file = self.folder / "marks"
        arguments = ("fast-import", "--quiet", f"--export-marks={marks_file}")
        git(*arguments, folder=self.folder, stdin=stream)
        ids = dict(line.split() for line in marks_file.read_text().splitlines())
        self.oids |= {name: ids[f":{number}"] for name, number in marks.items()}
        scratch = "".join(f"delete refs/scratch/{number}\n" for number in marks.values())
        git("update-ref", "--stdin", folder=self.folder, stdin=scratch.encode())

    def _commit(self, sketch: Sketch, marks: Mapping[str, int]) -> bytes:
        number = marks[sketch.name]
        parents = [f":{marks[p]}" if p in marks else self.oids[p] for p in sketch.parents]
        lines = [
            f"commit refs/scratch/{number}",
            f"mark :{number}",
            f"author a <author@example.org> {sketch.at} +0200",
            f"committer c <committer@example.org> {sketch.at} +0000",
            f"data {len(sketch.name.encode())}",
            sketch.name,
            *(f"{'merge' if n else 'from'} {parent}" for n, parent in enumerate(parents)),
            "deleteall",
        ]
        for path, text in sketch.files.items():
            lines += [f"M 100644 inline {path}", f"data {len(text.encode())}", text]
        return "\n".join([*lines, "", ""]).encode()

    def point(self, branch: str, name: str) -> None:
        """Point a branch at a commit, by force if need be."""
        self.point_all({branch: name})

    def point_all(self, branches: Mapping[str, str]) -> None:
        """Point many branches at commits."""
        lines = [f"update refs/heads/{b} {self.oids[name]}\n" for b, name in branches.items()]
        git("update-ref", "--stdin", folder=self.folder, stdin="".join(lines).encode())

    def drop(self, branch: str) -> None:
        """Delete a branch."""
        git("update-ref", "-d", f"refs/heads/{branch}", folder=self.folder)

    def prune(self) -> None:
        """Forget what no branch leads to."""
        git("repack", "-a", "-d", "-q", folder=self.folder)
        git("prune", "--expire=now", folder=self.folder)


class MemoryHost:
    """The same, on `MemoryRemote`."""

    def __init__(self) -> None:
        self.memory = MemoryRemote()
        self.remote: Remote = self.memory
        self.target = RemoteTarget("https://git.example.org/acme/api.git", "1")
        self.memory.create(self.target.clone_url)
        self.oids: dict[str, str] = {}
        self._waiting: dict[str, MemoryCommit] = {}

    def add(self, *sketches: Sketch) -> None:
        """Note commits; they reach the host with the first push that needs them."""
        for sketch in sketches:
            oid = hashlib.sha1(sketch.name.encode()).hexdigest()
            self.oids[sketch.name] = oid
            commit = MemoryCommit(
                oid,
                parents=tuple(self.oids[parent] for parent in sketch.parents),
                committed_at=sketch.at,
                files={path: blob_id(text) for path, text in sketch.files.items()},
            )
            self.memory.push(self.target.clone_url, "scratch", commit)
            self.memory.delete_branch(self.target.clone_url, "scratch")

    def point(self, branch: str, name: str) -> None:
        """Point a branch at a commit, by force if need be."""
        self.memory.reset(self.target.clone_url, branch, self.oids[name])

    def drop(self, branch: str) -> None:
        """Delete a branch."""
        self.memory.delete_branch(self.target.clone_url, branch)

    def prune(self) -> None:
        """Forget what no branch leads to."""
        self.memory.prune(self.target.clone_url)
