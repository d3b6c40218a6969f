"""Leaves nothing behind: ends every process that a test started, and the sessions they had.

A process is known by a mark in its environment, which whoever it starts inherits: also those that
moved to a group of their own, and those whose parent was killed. Linux only, as it reads /proc.
"""

import contextlib
import os
import signal
import time
from pathlib import Path

from django.db import connection

MARK = "CHAOS_MARK"
_LOOK_EVERY_SECONDS = 0.05
_SESSIONS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


def marked(mark: str) -> list[int]:
    """Return the living processes that carry a mark; the dead that nobody buried do not count."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return sorted(found)


def end_marked(mark: str, *, within_seconds: float = 60) -> None:
    """Kill every process that carries a mark, until there is none."""
    deadline = time.monotonic() + within_seconds
    while left := marked(mark):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise AssertionError(f"processes {left} cannot be killed")
        time.sleep(_LOOK_EVERY_SECONDS)


def end_sessions(*, patience_seconds: float = 5, within_seconds: float = 60) -> None:
    """Return when nobody but us has a session on the test's database (PostgreSQL).

    A server learns late that the client of a busy session was killed: after `patience_seconds` the
    sessions are ended from this side. Else their locks would stop whoever empties the tables.
    """
    if connection.vendor != "postgresql":
        return
    began = time.monotonic()
    with connection.cursor() as cursor:
        while True:
            cursor.execute(f"SELECT COUNT(*) {_SESSIONS}")
            left = cursor.fetchone()[0]
            waited = time.monotonic() - began
            if not left:
                return
            if waited > within_seconds:
                raise AssertionError(f"{left} sessions of killed processes do not end")
            if waited > patience_seconds:
                cursor.execute(f"SELECT pg_terminate_backend(pid) {_SESSIONS}")
            time.sleep(_LOOK_EVERY_SECONDS)
