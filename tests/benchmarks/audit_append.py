"""Entries per second appended in batches of 100, against one entry per transaction.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.audit_append

Both sides write to the same database in alternating slices; the figure is the median of the
ratios of neighbours, because absolute rates move by a third within the hour. Uses DATABASE_URL,
in a database of its own that is dropped afterwards; without it SQLite in a scratch folder.
Refuses a PostgreSQL that does not wait for its disk: there a commit costs nothing to save.
"""

import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import Any

TARGET = 6.0
BATCH = 100
PAIRS = 9
SLICE_SECONDS = 0.6
TENANT = "acme"


def main() -> int:
    """Measure, print one JSON line, and return 0 when the target was met."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    import django

    django.setup()
    from django.db import connection

    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        refuse_a_careless_server()
        result = measure()
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    print(json.dumps(result))
    return 0 if result["met"] else 1


def refuse_a_careless_server() -> None:
    """Exit unless a commit is on disk when PostgreSQL says so."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor.execute(f"SHOW {setting}")
            if cursor.fetchone() != ("on",):
                sys.exit(f"audit_append: {setting} is off; use throwaway_postgres --durable")


def measure() -> dict[str, Any]:
    """Return the figures of alternating slices, and prove that the chain they made holds."""
    from django.db import connection

    from audit.services import verify

    rate_of(size=1), rate_of(size=BATCH)  # warm up: connection, statements, first pages
    single: list[float] = []
    batched: list[float] = []
    for _ in range(PAIRS):
        single.append(rate_of(size=1))
        batched.append(rate_of(size=BATCH))
    broken = verify(TENANT)
    if broken is not None:
        sys.exit(f"audit_append: the chain broke at {broken.seq}: {broken.problem}")
    ratio = statistics.median(b / s for b, s in zip(batched, single, strict=True))
    return {
        "name": "audit_append",
        "ratio": round(ratio, 2),
        "target": TARGET,
        "met": ratio >= TARGET,
        "raw": {
            "database": connection.vendor,
            "batch": BATCH,
            "single_per_second": [round(rate) for rate in single],
            "batched_per_second": [round(rate) for rate in batched],
            "median_single_per_second": round(statistics.median(single)),
            "median_batched_per_second": round(statistics.median(batched)),
        },
    }


def rate_of(*, size: int) -> float:
    """Return entries per second of one slice of transactions of `size` entries."""
    from django.db import transaction

    from audit.domain.entries import RECONCILER, Entry
    from audit.services import append

    batch = [
        Entry(
            tenant=TENANT,
            at=datetime(2026, 3, 2, 12, 0, tzinfo=UTC),
            actor=RECONCILER,
            action="task.complete",
            object_kind="task",
            object_id=str(number),
            correlation_id=f"benchmark-{number:06d}",
            workspace="main",
            repo=f"repo-{number % 50}",
            branch=f"feature/{number}",
            task_kind="head_drift",
            policy_version="0" * 64,
            data={"decision": "in_sync", "governed": "a" * 40, "observed": "a" * 40},
        )
        for number in range(size)
    ]
    appended = 0
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < SLICE_SECONDS:
        with transaction.atomic():
            append(batch)
        appended += size
    return appended / spent


if __name__ == "__main__":
    sys.exit(main())
