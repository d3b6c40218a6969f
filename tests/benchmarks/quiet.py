"""Waits for a machine that is left alone, and tells how much strangers used of it."""

import time
from pathlib import Path

QUIET = 0.2
_LOOK_SECONDS = 0.5


def wait_for_quiet(*, at_most_seconds: float) -> float:
    """Return when strangers use less than a fifth of the machine, or when the time is up.

    To be asked while all that is ours is idle. Returns the share (0 to 1) seen last.
    """
    deadline = time.monotonic() + at_most_seconds
    while (share := busy_share()) >= QUIET and time.monotonic() < deadline:
        pass
    return share


def busy_share() -> float:
    """Return the share of all cores that was busy, or taken by the host, for half a second."""
    before = _jiffies()
    time.sleep(_LOOK_SECONDS)
    after = _jiffies()
    total = after[0] - before[0]
    return (after[1] - before[1]) / total if total else 0.0


def _jiffies() -> tuple[int, int]:
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    user, nice, system, idle, waiting, *interrupts_and_steal = map(int, first.split()[1:9])
    busy = user + nice + system + sum(interrupts_and_steal)
    return busy + idle + waiting, busy
