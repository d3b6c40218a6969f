"""Decisions simulated under a draft per second of one core, against the 2,000 that are promised.

    python -m scripts.throwaway_postgres run -- python -m tests.benchmarks.policy_simulation
    python -m tests.benchmarks.policy_simulation --decisions 100000

The draft moves patterns, thresholds and weights, so that every decision is really made again. The
figure counts CPU time of this process, since the machine is shared; what the wall clock said is in
`raw`, with the memory that ten times the history cost. Uses DATABASE_URL, in a database of its own
that is dropped afterwards; without it SQLite in a scratch folder.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from datetime import timedelta
from typing import Any

PROMISED_PER_SECOND = 2000
ROUNDS = 3
REPOSITORIES = 50
DRAFT = """\
branches: {protected: ["release/*"], governed: [topic]}
head_drift: {settle_seconds: 0}
stale_branch: {idle_days: 30}
rules: {drift.unknown: {weight: 90}}
"""


def main() -> int:
    """Measure, print one JSON line, and return 0 when the promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=20_000)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    import django

    django.setup()
    from django.db import connection

    name_before = connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["NAME"] = f"benchmark_simulation_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        result = measure(options.decisions)
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    print(json.dumps(result))
    return 0 if result["met"] else 1


def measure(decisions: int) -> dict[str, Any]:
    """Return the figures over a history of so many decisions."""
    from django.db import connection

    store_history(decisions)
    simulate_newest(decisions // 10)  # warm up: types, policies, first pages
    peak_before = peak_kilobytes()
    rounds = [simulate_newest(decisions) for _ in range(ROUNDS)]
    by_cpu = [decisions / cpu for cpu, _ in rounds]
    by_wall = [decisions / wall for _, wall in rounds]
    ratio = statistics.median(by_cpu) / PROMISED_PER_SECOND
    return {
        "name": "policy_simulation",
        "ratio": round(ratio, 2),
        "target": 1.0,
        "met": ratio >= 1.0,
        "raw": {
            "database": connection.vendor,
            "decisions": decisions,
            "promised_per_second": PROMISED_PER_SECOND,
            "per_cpu_second": [round(rate) for rate in by_cpu],
            "per_wall_second": [round(rate) for rate in by_wall],
            "peak_memory_growth_kilobytes": peak_kilobytes() - peak_before,
        },
    }


def store_history(decisions: int) -> None:
    """Store so many decisions, a minute apart."""
    from tests.factories.governance import RepositoryFactory, TenantFactory
    from tests.integration.policy.history import decide_and_store, occasions

    acme = TenantFactory.create(slug="acme")
    repositories = [RepositoryFactory.create(tenant=acme) for _ in range(REPOSITORIES)]
    found = occasions(repositories, number=decisions, seed=1)
    for start in range(0, len(found), 10_000):
        decide_and_store(found[start : start + 10_000])


def simulate_newest(decisions: int) -> tuple[float, float]:
    """Return how many seconds of CPU and of the wall the newest so many decisions took."""
    from reconciliation.services.simulation import simulate
    from reconciliation.services.simulation_judging import Against
    from tests.factories.governance import NOON
    from tests.integration.policy.acts import draft

    plan = draft(DRAFT)
    cpu, wall = time.process_time(), time.perf_counter()
    found = simulate(
        plan,
        since=NOON - timedelta(minutes=decisions - 1),
        until=NOON,
        against=Against.STORED,
        most_evaluations=None,
    )
    spent = time.process_time() - cpu, time.perf_counter() - wall
    if found.differences.evaluations != decisions or not found.differences.differing:
        sys.exit(f"policy_simulation: only {found.differences.evaluations} decisions were made")
    return spent


def peak_kilobytes() -> int:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
