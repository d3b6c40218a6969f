"""Decisions replayed per second of one core, against the 2,000 that are promised.

    python -m scripts.throwaway_postgres run -- python -m tests.benchmarks.replay
    python -m tests.benchmarks.replay --decisions 20000

The history is the decisions of one reconciled world, stored over and over. The figure counts CPU
time of this process, since the machine is shared; what the wall clock said is in `raw`, with the
memory that ten times the history cost. Uses DATABASE_URL, in a database of its own that is dropped
afterwards; without it SQLite in a scratch folder.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

PROMISED_PER_SECOND = 2000
ROUNDS = 5
FIRST = datetime(2030, 1, 1, tzinfo=UTC)


def main() -> int:
    """Measure, print one JSON line, and return 0 when the promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=10_000)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    import django

    django.setup()
    from django.db import connection

    name_before = connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        connection.settings_dict["TEST"]["NAME"] = f"benchmark_replay_{os.getpid()}"
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

    facts_bytes = store_history(decisions)
    tenth = FIRST + timedelta(seconds=decisions - decisions // 10)
    replay_since(tenth)  # warm up: types, policies, first pages
    peak_before = peak_kilobytes()
    rounds = [replay_since(FIRST) for _ in range(ROUNDS)]
    by_cpu = [count / cpu for count, cpu, _ in rounds]
    by_wall = [count / wall for count, _, wall in rounds]
    ratio = statistics.median(by_cpu) / PROMISED_PER_SECOND
    return {
        "name": "replay",
        "ratio": round(ratio, 2),
        "target": 1.0,
        "met": ratio >= 1.0,
        "raw": {
            "database": connection.vendor,
            "decisions": decisions,
            "mean_facts_bytes": facts_bytes,
            "promised_per_second": PROMISED_PER_SECOND,
            "per_cpu_second": [round(rate) for rate in by_cpu],
            "per_wall_second": [round(rate) for rate in by_wall],
            "peak_memory_growth_kilobytes": peak_kilobytes() - peak_before,
        },
    }


def replay_since(since: datetime) -> tuple[int, float, float]:
    """Return how many decisions were replayed, in how many seconds of CPU and of the wall."""
    from reconciliation.services.replay import Checked, Scope, replay

    checked = Checked()
    cpu, wall = time.process_time(), time.perf_counter()
    differences = list(replay(Scope(since=since), checked=checked))
    spent = time.process_time() - cpu, time.perf_counter() - wall
    if differences:
        sys.exit(f"replay: {differences[0]}")
    return checked.decisions, *spent


def store_history(decisions: int) -> int:
    """Store so many decisions, a second apart; return the mean size of their facts in bytes."""
    from reconciliation.evaluators import EVALUATORS
    from reconciliation.models import Evaluation
    from tests.determinism.state import build_state, reconcile

    reconcile(build_state(Random(0)), workers=1, batch=50)
    # Only what does not depend on the instant may be moved in time.
    patterns = [row for row in Evaluation.objects.order_by("id") if _is_timeless(row, EVALUATORS)]
    rows = []
    for number in range(decisions):
        pattern = patterns[number % len(patterns)]
        rows.append(
            Evaluation(
                task_id=pattern.task_id,
                task_kind=pattern.task_kind,
                evaluated_at=FIRST + timedelta(seconds=number),
                facts=pattern.facts,
                policy_id=pattern.policy_id,
                decision=pattern.decision,
                decision_digest=pattern.decision_digest,
            )
        )
        if len(rows) == 1000:
            Evaluation.objects.bulk_create(rows)
            rows.clear()
    Evaluation.objects.bulk_create(rows)
    return round(statistics.mean(len(row.facts.encode()) for row in patterns))


def _is_timeless(row: Any, evaluators: Any) -> bool:
    from governance.domain.policy import policy_from_document
    from reconciliation.domain.codec import decode, encode

    facts_type, evaluate = evaluators[row.task_kind]
    facts = decode(facts_type, json.loads(row.facts))
    policy = policy_from_document(json.loads(row.policy.document))
    later = [encode(evaluate(facts, policy, FIRST + timedelta(days=days))) for days in (0, 9)]
    return all(one == json.loads(row.decision) for one in later)


def peak_kilobytes() -> int:
    """Return the most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.exit(main())
