"""Tasks per second: the executor against a bare claim loop, one transaction each, other queues.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.executor

Three things are measured, all on one durable database, in turns; a figure is the median of the
ratios of neighbours.

In one process, head-drift checks that find nothing: against a loop that only moves rows from queued
to running to completed, and against one transaction for each task. With two worker processes,
tasks that do nothing: ours keep everything (attempt, facts and decision, chained audit entry), the
rivals nothing. And what one real head-drift check costs, step by step.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.benchmarks.paired import paired_figure, shown

PAIRS = 7
IN_PROCESS = 2000
SINGLE = 200
TARGETS = {"executor_vs_bare_claims": 0.18, "executor_vs_one_transaction_each": 6.0}
STATEMENTS_PER_BATCH = 26  # whatever the batch's size; with BEGIN and COMMIT of two transactions


def main() -> int:
    """Measure, print one JSON line for each figure, and return 0 when all targets were met."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.noop_site"
    import django

    django.setup()
    from django.db import connection

    from scripts.throwaway_postgres import exit_on_sigterm
    from tests.benchmarks.audit_append import refuse_a_careless_server
    from tests.benchmarks.cluster_slices import measure_clusters
    from tests.benchmarks.drift_steps import measure_steps

    parts: dict[str, Callable[[Shop], list[dict[str, Any]]]] = {
        "in_process": measure_in_process,
        "clusters": measure_clusters,
        "steps": measure_steps,
    }
    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    met = True
    try:
        refuse_a_careless_server()
        shop = Shop()
        with exit_on_sigterm():  # else the workers would outlive us
            for part in sys.argv[1:] or list(parts):
                for figure in parts[part](shop):
                    print(json.dumps(figure), flush=True)
                    met = met and figure["met"]
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    return 0 if met else 1


class Shop:
    """Branches in sync, and checks of them to queue as often as wanted."""

    def __init__(self) -> None:
        from django.utils import timezone

        from tests.integration.queue.world import Queue

        self.queue = Queue()
        self.queue.clock.now = timezone.now()
        self.repositories = [
            self.queue.repository(f"tenant-{n % 20:02}/repo-{n:02}", [f"b{m}" for m in range(100)])
            for n in range(100)
        ]
        self._round = 0

    def fill(self, count: int, *, kind: str = "head_drift") -> None:
        """Queue so many tasks, of as many branches, the heads of which were read just now."""
        from django.utils import timezone

        from governance.models import Repository

        self.queue.clock.now = timezone.now()
        Repository.objects.update(observed_at=self.queue.clock.now)
        self._round += 1
        for number in range(count // 100):
            repository = self.repositories[number]
            self.queue.put(
                *(
                    self.queue.planned(repository, f"b{m}", kind, about=f"round {self._round}")
                    for m in range(100)
                )
            )


def measure_in_process(shop: Shop) -> list[dict[str, Any]]:
    """Return what one process does, against the two references in the same process."""
    from django.db import connection

    rates: dict[str, list[float]] = {"ours": [], "bare": [], "single": []}
    for _ in range(PAIRS + 1):
        rates["ours"].append(_rate(shop, IN_PROCESS, lambda: shop.queue.drain().completed))
        rates["bare"].append(_rate(shop, IN_PROCESS, bare_claims))
        rates["single"].append(_rate(shop, SINGLE, one_transaction_each))
    for series in rates.values():
        del series[0]  # the first round warms up
    raw = {
        "database": connection.vendor,
        "in_process_per_second": {side: shown(series) for side, series in rates.items()},
    }
    return [
        *(
            paired_figure(name, rates["ours"], rates[side], target=TARGETS[name], raw=raw)
            for name, side in (
                ("executor_vs_bare_claims", "bare"),
                ("executor_vs_one_transaction_each", "single"),
            )
        ),
        statements_result(shop),
    ]


def _rate(shop: Shop, count: int, work: Callable[[], int]) -> float:
    shop.fill(count)
    started = time.perf_counter()
    done = work()
    seconds = time.perf_counter() - started
    if done != count:
        sys.exit(f"executor: {done} of {count} tasks were done")
    return done / seconds


def bare_claims() -> int:
    """Claim batches of 100 by the ORM and mark them completed; return how many."""
    from datetime import timedelta

    from django.db import connection, transaction
    from django.utils import timezone

    from reconciliation.models import ReconciliationTask

    done = 0
    skip = connection.vendor == "postgresql"
    while True:
        now = timezone.now()
        with transaction.atomic():
            rows = list(
                ReconciliationTask.objects.select_for_update(skip_locked=skip)
                .filter(state="queued", run_after__lte=now)
                .order_by("priority", "tenant", "repo", "branch", "task_kind", "id")[:100]
            )
            claimed = ReconciliationTask.objects.filter(pk__in=[row.pk for row in rows])
            claimed.update(state="running", claim_expires_at=now + timedelta(minutes=1))
        if not rows:
            return done
        claimed.update(state="completed", claim_expires_at=None, completed_at=now)
        done += len(rows)


def one_transaction_each() -> int:
    """Take one task at a time by the ORM and finish it with an audit entry; return how many."""
    from datetime import timedelta

    from django.db import connection, transaction
    from django.utils import timezone

    from audit.domain.entries import RECONCILER, Entry
    from audit.services import append_one
    from reconciliation.models import ReconciliationTask

    done = 0
    skip = connection.vendor == "postgresql"
    while True:
        now = timezone.now()
        with transaction.atomic():
            task = (
                ReconciliationTask.objects.select_for_update(skip_locked=skip)
                .filter(state="queued", run_after__lte=now)
                .order_by("priority", "tenant", "repo", "branch", "task_kind", "id")
                .first()
            )
            if task is None:
                return done
            task.state = "running"
            task.claim_expires_at = now + timedelta(minutes=1)
            task.save()
        with transaction.atomic():
            task.state = "completed"
            task.claim_expires_at = None
            task.completed_at = now
            task.save()
            append_one(
                Entry(
                    tenant=task.tenant,
                    at=now,
                    actor=RECONCILER,
                    action="decision.head_drift",
                    object_kind="task",
                    object_id=str(task.pk),
                    correlation_id=task.correlation_id,
                )
            )
        done += 1


def statements_result(shop: Shop) -> dict[str, Any]:
    """Return how many statements one batch of 100 checks takes, claim included."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from reconciliation.services.batches import work_batch

    shop.fill(100)
    with CaptureQueriesContext(connection) as seen:
        claimed = shop.queue.claim()
        work_batch(claimed, remote=shop.queue.remote, worker="bench", clock=shop.queue.clock)
    count = len(seen)
    return {
        "name": "executor_statements_per_batch",
        "ratio": count,
        "target": STATEMENTS_PER_BATCH,
        "met": count <= STATEMENTS_PER_BATCH and len(claimed) == 100,
        "raw": {"tasks": len(claimed), "statements": [query["sql"][:60] for query in seen]},
    }


if __name__ == "__main__":
    sys.exit(main())
