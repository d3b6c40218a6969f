"""Tasks per second: the executor, a bare claim loop, one transaction each, and django-q2.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.executor

The task is a head-drift check that finds nothing: claim, read the facts, evaluate, keep facts and
decision, attempt, audit entry, commit. All sides use one durable database and take turns; a figure
is the median of the ratios of neighbours. The bare loop only moves rows from queued to running to
completed. django-q2 gets one message for each task, whose function does nothing at all: ours does
the whole check, with two worker processes on either side.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

PAIRS = 7
IN_PROCESS = 2000
SINGLE = 200
BY_CLUSTER = 3000
MESSAGES = {"tuned": 1500, "defaults": 300}
TARGETS = {
    "executor_vs_bare_claims": 0.18,
    "executor_vs_one_transaction_each": 6.0,
    "cluster_vs_message_per_task_tuned": 1.7,
    "cluster_vs_message_per_task_defaults": 14.0,
}
STATEMENTS_PER_BATCH = 22


def main() -> int:
    """Measure, print one JSON line for each figure, and return 0 when all targets were met."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "reconciler_site.settings.test"
    import django

    django.setup()
    from django.db import connection

    from tests.benchmarks.audit_append import refuse_a_careless_server

    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        refuse_a_careless_server()
        shop = Shop()
        results = [*measure_in_process(shop), *measure_clusters(shop)]
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    for result in results:
        print(json.dumps(result), flush=True)
    return 0 if all(result["met"] for result in results) else 1


class Shop:
    """Branches in sync, and checks of them to queue as often as wanted."""

    def __init__(self) -> None:
        from django.utils import timezone

        from tests.integration.queue.world import Queue

        self.queue = Queue()
        self.queue.clock.now = timezone.now()
        self.repositories = [
            self.queue.repository(f"tenant-{n % 20:02}/repo-{n:02}", [f"b{m}" for m in range(100)])
            for n in range(30)
        ]
        self._round = 0

    def fill(self, count: int) -> None:
        """Queue so many checks, of as many branches, the heads of which were read just now."""
        from django.utils import timezone

        from governance.models import Repository

        self.queue.clock.now = timezone.now()
        Repository.objects.update(observed_at=self.queue.clock.now)
        self._round += 1
        for number in range(count // 100):
            self.queue.drifts(
                self.repositories[number],
                *(f"b{m}" for m in range(100)),
                about=f"round {self._round}",
            )

    def rate_of_ours(self, count: int) -> float:
        """Queue checks with two wake-ups and return how fast they are done."""
        from django.db import transaction
        from django.utils import timezone

        from reconciliation.models import ReconciliationTask
        from reconciliation.services.wake import DRAIN, send

        with transaction.atomic():
            self.fill(count)
            for _ in range(2):
                send(DRAIN, due=timezone.now())
        started = time.perf_counter()
        waiting = ReconciliationTask.objects.filter(state__in=("queued", "running"))
        _wait_until(lambda: not waiting.exists())
        return count / (time.perf_counter() - started)

    def rate_of_messages(self, variant: str, count: int) -> float:
        """Queue messages and return how fast they are taken, worked and acknowledged."""
        from django_q.models import OrmQ

        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.plain_queue", str(count)],
            env=_environment("tests.benchmarks.plain_queue", variant),
            check=True,
        )
        started = time.perf_counter()
        before: int = OrmQ.objects.filter(key=f"bench-{variant}").count()
        _wait_until(lambda: not OrmQ.objects.filter(key=f"bench-{variant}").exists())
        return before / (time.perf_counter() - started)


def measure_in_process(shop: Shop) -> list[dict[str, Any]]:
    """Return what one process does, against the two references in the same process."""
    rates: dict[str, list[float]] = {"ours": [], "bare": [], "single": []}
    for _ in range(PAIRS + 1):
        rates["ours"].append(_rate(shop, IN_PROCESS, lambda: shop.queue.drain().completed))
        rates["bare"].append(_rate(shop, IN_PROCESS, bare_claims))
        rates["single"].append(_rate(shop, SINGLE, one_transaction_each))
    for series in rates.values():
        del series[0]  # the first round warms up
    raw = {"in_process_per_second": {side: _shown(series) for side, series in rates.items()}}
    return [
        _result("executor_vs_bare_claims", rates["ours"], rates["bare"], raw),
        _result("executor_vs_one_transaction_each", rates["ours"], rates["single"], raw),
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


def measure_clusters(shop: Shop) -> list[dict[str, Any]]:
    """Return what two worker processes do: woken by few messages, or sent one for each task."""
    clusters = {
        "ours": _start("reconciler_site.settings.test", ""),
        "tuned": _start("tests.benchmarks.plain_queue", "tuned"),
        "defaults": _start("tests.benchmarks.plain_queue", "defaults"),
    }
    rates: dict[str, list[float]] = {side: [] for side in clusters}
    try:
        for _ in range(4):
            rates["ours"].append(shop.rate_of_ours(BY_CLUSTER))
            for variant, count in MESSAGES.items():
                rates[variant].append(shop.rate_of_messages(variant, count))
    finally:
        for process in clusters.values():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for series in rates.values():
        del series[0]
    raw = {"two_workers_per_second": {side: _shown(series) for side, series in rates.items()}}
    return [
        _result(f"cluster_vs_message_per_task_{variant}", rates["ours"], rates[variant], raw)
        for variant in MESSAGES
    ]


def _start(settings: str, variant: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "qcluster"],
        env=_environment(settings, variant),
        start_new_session=True,
    )


def _environment(settings: str, variant: str) -> dict[str, str]:
    from tests.integration.queue.programs import database_url

    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings,
        "DATABASE_URL": database_url(),
        "BENCH_QUEUE": variant,
    }


def _wait_until(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not is_done():
        if time.monotonic() > deadline:
            sys.exit("executor: the work was not done within five minutes")
        time.sleep(0.02)


def _shown(series: list[float]) -> dict[str, Any]:
    return {"median": round(statistics.median(series)), "all": [round(rate) for rate in series]}


def _result(
    name: str, ours: list[float], theirs: list[float], raw: dict[str, Any]
) -> dict[str, Any]:
    from django.db import connection

    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "name": name,
        "ratio": round(ratio, 2),
        "target": TARGETS[name],
        "met": ratio >= TARGETS[name],
        "raw": {"database": connection.vendor, "pairs": [round(r, 2) for r in ratios], **raw},
    }


if __name__ == "__main__":
    sys.exit(main())
