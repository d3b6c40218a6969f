"""Bare repositories of shapes that are met in the field, made by plain git; and a site for them."""

import io
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management import CommandError, call_command

from reconciliation.management.commands.reconcile import UNFINISHED
from tests.git_server import GitServer

SCRIPTS = Path(
    os.environ.get(
        "FIELD_SCRIPTS", Path(__file__).resolve().parents[4] / "shared" / "data" / "field"
    )
)
YEAR_10000 = 253402300800
BYTES_NAME = b"\xb1latin"


def git(folder: Path | bytes | str, *arguments: str | bytes, stdin: bytes = b"") -> str:
    """Run git in a folder, as nobody, and return what it printed."""
    done = subprocess.run(
        ["git", "-C", folder, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            **{
                f"GIT_{who}_{what}": value
                for who in ("AUTHOR", "COMMITTER")
                for what, value in (("NAME", "a"), ("EMAIL", "a@example.org"))
            },
        },
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


class Bare:
    """A bare repository whose commits all have the empty tree, and the dates that a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "--bare", "-b", "main")
        self._tree = git(folder, "hash-object", "-w", "-t", "tree", "/dev/null")

    def commit(self, *parents: str, date: str, text: str = "x") -> str:
        """Store a commit with this committer line's end, such as `1700000000 +0000`."""
        lines = [f"tree {self._tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author a <a@example.org> {date}", f"committer a <a@example.org> {date}"]
        content = "\n".join([*lines, "", text, ""]).encode()
        return git(
            self.folder,
            *("hash-object", "-t", "commit", "-w", "--stdin", "--literally"),
            stdin=content,
        )

    def point(self, branch: str | bytes, head: str) -> None:
        """Point a branch at a commit."""
        name = branch if isinstance(branch, bytes) else branch.encode()
        git(self.folder, "update-ref", b"refs/heads/" + name, head)

    def delete(self, branch: str) -> None:
        """Delete a branch."""
        git(self.folder, "update-ref", "-d", f"refs/heads/{branch}")

    def make_default(self, branch: str) -> None:
        """Point HEAD at a branch."""
        git(self.folder, "symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def head(self, branch: str) -> str:
        """Return the commit that a branch points at."""
        return git(self.folder, "rev-parse", f"refs/heads/{branch}")


def days_ago(days: int) -> str:
    """Return git's text of a moment that many days ago."""
    return f"{int((datetime.now(UTC) - timedelta(days=days)).timestamp())} +0000"


def run_script(name: str, *arguments: str) -> None:
    """Run one of the scripts that lie beside the project."""
    subprocess.run(
        ["bash", str(SCRIPTS / name), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        check=True,
        capture_output=True,
    )


def connect(server: GitServer, name: str, **options: Any) -> dict[str, Any]:
    """Govern a served repository as acme/main/NAME; return the command's document."""
    out = io.StringIO()
    call_command(
        "connect_repository",
        server.url(f"{name}.git"),
        tenant="acme",
        workspace="main",
        name=name,
        json=True,
        **{"stdout": out, **options},
    )
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def reconcile(name: str) -> dict[str, Any]:
    """Run one pass over acme/main/NAME; return the command's document.

    Heads that must settle first are not waited for: that is exit code 3.
    """
    out = io.StringIO()
    try:
        call_command("reconcile", f"acme/main/{name}", json=True, stdout=out)
    except CommandError as unfinished:
        if unfinished.returncode != UNFINISHED:
            raise
    document: dict[str, Any] = json.loads(out.getvalue())
    return document
