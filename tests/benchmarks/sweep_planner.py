"""What planning costs: a minute in which nothing is due, and 100,000 repositories.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.sweep_planner

The scheduler run is measured over 2,000 repositories with 200,000 idle branches that were all
checked today: with nothing due, and with the repositories due whose turn comes in one minute. Then
over 100,000 repositories: a run in which a minute's share is due, one after downtime in which all
are due, and the forecast that the planner's page and the status show. Seconds of the database.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ROUNDS = 5
TENANTS = 20


def main() -> int:
    """Measure, print one JSON line for each figure, return 0 when all targets were met."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    import django

    django.setup()
    from django.db import connection

    from tests.benchmarks.audit_append import refuse_a_careless_server

    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        refuse_a_careless_server()
        results = measure()
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    for result in results:
        print(json.dumps(result), flush=True)
    return 0 if all(result["met"] for result in results) else 1


def measure() -> list[dict[str, Any]]:
    """Return the figures."""
    from tests.factories.many import govern_many

    for number in range(TENANTS):
        govern_many(2_000 // TENANTS, tenant=f"small{number:02}", branches=100, now=NOW)
    _check_every_branch()
    figures = [
        _figure("scheduler_nothing_due_seconds", _tick, 0.3, due=0),
        _figure("scheduler_share_due_seconds", _tick, 1.0, due=34),
    ]
    for number in range(TENANTS):
        govern_many(98_000 // TENANTS, tenant=f"large{number:02}", now=NOW)
    return [
        *figures,
        _figure("planner_run_100k_seconds", _plan, 1.0, due=1_667),
        _figure("planner_run_100k_all_due_seconds", _plan, 1.0, due=100_000),
        _figure("planner_forecast_100k_seconds", _forecast, 1.0, due=1_667),
    ]


def _check_every_branch() -> None:
    """Store a stale check of today for every branch."""
    from django.db import connection

    from reconciliation.models import ReconciliationTask
    from tests.factories.many import copies
    from tests.factories.reconciliation import TaskFactory

    one = TaskFactory.create(
        task_kind="stale_branch", state="completed", created_at=NOW, completed_at=NOW
    )
    copies(
        one,
        1,
        source="governance_branch",
        repository_id="s.repository_id",
        branch="s.name",
        idempotency_key="'branch ' || s.id",
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {ReconciliationTask._meta.db_table}")


def _tick() -> None:
    from reconciliation.services.sweeps import Budget
    from reconciliation.services.tick import tick

    tick(
        budget=Budget(host_calls_per_minute=1_000_000),
        body_retention=timedelta(days=30),
        correlation_id="benchmark",
        now=NOW,
    )


def _plan() -> None:
    from reconciliation.services.sweeps import Budget, plan_sweep

    planned = plan_sweep(
        slot=NOW,
        scope="",
        everything=False,
        trigger="schedule",
        budget=Budget(host_calls_per_minute=1_000_000),
        correlation_id="benchmark",
        now=NOW,
    )
    assert planned.row is not None
    assert planned.row.planned >= 1_667


def _forecast() -> None:
    from reconciliation.selectors.sweep_planner import planner
    from reconciliation.services.planner_terms import planner_terms

    caller = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))
    assert planner(caller, terms=planner_terms(), now=NOW).lap.repositories == 100_000


def _set_due(number: int) -> None:
    """Have so many repositories due, for both their observation and their branches."""
    from reconciliation.models import RepositoryWatch

    later, due = NOW + timedelta(minutes=59), NOW - timedelta(minutes=1)
    RepositoryWatch.objects.update(next_due_at=later, branches_due_at=later)
    ids = RepositoryWatch.objects.order_by("repository_id").values("pk")[:number]
    RepositoryWatch.objects.filter(pk__in=ids).update(next_due_at=due, branches_due_at=due)


def _figure(name: str, run: Callable[[], None], target: float, *, due: int) -> dict[str, Any]:
    """Run so often, undo what was stored each time, and return the median."""
    from django.db import connection, transaction

    in_database, whole = [], []
    for _ in range(ROUNDS):
        with transaction.atomic():
            _set_due(due)
            spent = _Stopwatch()
            began = time.perf_counter()
            with connection.execute_wrapper(spent):
                run()
            whole.append(time.perf_counter() - began)
            in_database.append(spent.seconds)
            transaction.set_rollback(True)
    seconds = statistics.median(in_database)
    return {
        "name": name,
        "ratio": round(seconds, 3),
        "target": target,
        "met": seconds <= target,
        "raw": {
            "database": connection.vendor,
            "direction": "at most",
            "rounds": ROUNDS,
            "whole_call_seconds": round(statistics.median(whole), 3),
        },
    }


class _Stopwatch:
    """Adds up the time of statements."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.seconds += time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
