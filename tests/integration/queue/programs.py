"""Runs management commands as real processes on the test database, and looks at their families."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.db import connection

ROOT = Path(__file__).resolve().parents[3]


def wait_until(happens: Callable[[], Any], *, within_seconds: float, what: str = "") -> Any:
    """Return the first true answer of `happens`, or fail when none comes in time."""
    deadline = time.monotonic() + within_seconds
    while not (answer := happens()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_seconds} s in vain: {what or happens}")
        time.sleep(0.05)
    return answer


def database_url() -> str:
    """Return the address of the test database, for another process."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    login = settings["USER"] + (f":{settings['PASSWORD']}" if settings["PASSWORD"] else "")
    return f"postgres://{login}@{settings['HOST']}:{settings['PORT']}/{settings['NAME']}"


class Program:
    """A running command; its output is read as it comes."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.test",
                "DATABASE_URL": database_url(),
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            threading.Thread(target=self._read, args=pipe, daemon=True)
            for pipe in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any, lines: list[str]) -> None:
        lines.extend(line.rstrip("\n") for line in pipe)

    @property
    def pid(self) -> int:
        return self.process.pid

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name, of a program that tells them as JSON lines."""
        told = [json.loads(line) for line in list(self.lines) if line.startswith('{"event"')]
        return [one for one in told if one["event"] == event]

    def terminate(self, *, within_seconds: float) -> int:
        """Ask it to stop in order, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_seconds)
        for reader in self._readers:
            reader.join(5)
        return code

    def kill(self) -> None:
        """Take it away without a word."""
        self.process.kill()
        self.process.wait(10)

    def said(self) -> str:
        """Return all it said, for the message of a failed assertion."""
        return "\n".join([*self.lines, *self.errors])


@contextlib.contextmanager
def running(*arguments: str, **environment: str) -> Iterator[Program]:
    """Run a command for the length of a block; whatever is left of it is killed."""
    program = Program(*arguments, **environment)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.kill()
        for started in program.told("cluster.start"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started["pid"], signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """Return the children of a process in the order of their birth; empty when it is gone."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def members_of(group: int) -> list[int]:
    """Return the living processes of a process group; the dead that nobody buried do not count."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, pgid = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(pgid) == group and state != "Z":
                found.append(int(entry.name))
    return sorted(found)
