"""The short form of chaos for the ordinary suite: a few blows, each at somebody in particular.

On PostgreSQL with a server of its own, whose plug is pulled too; on SQLite with a file. How long a
machine takes decides nothing: as long as anything goes forward it is waited for. The long form, at
random and with 5,000 tasks, is `test_chaos`.
"""

import json
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from scripts.throwaway_postgres import ThrowawayPostgres
from tests.chaos.clusters import Chaos, chaos
from tests.chaos.remains import marked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

TASKS = 150
PATIENCE_SECONDS = 240
_UNFINISHED = (
    "SELECT claimed_by FROM reconciliation_reconciliationtask WHERE state IN ('queued', 'running')"
)
Look = Callable[[], list[str]]


def test_whoever_is_killed_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    with (
        database(tmp_path) as (url, server, look),
        chaos(tmp_path, database_url=url, tasks=TASKS) as world,
    ):
        world.supervise()
        kill_somebody_at_work(world, look, half=0)
        kill_a_sentinel(world)
        world.supervise()
        if server is not None:
            server.restart_immediate(down_seconds=1)
            world.note("database is back")
        kill_somebody_at_work(world, look, half=1)
        world.supervise()  # one that started while the database was down has given up by itself
        world.kill("supervisor", next(one.pid for one in world.supervisors if one.poll() is None))
        report = world.let_it_end(patience_seconds=PATIENCE_SECONDS)

    told = f"blows {world.blows}; {json.dumps(report, indent=1)}"
    assert report["problems"] == [], told
    assert len(world.blows) >= (2 if server is None else 3), told
    assert report["states"].get("completed", 0) >= 0.9 * world.tasks, told


@contextmanager
def database(folder: Path) -> Iterator[tuple[str, ThrowawayPostgres | None, Look]]:
    """Give a fresh database of the kind that the suite runs on, and a look at who works there."""
    if connection.vendor != "postgresql":
        path = folder / "chaos.sqlite3"
        yield f"sqlite:///{path}", None, lambda: _unfinished_on_sqlite(path)
        return
    server = ThrowawayPostgres(durable=True)
    server.start()
    try:
        yield server.url, server, lambda: _unfinished_on_postgresql(server.url)
    finally:
        server.stop()


def _unfinished_on_sqlite(path: Path) -> list[str]:
    with closing(sqlite3.connect(path, timeout=20)) as looking:
        return [row[0] for row in looking.execute(_UNFINISHED)]


def _unfinished_on_postgresql(url: str) -> list[str]:
    try:
        with psycopg.connect(url) as looking:
            return [row[0] for row in looking.execute(_UNFINISHED)]
    except psycopg.OperationalError:  # it is just coming back: something is left, nobody knows what
        return [""]


def kill_somebody_at_work(world: Chaos, look: Look, *, half: int) -> None:
    """Queue half of the work and kill a process that holds a claim of it.

    When all was worked before anybody could be caught, nobody is: on a fast machine, rarely.
    """
    feeder = world.start("-m", "tests.chaos.world", "feed", 2, 0, half)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        is_queued = feeder.poll() is not None
        unfinished = look()
        alive = set(marked(world.mark))  # a claim may be that of a process killed before
        for worker in filter(None, unfinished):
            pid = int(worker.split(":")[1])
            if pid in alive:
                world.kill(f"{worker} at work", pid)
                assert feeder.wait(PATIENCE_SECONDS) == 0, f"not queued: {world.folder / 'log'}"
                return
        if is_queued and not unfinished:
            return
        time.sleep(0.01)
    raise AssertionError(f"nobody worked for {PATIENCE_SECONDS} s: {world.folder / 'log'}")


def kill_a_sentinel(world: Chaos) -> None:
    """Kill the process that a cluster cannot do without, as soon as there is one."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (sentinels := world.sentinels()):
        assert time.monotonic() < deadline, f"no cluster came up: {world.folder / 'log'}"
        time.sleep(0.05)
        world.supervise()
    world.kill("sentinel", sentinels[0])
