"""Builds the demonstration's repositories: real histories whose ids are the same on every run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.git_host import GIT_ENV

_BEGINNING = datetime(2025, 3, 3, 9, 0, tzinfo=UTC)
_HOOK = Path(__file__).with_name("post_receive.py")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit to make: on which branch, by whom, which files, how long after the beginning."""

    branch: str
    author: str
    message: str
    files: Mapping[str, str]
    days: int
    start_from: str = ""


class Clone:
    """A bare repository on the host and a working copy of it; pushes are real `git push`es."""

    def __init__(self, host_root: Path, work_root: Path, full_name: str, url: str) -> None:
        self.full_name = full_name
        self.url = url
        self.bare = host_root / f"{full_name}.git"
        self.work = work_root / full_name.replace("/", "-")
        self.bare.parent.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare), cwd=None)
        self._git("config", "http.receivepack", "true", cwd=self.bare)
        self._git("config", "uploadpack.allowFilter", "true", cwd=self.bare)
        self._git("init", "--quiet", "--initial-branch=main", str(self.work), cwd=None)

    def install_hook(self) -> None:
        """Install the server-side hook that announces pushes, run by our own interpreter."""
        hook = self.bare / "hooks" / "post-receive"
        hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{_HOOK}"\n', encoding="utf-8")
        hook.chmod(0o755)

    def commit(self, *commits: Commit) -> str:
        """Make commits in order and return the id of the last one."""
        head = ""
        for number, commit in enumerate(commits):
            self._checkout(commit)
            for path, content in commit.files.items():
                target = self.work / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
            self._git("add", "--all")
            when = _BEGINNING + timedelta(days=commit.days, minutes=number)
            self._git(
                "commit",
                "--quiet",
                "--message",
                commit.message,
                env=_person(commit.author, when),
            )
            head = self.head("HEAD")
        return head

    def amend(self, branch: str, *, author: str, message: str, days: int) -> str:
        """Rewrite the last commit of a branch and return its new id."""
        self._git("checkout", "--quiet", branch)
        when = _BEGINNING + timedelta(days=days)
        self._git(
            "commit",
            "--quiet",
            "--amend",
            "--message",
            message,
            "--reset-author",
            env=_person(author, when),
        )
        return self.head("HEAD")

    def merge(self, branch: str, *, into: str, author: str, days: int) -> str:
        """Merge a branch with a merge commit and return its id."""
        self._git("checkout", "--quiet", into)
        when = _BEGINNING + timedelta(days=days)
        self._git(
            "merge",
            "--quiet",
            "--no-ff",
            "--message",
            f"Merge {branch}",
            branch,
            env=_person(author, when),
        )
        return self.head("HEAD")

    def head(self, name: str) -> str:
        """Return the object id that a name stands for."""
        return self._git("rev-parse", name).strip()

    def seed(self) -> None:
        """Put the working copy's branches onto the host without announcing anything."""
        self._git("push", "--quiet", str(self.bare), "--all")

    def push(self, *refspecs: str, as_user: str, force: bool = False) -> None:
        """Push over HTTP as a user, through the host's hooks."""
        forced = ["--force"] if force else []
        self._git("push", "--quiet", *forced, self._address(as_user), *refspecs)

    def hand_over(self, *, branch: str, to_user: str) -> None:
        """Check out a branch and let a plain `git push` of it be made by a user."""
        for name, value in (
            ("remote.origin.url", self._address(to_user)),
            ("push.default", "current"),
            ("user.name", to_user),
            ("user.email", f"{to_user}@acme.example"),
        ):
            self._git("config", name, value)
        self._git("checkout", "--quiet", branch)

    def _address(self, user: str) -> str:
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{user}:unused@{rest}"

    def _checkout(self, commit: Commit) -> None:
        exists = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", f"refs/heads/{commit.branch}"],
            cwd=self.work,
            env=GIT_ENV,
            capture_output=True,
            check=False,
        )
        if exists.returncode == 0:
            self._git("checkout", "--quiet", commit.branch)
        elif commit.start_from:
            self._git("checkout", "--quiet", "-b", commit.branch, commit.start_from)
        else:
            self._git("symbolic-ref", "HEAD", f"refs/heads/{commit.branch}")

    def _git(
        self,
        *arguments: str,
        cwd: Path | str | None = "work",
        env: Mapping[str, str] | None = None,
    ) -> str:
        folder = self.work if cwd == "work" else cwd
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env={**GIT_ENV, "HOME": os.devnull, "GIT_TERMINAL_PROMPT": "0", **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"git {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
        return done.stdout


def _person(name: str, when: datetime) -> dict[str, str]:
    moment = when.strftime("%Y-%m-%dT%H:%M:%S+0000")
    return {
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": f"{name}@acme.example",
        "GIT_AUTHOR_DATE": moment,
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": f"{name}@acme.example",
        "GIT_COMMITTER_DATE": moment,
    }


def history(branch: str, author: str, changes: Sequence[tuple[str, str, int]]) -> list[Commit]:
    """Return plain commits on one branch: `(file, message, day)` each."""
    return [
        Commit(branch, author, message, {path: f"# {message}\n"}, days)
        for path, message, days in changes
    ]


def clear(folder: Path) -> None:
    """Remove a folder of an earlier run."""
    if folder.exists():
        shutil.rmtree(folder)
