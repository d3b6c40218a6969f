"""A page of 100 tasks over the API, against a hand-written JSON view over the same columns.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.api_lists

Both sides go through Django's whole stack of middlewares and read the same 100 rows; the reference
has no authentication, no scope, no filters, no pages, no schema. Slices alternate; the figure is
the median of the ratios of neighbours. Uses DATABASE_URL, in a database of its own that is dropped
afterwards; without it SQLite in a scratch folder.
"""

import json
import os
import statistics
import sys
import time
from typing import Any

TARGET = 3.0
ROWS = 100
PAIRS = 9
SLICE_SECONDS = 0.6
REFERENCE = "/reference/tasks"


def main() -> int:
    """Measure, print one JSON line, and return 0 when the target was met."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "reconciler_site.settings.test")
    import django

    django.setup()
    from django.db import connection

    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        result = measure()
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    print(json.dumps(result))
    return 0 if result["met"] else 1


def measure() -> dict[str, Any]:
    """Return the figures of alternating slices of the two sides."""
    from django.db import connection
    from django.test import Client
    from django.urls import path

    from reconciler_site import urls
    from tests.factories.governance import RepositoryFactory, api_client
    from tests.factories.reconciliation import TaskFactory

    repository = RepositoryFactory.create()
    for _ in range(ROWS):
        TaskFactory.create(repository=repository)
    urls.urlpatterns.insert(0, path(REFERENCE.lstrip("/"), reference_view))
    api, plain = api_client(), Client()
    ours = f"/api/v1/tasks?page_size={ROWS}"
    for client, address in ((api, ours), (plain, REFERENCE)):
        shown = client.get(address).json()
        assert len(shown["results"]) == ROWS, shown
    took: dict[str, list[float]] = {"ours": [], "reference": []}
    for _ in range(PAIRS):
        took["ours"].append(milliseconds(api, ours))
        took["reference"].append(milliseconds(plain, REFERENCE))
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(took["ours"], took["reference"], strict=True)
    )
    return {
        "name": "api_lists",
        "ratio": round(ratio, 2),
        "target": TARGET,
        "met": ratio <= TARGET,
        "raw": {
            "database": connection.vendor,
            "rows": ROWS,
            **{f"{side}_ms": [round(one, 2) for one in each] for side, each in took.items()},
            **{
                f"median_{side}_ms": round(statistics.median(each), 2)
                for side, each in took.items()
            },
        },
    }


def reference_view(request: Any) -> Any:
    """Answer the newest tasks as fast as a plain view can."""
    from django.http import JsonResponse

    from reconciliation.api.tasks import TaskRow
    from reconciliation.models import ReconciliationTask

    rows = ReconciliationTask.objects.order_by("-id").values(*TaskRow.columns())[:ROWS]
    return JsonResponse({"results": list(rows)})


def milliseconds(client: Any, address: str) -> float:
    """Return the mean time of one request during a slice."""
    requests, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < SLICE_SECONDS:
        client.get(address)
        requests += 1
    return 1000 * spent / requests


if __name__ == "__main__":
    sys.exit(main())
