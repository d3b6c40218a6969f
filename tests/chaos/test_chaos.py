"""Kills workers, sentinels and databases at random, and then looks whether every promise was kept.

make chaos                                     5,000 tasks on PostgreSQL, 600 on SQLite
CHAOS_TASKS=300 python -m pytest -m chaos      the short form
CHAOS_SEED=7 …                                 the same blows again, as far as time allows
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts.throwaway_postgres import ThrowawayPostgres
from tests.integration.queue.programs import ROOT, members_of

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

TASKS = int(os.environ.get("CHAOS_TASKS", "5000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
BRANCHES = 25
TASKS_PER_BRANCH = 3
WEIGHTS = {"cluster": 6, "drain": 3, "supervisor": 1}
KNOWN = ("claim_lost: ",)


class Chaos:
    """Two supervised clusters and a lone drain on one database, and somebody who kills them."""

    def __init__(self, folder: Path, *, database_url: str, tasks: int) -> None:
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "DATABASE_URL": database_url,
            "RECONCILER_VAR": str(folder / "var"),
            "RECONCILER_ALLOWED_LOCAL_ROOTS": str(folder),
            "RECONCILER_CLAIM_SECONDS": "5",
            "RECONCILER_CLAIM_BATCH": "20",
            "RECONCILER_LOG_LEVEL": "WARNING",
        }
        self.folder = folder
        self.log = (folder / "log").open("ab")
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self.drain: subprocess.Popen[bytes] | None = None
        self.blows: list[str] = []
        repositories = max(2, tasks // (BRANCHES * TASKS_PER_BRANCH))
        self.tasks = repositories * BRANCHES * TASKS_PER_BRANCH
        self.run("manage.py", "migrate", "-v0")
        self.run("-m", "tests.chaos.world", "make", folder / "api.git", repositories, BRANCHES)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
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
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

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
        found = []
        for supervisor in self.supervisors:
            children = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")
            with contextlib.suppress(FileNotFoundError):
                for main in map(int, children.read_text().split()):
                    found += members_of(main)
        return sorted(set(found))

    def strike(self, chance: random.Random) -> None:
        """Kill somebody."""
        victims = {
            "cluster": self.family(),
            "drain": [one.pid for one in [self.drain] if one and one.poll() is None],
            "supervisor": [one.pid for one in self.supervisors if one.poll() is None],
        }
        kinds = [kind for kind, weight in WEIGHTS.items() for _ in range(weight) if victims[kind]]
        kind = chance.choice(kinds)
        pid = chance.choice(victims[kind])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.blows.append(f"{datetime.now(UTC):%H:%M:%S.%f} {kind} {pid}")

    def is_done(self) -> bool:
        report = self.report()
        ended = report["states"].get("completed", 0) + report["states"].get("dead", 0)
        return bool(ended == self.tasks)

    def report(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.run("-m", "tests.chaos.world", "report"))
        return told

    def end(self) -> None:
        for process in [*self.supervisors, *filter(None, [self.drain])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
        for process in [*self.supervisors, *filter(None, [self.drain])]:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.log.close()


@contextlib.contextmanager
def chaos(folder: Path, *, database_url: str, tasks: int) -> Iterator[Chaos]:
    made = Chaos(folder, database_url=database_url, tasks=tasks)
    try:
        yield made
    finally:
        made.end()


def wreak(world: Chaos, *, server: ThrowawayPostgres | None, seconds: float) -> dict[str, Any]:
    """Feed the queue while things are killed; then let what is left be worked off in peace."""
    chance = random.Random(SEED)
    waves = 20
    world.supervise()
    feeder = world.start("-m", "tests.chaos.world", "feed", waves, seconds / waves)
    began = time.monotonic()
    restarts = [seconds * 0.3, seconds * 0.7] if server is not None else []
    while (spent := time.monotonic() - began) < seconds or feeder.poll() is None:
        time.sleep(chance.uniform(0.5, 2.5))
        if spent < seconds:
            world.strike(chance)
        if server is not None and restarts and spent > restarts[0]:
            restarts.pop(0)
            server.restart_immediate(down_seconds=2)
            world.blows.append(f"{datetime.now(UTC):%H:%M:%S.%f} database is back")
        world.supervise()
        assert spent < seconds + 120, "the feeder never ended"
    deadline = time.monotonic() + 120 + world.tasks / 10
    while not world.is_done():
        assert time.monotonic() < deadline, (world.report(), world.folder / "log")
        time.sleep(2)
        world.supervise()
    return world.report()


def verdict(world: Chaos, report: dict[str, Any]) -> None:
    told = f"seed {SEED}; blows {world.blows}; {json.dumps(report, indent=1)}"
    print(told)
    assert report["problems"] == [], told
    assert report["states"].get("completed", 0) >= 0.98 * world.tasks, told
    assert report["outcomes"].get("lost", 0) > 0, f"nobody was hit at work: {told}"
    # A worker that is killed is the only trouble there may be.
    assert not [error for error in report["errors"] if not error.startswith(KNOWN)], told


def test_nothing_is_lost_or_done_twice_on_postgresql(tmp_path: Path) -> None:
    server = ThrowawayPostgres(durable=True)
    server.start()
    try:
        with chaos(tmp_path, database_url=server.url, tasks=TASKS) as world:
            report = wreak(world, server=server, seconds=max(30, min(120, TASKS / 40)))
            verdict(world, report)
    finally:
        server.stop()


def test_nothing_is_lost_or_done_twice_on_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'chaos.sqlite3'}"
    tasks = min(600, TASKS)
    with chaos(tmp_path, database_url=url, tasks=tasks) as world:
        report = wreak(world, server=None, seconds=max(20, min(40, tasks / 15)))
        verdict(world, report)
