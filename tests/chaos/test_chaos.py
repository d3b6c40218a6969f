"""Kills workers, sentinels and databases at random, and then looks whether every promise was kept.

make chaos                                     5,000 tasks on PostgreSQL, 600 on SQLite
CHAOS_TASKS=300 python -m pytest -m chaos      fewer
CHAOS_SEED=7 …                                 the same blows again, as far as time allows

The ordinary suite runs `test_short_chaos`.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.throwaway_postgres import ThrowawayPostgres
from tests.chaos.clusters import Chaos, chaos

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]

TASKS = int(os.environ.get("CHAOS_TASKS", "5000"))
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
KNOWN = ("claim_lost: ",)


def wreak(world: Chaos, *, server: ThrowawayPostgres | None, seconds: float) -> dict[str, Any]:
    """Feed the queue while things are killed; then let what is left be worked off in peace."""
    chance = random.Random(SEED)
    world.supervise()
    feeder = world.feed(waves=20, seconds=seconds)
    began = time.monotonic()
    restarts = [seconds * 0.3, seconds * 0.7] if server is not None else []
    while (spent := time.monotonic() - began) < seconds or feeder.poll() is None:
        time.sleep(chance.uniform(0.5, 2.5))
        if spent < seconds:
            world.strike(chance)
        if server is not None and restarts and spent > restarts[0]:
            restarts.pop(0)
            server.restart_immediate(down_seconds=2)
            world.note("database is back")
        world.supervise()
        assert spent < seconds + 300, "the feeder never ended"
    assert feeder.returncode == 0, f"not all work was queued: {world.folder / 'log'}"
    report = world.let_it_end(patience_seconds=180)
    world.stop_in_order()
    return report


def verdict(world: Chaos, report: dict[str, Any]) -> None:
    """Fail with all that is known about the run unless every promise was kept."""
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
