"""Two supervised clusters and a lone drain on one database, and somebody who kills them."""

import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.chaos.remains import MARK, end_marked
from tests.integration.queue.programs import ROOT, children_of, members_of

BRANCHES = 25
TASKS_PER_BRANCH = 3
WEIGHTS = {"cluster": 6, "drain": 3, "supervisor": 1}
_RUN_SECONDS = 600


class Chaos:
    """A world of tasks on a database of its own, and the processes that work them."""

    def __init__(self, folder: Path, *, database_url: str, tasks: int) -> None:
        self.mark = secrets.token_hex(8)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "DATABASE_URL": database_url,
            "RECONCILER_VAR": str(folder / "var"),
            "RECONCILER_ALLOWED_LOCAL_ROOTS": str(folder),
            "RECONCILER_CLAIM_SECONDS": "5",
            "RECONCILER_CLAIM_BATCH": "20",
            "RECONCILER_LOG_LEVEL": "WARNING",
            MARK: self.mark,
        }
        self.folder = folder
        self.log = (folder / "log").open("ab")
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self.drain: subprocess.Popen[bytes] | None = None
        self.blows: list[str] = []
        repositories = max(2, -(-tasks // (BRANCHES * TASKS_PER_BRANCH)))  # rounded up
        self.tasks = repositories * BRANCHES * TASKS_PER_BRANCH
        self.run("manage.py", "migrate", "-v0")
        self.run("-m", "tests.chaos.world", "make", folder / "api.git", repositories, BRANCHES)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a program in a group of its own."""
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def run(self, *arguments: object) -> str:
        """Run a program to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def feed(self, *, waves: int, seconds: float) -> subprocess.Popen[bytes]:
        """Start queueing all tasks in waves."""
        return self.start("-m", "tests.chaos.world", "feed", waves, seconds / waves)

    def supervise(self) -> None:
        """Start what is not running: clusters under supervisors, and the lone drain."""
        self.supervisors = [one for one in self.supervisors if one.poll() is None]
        while len(self.supervisors) < 2:
            self.supervisors.append(
                self.start(
                    "manage.py",
                    "reconcile_worker",
                    *("--canary-every", "1", "--canary-deadline", "6"),
                )
            )
        if self.drain is None or self.drain.poll() is not None:
            self.drain = self.start("manage.py", "drain", "--loop")

    def family(self) -> list[int]:
        """Return every process below the supervisors: main, sentinel, workers, pusher, monitor."""
        mains = [main for one in self.supervisors for main in children_of(one.pid)]
        return sorted({pid for main in mains for pid in members_of(main)})

    def sentinels(self) -> list[int]:
        """Return the process of each cluster that starts all others of it."""
        mains = [main for one in self.supervisors for main in children_of(one.pid)]
        return sorted(pid for main in mains for pid in children_of(main)[:1])

    def strike(self, chance: random.Random) -> None:
        """Kill somebody."""
        victims = {
            "cluster": self.family(),
            "drain": [one.pid for one in [self.drain] if one and one.poll() is None],
            "supervisor": [one.pid for one in self.supervisors if one.poll() is None],
        }
        kinds = [kind for kind, weight in WEIGHTS.items() for _ in range(weight) if victims[kind]]
        kind = chance.choice(kinds)
        self.kill(kind, chance.choice(victims[kind]))

    def kill(self, kind: str, pid: int) -> None:
        """Kill one process and note it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.note(f"{kind} {pid}")

    def note(self, what: str) -> None:
        """Remember a blow, for the message of a failed assertion."""
        self.blows.append(f"{datetime.now(UTC):%H:%M:%S.%f} {what}")

    def report(self) -> dict[str, Any]:
        """Return what became of the work, and every promise that does not hold."""
        told: dict[str, Any] = json.loads(self.run("-m", "tests.chaos.world", "report"))
        return told

    def let_it_end(self, *, patience_seconds: float) -> dict[str, Any]:
        """Have all work worked off in peace and return the report.

        However slow the machine is, this waits while anything goes forward; it gives up when no
        task ended for `patience_seconds`.
        """
        best, deadline = -1, time.monotonic() + patience_seconds
        while True:
            report = self.report()
            ended = report["states"].get("completed", 0) + report["states"].get("dead", 0)
            if ended == self.tasks:
                return report
            if ended > best:
                best, deadline = ended, time.monotonic() + patience_seconds
            assert time.monotonic() < deadline, (report, self.blows, self.folder / "log")
            time.sleep(2)
            self.supervise()

    def stop_in_order(self) -> None:
        """Ask everybody to stop, and give them the time that they promise to need."""
        asked = [*self.supervisors, *filter(None, [self.drain])]
        for process in asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        for process in asked:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(40)

    def end(self) -> None:
        """Kill what is left, whoever started it."""
        end_marked(self.mark)
        for process in [*self.supervisors, *filter(None, [self.drain])]:
            process.wait(30)
        self.log.close()


@contextlib.contextmanager
def chaos(folder: Path, *, database_url: str, tasks: int) -> Iterator[Chaos]:
    """Give a world to break into; none of its processes is left afterwards."""
    made = Chaos(folder, database_url=database_url, tasks=tasks)
    try:
        yield made
    finally:
        made.end()
