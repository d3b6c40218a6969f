"""Keep two processes, or two threads, from changing one mirror at the same time.

A lock is a kernel lock on a small file: it ends with the process that holds it, however that
process ends, so there is never a stale one to break.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from reconciliation.remotes.base import RemoteUnavailable

_PAUSE_SECONDS = 0.02


@contextlib.contextmanager
def locked(path: Path, *, exclusive: bool, timeout_seconds: float) -> Iterator[int]:
    """Hold the lock at `path` for the block; give its file descriptor.

    A process that is handed the descriptor keeps the lock alive until it ends too: a fetch whose
    parent was killed still keeps others out. Raises RemoteUnavailable after `timeout_seconds`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, exclusive=exclusive, timeout_seconds=timeout_seconds)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, *, exclusive: bool, timeout_seconds: float) -> None:
    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RemoteUnavailable(
                    f"mirror {path.parent.name} is busy: another process fetches into it"
                ) from None
            time.sleep(_PAUSE_SECONDS)
