"""What PostgreSQL stores of one decided change, by table and index, in kB.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.storage

The scenario: four repositories of fifty governed branches, and no runs. Every branch is pushed to
six times, a push every ten minutes, each announced by a webhook of GitHub's shape through the
receiver's own service; a worker works what is due until all is decided. A change is one push: it
is observed, checked for drift and for a missing run, becomes part of a finding, and all of it is
in the trail. Sizes are of tables, their indexes and TOAST, after VACUUM FULL: what
must be kept, not what is free to be used again.
"""

import json
import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from governance.models import Repository
    from tests.integration.queue.world import Queue

TARGET_KB = 10.0
REPOSITORIES = 4
BRANCHES = 50
PUSHES = 6


def main() -> int:
    """Measure, print one JSON line, and return 0 when the target was met."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "reconciler_site.settings.test"
    import django

    django.setup()
    from django.db import connection

    if connection.vendor != "postgresql":
        print("storage: sizes are measured on PostgreSQL only; not measured")
        return 1
    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        figure = measure()
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    print(json.dumps(figure))
    return 0 if figure["met"] else 1


def measure() -> dict[str, Any]:
    """Return what is stored of a change."""
    from reconciliation.models import Evaluation
    from tests.integration.queue.world import Queue

    queue = Queue()
    names = [f"feature/{n:03}" for n in range(BRANCHES)]
    rows = [queue.repository(f"acme/service-{n}", names) for n in range(REPOSITORIES)]
    sources = [_source_of(row, queue) for row in rows]
    before = _sizes()
    for number in range(PUSHES):
        _push(queue, rows, sources, names, number)
        for seconds in (1, 60, 600):
            queue.clock.forward(seconds=seconds)
            queue.drain()
    after = _sizes()
    changes = REPOSITORIES * BRANCHES * PUSHES
    decided = Evaluation.objects.filter(task_kind="head_drift").count()
    if decided < changes:
        sys.exit(f"storage: {decided} of {changes} changes were decided")
    grown = {name: (size - before.get(name, 0)) / changes / 1024 for name, size in after.items()}
    total = sum(grown.values())
    parts = sorted(grown.items(), key=lambda item: -item[1])
    return {
        "name": "stored_kb_per_decided_change",
        "ratio": round(total, 2),
        "target": TARGET_KB,
        "met": total <= TARGET_KB,
        "raw": {
            "changes": changes,
            "kb": {name: round(size, 2) for name, size in parts if size >= 0.01},
        },
    }


def _source_of(row: "Repository", queue: "Queue") -> Any:
    from reconciliation.services.sources import live_source
    from tests.factories.webhooks import webhook_source

    return live_source(webhook_source(row, now=queue.clock.now).token, now=queue.clock.now)


def _push(
    queue: "Queue", rows: list["Repository"], sources: list[Any], names: list[str], number: int
) -> None:
    """Move every branch by one commit, and have each move announced."""
    from reconciliation.remotes.memory import MemoryCommit
    from tests.factories.governance import HEAD_A

    for place, row in enumerate(rows):
        for index, name in enumerate(names):
            before = HEAD_A if number == 0 else _commit(place, index, number - 1)
            after = _commit(place, index, number)
            queue.remote.push(
                row.clone_url, name, MemoryCommit(after, (before,), files={"README": after})
            )
            _announce(queue, sources[place], row, name, before, after)


def _commit(place: int, index: int, number: int) -> str:
    return f"{place:08x}{index:08x}{number:08x}" + "c" * 16


def _announce(
    queue: "Queue", source: Any, row: "Repository", branch: str, before: str, after: str
) -> None:
    from reconciliation.services.intake import receive
    from reconciliation.webhooks.headers import Headers
    from tests.factories.webhooks import github_headers, push_body

    document = json.loads(push_body(branch, before, after, repository_id=row.pk, forced=False))
    document["repository"] |= {"full_name": row.full_name, "clone_url": row.clone_url}
    body = json.dumps(document).encode()
    headers = github_headers(body, delivery=f"{row.pk}-{after}")
    receive(
        source,
        Headers(headers.items()),
        body,
        correlation_id=f"{after[:24]}",
        coalesce=timedelta(seconds=0.2),
        now=queue.clock.now,
    )


def _sizes() -> dict[str, int]:
    from django.db import connection

    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM FULL")
        cursor.execute(
            "SELECT relname, pg_relation_size(c.oid) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE relkind IN ('r', 'i') AND nspname = 'public' OR nspname = 'pg_toast'"
            " AND relkind IN ('r', 't', 'i')"
        )
        return {name: int(size) for name, size in cursor.fetchall()}


if __name__ == "__main__":
    sys.exit(main())
