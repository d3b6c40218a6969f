"""Tells whether the disks that hold the database and the mirrors are full; asks the file system.

A database elsewhere cannot be looked at: of its disk we know only that it refused to store, and
remember that for a minute. Readiness and status both say what is said here.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from django.conf import settings

LEAST_FREE_BYTES = 16 * 1024 * 1024
"""Below this a disk counts as full: SQLite's log and a fetch need some room to end in order."""
REMEMBERED_SECONDS = 60.0

_refused_at: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk by what it holds; `free_bytes` is None where it is not ours to look at."""

    holds: Literal["database", "mirrors"]
    is_full: bool
    free_bytes: int | None

    @property
    def reason(self) -> str:
        """Say in one sentence how it is."""
        if self.free_bytes is None:
            return "It refused to store: its disk is full." if self.is_full else "Not full."
        free = f"{self.free_bytes // (1024 * 1024)} MiB are free."
        return f"The disk is full: {free} Make room on it." if self.is_full else free


def note_full_database() -> None:
    """Remember that the database just refused to store because its disk is full."""
    _refused_at["database"] = time.monotonic()


def disks() -> tuple[Disk, Disk]:
    """Return the disk of the database and that of the mirrors, as they are now."""
    refused_at = _refused_at.get("database")
    has_refused = refused_at is not None and time.monotonic() - refused_at < REMEMBERED_SECONDS
    database = settings.DATABASES["default"]
    free = None
    if database["ENGINE"].endswith("sqlite3"):
        free = _free_bytes(Path(database["NAME"]))
    mirrors = _free_bytes(Path(settings.MIRROR_ROOT))
    return (
        Disk("database", has_refused or _is_full(free), free),
        Disk("mirrors", _is_full(mirrors), mirrors),
    )


def _is_full(free_bytes: int | None) -> bool:
    return free_bytes is not None and free_bytes < LEAST_FREE_BYTES


def _free_bytes(path: Path) -> int | None:
    """Return what an ordinary account may still write below the nearest folder that exists."""
    for folder in (path, *path.parents):
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        return 0 if found.f_files and not found.f_favail else found.f_bavail * found.f_frsize
    return None
