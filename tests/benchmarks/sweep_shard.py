"""A sweep over 1,000 repositories of 100 branches, of which 3.5 % changed; and again with none.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.sweep_shard

Measures the pass of claimed observations behind the hosts' answers: read what is known, diff,
worklist, keys, tasks, evaluations, audit, commit; divided by the least that could be done: fetching
the same rows with a raw cursor and comparing dictionaries. Heads are handed over ready, as
exchanges give them.
Also grows the shard tenfold with the same number of changes. SQL statements are counted.
"""

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

from reconciliation.remotes.calls import note_call
from reconciliation.remotes.memory import MemoryRemote

REPOSITORIES = 1000
BRANCHES = 100
CHANGED = 0.035
ROUNDS = 5
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


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
    from django.db import connection

    shard = Shard(REPOSITORIES, BRANCHES)
    changed, unchanged = [], []
    for number in range(ROUNDS + 1):
        moved = int(REPOSITORIES * BRANCHES * CHANGED)
        raw = shard.raw_diff_seconds()
        seconds, _ = shard.sweep(moved, slot=2 * number)
        changed.append(seconds / raw)
        raw = shard.raw_diff_seconds()
        seconds, _ = shard.sweep(0, slot=2 * number + 1)
        unchanged.append(seconds / raw)
    del changed[0], unchanged[0]
    counts = [shard.sweep(number, slot=900 + number, counted=True)[1] for number in (350, 0)]
    small = Shard(REPOSITORIES // 10, BRANCHES, tenant="small")
    small.sweep(350, slot=1000)
    small_seconds = statistics.median(small.sweep(350, slot=1001 + n)[0] for n in range(3))
    large_seconds = statistics.median(shard.sweep(350, slot=2001 + n)[0] for n in range(3))
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    vendor = connection.vendor
    figures = (
        ("sweep_changed_vs_raw_diff", statistics.median(changed), 5.0, "at most"),
        ("sweep_unchanged_vs_raw_diff", statistics.median(unchanged), 1.5, "at most"),
        ("sweep_10k_to_100k_branches", large_seconds / small_seconds, 12.0, "at most"),
        ("sweep_statements", float(max(counts)), 12.0, "at most"),
        ("sweep_memory_mb", memory_mb, 300.0, "at most"),
    )
    return [
        {
            "name": name,
            "ratio": round(value, 2),
            "target": target,
            "met": value <= target,
            "raw": {"database": vendor, "direction": direction, "rounds": ROUNDS},
        }
        for name, value, target, direction in figures
    ]


class Shard:
    """Governed repositories in the database and the heads that their hosts have."""

    def __init__(self, repositories: int, branches: int, *, tenant: str = "large") -> None:
        from governance.models import Branch, Repository, Tenant, Workspace
        from reconciliation.models import RepositoryWatch
        from reconciliation.remotes.base import RemoteHeads

        owner = Tenant.objects.create(slug=tenant, created_at=NOW)
        workspace = Workspace.objects.create(tenant=owner, slug="main", created_at=NOW)
        rows = Repository.objects.bulk_create(
            Repository(
                tenant=owner,
                workspace=workspace,
                slug=f"repo-{number:05d}",
                clone_url=f"https://git.example/{tenant}/{number}.git",
                default_branch="main",
                connected_at=NOW,
            )
            for number in range(repositories)
        )
        names = ["main", *(f"topic-{number:03d}" for number in range(1, branches))]
        self.heads = {
            row.pk: {name: f"{row.pk * 1000 + place:040x}" for place, name in enumerate(names)}
            for row in rows
        }
        Branch.objects.bulk_create(
            (
                Branch(
                    repository_id=pk,
                    name=name,
                    governed_head=head,
                    observed_head=head,
                    observed_at=NOW,
                    first_seen_at=NOW,
                    last_activity_at=NOW,
                )
                for pk, heads in self.heads.items()
                for name, head in heads.items()
            ),
            batch_size=5000,
        )
        RepositoryWatch.objects.bulk_create(
            RepositoryWatch(repository=row, next_due_at=NOW) for row in rows
        )
        self.tenant = tenant
        self._generation = 0
        self._of = RemoteHeads.of
        self._answers: dict[str, Any] = {}
        self._answer_all()

    def sweep(self, moved: int, *, slot: int, counted: bool = False) -> tuple[float, int]:
        """Move `moved` heads, sweep; return the pass's seconds and, if counted, SQL statements."""
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        from reconciliation.models import ReconciliationTask
        from reconciliation.services.batches import work_batch
        from reconciliation.services.claiming import claim
        from reconciliation.services.sweeps import Budget, plan_sweep

        self._move(moved)
        now = NOW + timedelta(minutes=slot + 1)
        plan_sweep(
            slot=now,
            scope=self.tenant,
            everything=True,
            trigger="manual",
            budget=Budget(repositories=len(self.heads), per_tenant=len(self.heads)),
            correlation_id=f"benchmark-{self.tenant}-{slot}",
            now=now,
        )
        tasks = claim(worker="bench", now=now, limit=len(self.heads), lasts=timedelta(minutes=5))
        observations = [task for task in tasks if task.task_kind == "observe_refs"]
        # Timed rounds run on the plain cursor: the one that records statements formats each of
        # them a second time, which the raw cursor it is compared with does not do either.
        with CaptureQueriesContext(connection) if counted else nullcontext() as captured:
            began = time.perf_counter()
            work_batch(observations, remote=Ready(self._answers), worker="bench", clock=lambda: now)
            seconds = time.perf_counter() - began
        ReconciliationTask.objects.filter(state__in=("queued", "running")).update(
            state="completed", claim_expires_at=None
        )
        statements = [
            query["sql"]
            for query in (captured.captured_queries if captured else ())
            if not query["sql"].startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"))
        ]
        return seconds, len(statements)

    def raw_diff_seconds(self) -> float:
        """Return how long a raw cursor takes to fetch the shard and a dictionary to compare it."""
        from django.db import connection

        def once() -> float:
            began = time.perf_counter()
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT b.repository_id, b.name, b.observed_head FROM governance_branch b"
                    " JOIN governance_repository r ON r.id = b.repository_id"
                    " JOIN governance_tenant t ON t.id = r.tenant_id WHERE t.slug = %s",
                    [self.tenant],
                )
                known = {(pk, name): head for pk, name, head in cursor.fetchall()}
            observed = {
                (pk, name): head for pk, heads in self.heads.items() for name, head in heads.items()
            }
            moved = [
                key for key in known.keys() | observed.keys() if known.get(key) != observed.get(key)
            ]
            del moved
            return time.perf_counter() - began

        return statistics.median(once() for _ in range(3))

    def _move(self, count: int) -> None:
        self._generation += 1
        places = [(pk, name) for pk in sorted(self.heads) for name in sorted(self.heads[pk])]
        step = max(1, len(places) // count) if count else 1
        touched = set()
        for pk, name in places[::step][:count]:
            self.heads[pk][name] = f"{self._generation:08x}{pk * 1000:032x}"
            touched.add(pk)
        self._answer_all(touched)

    def _answer_all(self, only: set[int] | None = None) -> None:
        for pk in self.heads if only is None else only:
            self._answers[str(pk)] = self._of(
                self.heads[pk].items(), default_branch="main", object_format="sha1"
            )


class Ready(MemoryRemote):
    """A remote whose answers lie ready: what is measured begins behind the exchange."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__()
        self._answers = answers

    def read_heads(self, target: Any) -> Any:
        """Return the heads of a repository."""
        note_call()
        return self._answers[target.mirror_key]


if __name__ == "__main__":
    sys.exit(main())
