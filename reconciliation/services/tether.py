"""The line between a supervisor and the workers of its cluster: two inherited pipes and a name.

Workers write a byte for every bit of progress into the one, and see the other closed when they
shall stop: also when the supervisor was killed and could tell nobody. No database is needed, and
no other cluster on the same database can be taken for ours.
"""

import contextlib
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "RECONCILER_TETHER"


@dataclass(frozen=True, slots=True)
class Tether:
    """A worker's end of the line; `cluster` names the cluster it belongs to."""

    cluster: str
    progress_fd: int
    stop_fd: int
    supervisor_pid: int

    def report_progress(self) -> None:
        """Tell the supervisor that something got done; a full or closed pipe needs no telling."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self.progress_fd, b".")

    def is_told_to_stop(self) -> bool:
        """Return whether the supervisor wants its workers to stop, or is gone."""
        readable, _, _ = select.select([self.stop_fd], [], [], 0)
        return bool(readable)

    def as_environment(self) -> dict[str, str]:
        """Return the environment variable that hands this end to the cluster's processes."""
        numbers = (self.progress_fd, self.stop_fd, self.supervisor_pid)
        return {VARIABLE: ":".join([self.cluster, *map(str, numbers)])}


def tether_of(environment: Mapping[str, str]) -> Tether | None:
    """Return this process's end of the line, or None when nobody supervises it."""
    text = environment.get(VARIABLE)
    if not text:
        return None
    cluster, progress_fd, stop_fd, supervisor_pid = text.split(":")
    return Tether(cluster, int(progress_fd), int(stop_fd), int(supervisor_pid))


class SupervisorsEnd:
    """The supervisor's end: reads progress, and closes what tells the workers to stop."""

    def __init__(self, cluster: str) -> None:
        self._progress, progress_fd = os.pipe()
        stop_fd, self._stop = os.pipe()
        os.set_blocking(self._progress, False)
        os.set_blocking(progress_fd, False)
        self.tether = Tether(cluster, progress_fd, stop_fd, os.getpid())
        self._open = {self._progress, self._stop, progress_fd, stop_fd}

    def hand_over(self) -> None:
        """Close the workers' ends here, once their processes have them."""
        self._close(self.tether.progress_fd, self.tether.stop_fd)

    def saw_progress(self) -> bool:
        """Return whether any worker got something done since the last look."""
        seen = False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._progress, 65536):
                seen = True
        return seen

    def tell_to_stop(self) -> None:
        """Make every worker see that it shall stop."""
        self._close(self._stop)

    def close(self) -> None:
        """Close what is still open."""
        self._close(*self._open)

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open:
                self._open.discard(descriptor)
                os.close(descriptor)
