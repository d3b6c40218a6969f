"""Two worker processes of ours against two of other queues: tasks that do nothing, in turns.

Ours are woken by two messages and claim batches; everything is kept of each task. The rivals get
one message for each task and keep nothing. All run on the same machine, the idle ones beside the
one that works, and on the same durable PostgreSQL. What any of them has accepted or finished
survives that the power goes; for Celery that takes a Redis that syncs before it answers. The usual
one, which may lose a second, is shown beside it and is no measure.
"""

import os
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.benchmarks.noop_kind import NOOP
from tests.benchmarks.paired import paired_figure, shown
from tests.benchmarks.quiet import wait_for_quiet
from tests.benchmarks.rivals import (
    Celery,
    DjangoQ,
    LeftOut,
    Processes,
    Procrastinate,
    Rival,
    wait_until,
)

if TYPE_CHECKING:
    from tests.benchmarks.executor import Shop

ROUNDS = 6
QUIET_SECONDS = 5
COUNTS = {
    "ours": 10_000,
    "ours_head_drift": 5000,
    "django_q2": 2000,
    "procrastinate": 2000,
    "celery": 2000,
    "celery_syncing_each_second": 3000,
    "django_q2_defaults": 200,
}
TARGETS = {
    "noop_vs_best_rival": 5.0,
    "head_drift_vs_best_rival": 2.5,
    "noop_vs_django_q2_defaults": 20.0,
    "noop_vs_celery_syncing_each_second": 2.0,
}


# The state in the text, not as a parameter: else the partial index of that state does not fit.
_ANY_IN_STATE = "SELECT 1 FROM reconciliation_reconciliationtask WHERE state = '{state}' LIMIT 1"


class Ours:
    """django-q2's cluster as this product uses it: woken by messages, fed from our own rows."""

    def __init__(self, shop: "Shop", *, database_url: str) -> None:
        self._shop = shop
        self.kind = NOOP
        self._environment = {
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.noop_site",
            "DATABASE_URL": database_url,
        }
        self._processes = Processes()

    def start(self) -> None:
        """Start a cluster of two workers."""
        self._processes.start([sys.executable, "manage.py", "qcluster"], self._environment)

    def rate_of(self, count: int) -> float:
        """Queue tasks of `kind` and two wake-ups in one transaction; time until all are done."""
        from django.db import transaction
        from django.utils import timezone

        from reconciliation.services.wake import DRAIN, send

        with transaction.atomic():
            self._shop.fill(count, kind=self.kind)
            for _ in range(2):
                send(DRAIN, due=timezone.now())
        started = time.perf_counter()
        wait_until(all_is_done, what="our tasks are done")
        return count / (time.perf_counter() - started)

    def stop(self) -> None:
        """Kill the cluster."""
        self._processes.stop()


def all_is_done() -> bool:
    """Return whether no task waits or runs; by index, so that looking costs the workers nothing."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        for state in ("queued", "running"):
            cursor.execute(_ANY_IN_STATE.format(state=state))
            if cursor.fetchone():
                return False
    return True


class OurDriftChecks:
    """The same cluster with real work: head-drift checks that find their branches in sync."""

    def __init__(self, ours: Ours) -> None:
        self._ours = ours

    def start(self) -> None:
        """Start nothing: the cluster runs already."""

    def rate_of(self, count: int) -> float:
        """Queue checks; time until all are done."""
        self._ours.kind = "head_drift"
        try:
            return self._ours.rate_of(count)
        finally:
            self._ours.kind = NOOP

    def stop(self) -> None:
        """Stop nothing either."""


def measure_clusters(shop: "Shop") -> list[dict[str, Any]]:
    """Return how many times faster ours is than each rival, and than the best of them."""
    from django.db import connection

    from tests.integration.queue.programs import database_url

    if connection.vendor != "postgresql":
        print("executor: no rivals on SQLite: most of them cannot use it")
        return []
    url = database_url()
    ours = Ours(shop, database_url=url)
    sides: dict[str, Rival] = {
        "ours": ours,
        "ours_head_drift": OurDriftChecks(ours),
        "django_q2": DjangoQ("tuned", database_url=url),
        "procrastinate": Procrastinate(database_url=url),
        "celery": Celery(appendfsync="always"),
        "celery_syncing_each_second": Celery(appendfsync="everysec"),
        "django_q2_defaults": DjangoQ("defaults", database_url=url),
    }
    left_out: dict[str, str] = {}
    rates: dict[str, list[float]] = {}
    strangers: list[float] = []
    try:
        for name, side in sides.items():
            try:
                side.start()
                rates[name] = []
            except LeftOut as reason:
                left_out[name] = str(reason)
                print(f"executor: {name} is left out: {reason}", flush=True)
        for _ in range(ROUNDS + 1):
            for name, series in rates.items():
                strangers.append(wait_for_quiet(at_most_seconds=QUIET_SECONDS))
                series.append(sides[name].rate_of(COUNTS[name]))
    finally:
        for side in sides.values():
            side.stop()
    for series in rates.values():
        del series[0]  # the first round warms up
    state = {
        "kept": prove_all_was_kept(),
        "left_out": left_out,
        "strangers_share_of_cpu": round(statistics.median(strangers), 2),
        "load": round(os.getloadavg()[0], 1),
    }
    return figures(rates, state)


def prove_all_was_kept() -> dict[str, int]:
    """Return how many tasks, attempts, evaluations and entries there are of tasks that do nothing.

    Ends the benchmark when they differ: then what was measured was not the whole work.
    """
    from audit.domain.caller import NOBODY, Caller
    from audit.selectors import visible_entries
    from reconciliation.models import Evaluation, ReconciliationTask, TaskAttempt

    everyone = Caller(NOBODY.actor, None, frozenset({"admin"}))
    kept = {
        "tasks": ReconciliationTask.objects.filter(task_kind=NOOP, state="completed").count(),
        "attempts": TaskAttempt.objects.filter(task__task_kind=NOOP).count(),
        "evaluations": Evaluation.objects.filter(task_kind=NOOP).count(),
        "entries": visible_entries(everyone).filter(action=f"decision.{NOOP}").count(),
    }
    if len(set(kept.values())) != 1:
        sys.exit(f"executor: not everything was kept of each task: {kept}")
    return kept


def figures(rates: dict[str, list[float]], state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a figure for each rival that was there, and one for the best of them."""
    raw: dict[str, Any] = {
        "two_workers_per_second": {side: shown(series) for side, series in rates.items()},
        **state,
    }
    medians = {name: shown(series)["median"] for name, series in rates.items()}
    durable = [name for name in ("django_q2", "procrastinate", "celery") if name in rates]
    best = max(durable, key=lambda name: int(medians[name]))
    compared = [
        ("noop_vs_best_rival", "ours", best, {"best": best, **raw}),
        ("head_drift_vs_best_rival", "ours_head_drift", best, {"best": best}),
        *((f"noop_vs_{name}", "ours", name, {}) for name in rates if not name.startswith("ours")),
    ]
    return [
        paired_figure(
            figure,
            rates[side],
            rates[rival],
            target=TARGETS.get(figure, TARGETS["noop_vs_best_rival"]),
            raw=told,
        )
        for figure, side, rival, told in compared
    ]
