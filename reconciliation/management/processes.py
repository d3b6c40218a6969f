"""Child processes in groups of their own: started, watched, stopped in time; knows no Django."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

# The worker stops within 30 s by itself; what is killed after this is gone before 35 s are over.
GRACE_SECONDS = 33.0
POLL_SECONDS = 0.1
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0
# Whoever lived this long was not stopped by what stopped it last time.
HEALTHY_AFTER_SECONDS = 60.0

Report = Callable[[str, Mapping[str, object]], None]
"""Told what happens: an event's name and its facts."""


@dataclass
class Child:
    """One process that should be alive; `is_vital` ends everything when it dies by itself."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_vital: bool
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    restart_at: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self, *, now: float) -> None:
        """Start it as the leader of a group that a terminal's Ctrl-C does not reach."""
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # our standard output tells what happened, and only that
            start_new_session=True,
            preexec_fn=partial(_end_with_parent, os.getpid()),  # noqa: PLW1509 - we have one thread when we fork
        )
        self.started_at = now

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the leader only: it knows how to stop its own in order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def kill_group(self) -> None:
        """Kill what is left of the group, the orphans of a dead leader included."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self.process.wait()


class Supervisor:
    """Keeps children alive until told to stop, or until a vital one dies by itself.

    A child that is not vital is started again, later each time it dies young.
    """

    def __init__(self, children: Sequence[Child], *, report: Report) -> None:
        self._children = children
        self._report = report
        self._stop_signal = 0

    def run(self, *, on_start: Callable[[], None] = lambda: None) -> int:
        """Start all, call `on_start`, watch; return the exit code: 0 when asked to stop."""
        before = {number: signal.signal(number, self._note) for number in _STOPPING}
        try:
            for child in self._children:
                child.start(now=time.monotonic())
            on_start()
            return self._watch()
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def is_stopping(self) -> bool:
        """Whether a signal to stop has arrived."""
        return self._stop_signal != 0

    def _note(self, number: int, _frame: object) -> None:
        self._stop_signal = number

    def _watch(self) -> int:
        while not self.is_stopping:
            for child in self._children:
                if child.is_alive:
                    continue
                if child.is_vital:
                    self._report("died", _death(child))
                    return 1
                self._revive(child, now=time.monotonic())
            time.sleep(POLL_SECONDS)
        return 0

    def _revive(self, child: Child, *, now: float) -> None:
        if child.restart_at == 0.0:
            lived = now - child.started_at
            child.failures = 1 if lived >= HEALTHY_AFTER_SECONDS else child.failures + 1
            wait = backoff_seconds(child.failures)
            child.restart_at = now + wait
            child.kill_group()
            self._report("died", {**_death(child), "restart_in_seconds": wait})
        elif now >= child.restart_at:
            child.restart_at = 0.0
            child.start(now=now)
            self._report("restarted", {"process": child.name})

    def _stop_all(self) -> None:
        for child in self._children:
            child.ask_to_stop()
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.is_alive for child in self._children) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for child in self._children:
            if child.is_alive:
                self._report("killed", {"process": child.name, "after_seconds": GRACE_SECONDS})
            child.kill_group()


_STOPPING = (signal.SIGTERM, signal.SIGINT)


def backoff_seconds(failures: int) -> float:
    """Return how long to wait before the next start after `failures` early deaths in a row."""
    return float(min(FIRST_BACKOFF_SECONDS * 2 ** (failures - 1), LONGEST_BACKOFF_SECONDS))


def _death(child: Child) -> dict[str, object]:
    code = child.process.returncode if child.process else None
    return {"process": child.name, "exit_code": code}


def _end_with_parent(parent_pid: int) -> None:
    """Have Linux end the child in order when we are killed and cannot do it ourselves."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 = PR_SET_PDEATHSIG
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGTERM)  # we died before the wish could be made
