"""From a webhook's commit to the start of its task, on an idle system with a real worker.

    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks.latency

The unit is the interval at which django-q2 looks for messages (`Q_CLUSTER["poll"]`): the median may
be one of them, the 95th percentile two. Deliveries come one by one, at moments that have nothing
to do with the worker's clock, each when the one before has long been worked. Every second one is
taken in with the wait for more of the same that is shipped (`WEBHOOK_COALESCE_SECONDS`): there the
clock starts when that wait is over; `raw` has the times from the commit, too.
"""

import json
import os
import random
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

SAMPLES = 80
SEED = 20260302
TARGETS = {"webhook_to_task_begun_median": 1.0, "webhook_to_task_begun_p95": 2.0}
START_SECONDS = 90
LONGEST_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """When a delivery was committed, when its task was due, and when a worker began with it."""

    coalesced: bool
    committed_at: datetime
    due_at: datetime
    begun_at: datetime

    @property
    def waited_seconds(self) -> float:
        """Seconds that nobody wanted: from the commit, or from when it was due if that is later."""
        return (self.begun_at - max(self.committed_at, self.due_at)).total_seconds()

    @property
    def since_commit_seconds(self) -> float:
        """Seconds since the commit, with the wait that is wanted."""
        return (self.begun_at - self.committed_at).total_seconds()


def main() -> int:
    """Measure, print one JSON line for each figure, and return 0 when both targets were met."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "reconciler_site.settings.test"
    import django

    django.setup()
    from django.db import connection

    from tests.benchmarks.audit_append import refuse_a_careless_server

    name_before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        refuse_a_careless_server()
        with tempfile.TemporaryDirectory(prefix="bench-git-") as folder:
            token = governed(Path(folder))
            with worker(folder):
                samples = list(take_samples(token))
    finally:
        connection.creation.destroy_test_db(name_before, verbosity=0)
    found = figures(samples)
    for figure in found:
        print(json.dumps(figure), flush=True)
    return 0 if all(figure["met"] for figure in found) else 1


def governed(folder: Path) -> str:
    """Govern one repository on the disk with a webhook source, and return the source's token."""
    from django.utils import timezone

    from reconciliation.models import RepositoryWatch
    from tests.chaos.world import git_repository
    from tests.factories.governance import RepositoryFactory
    from tests.factories.webhooks import webhook_source

    git_repository(folder / "api.git", branches=4)
    row = RepositoryFactory.create(host_kind="github", clone_url=str(folder / "api.git"))
    now = timezone.now()
    RepositoryWatch.objects.create(repository=row, next_due_at=now + timedelta(hours=6))
    token: str = webhook_source(row, now=now).token
    return token


@contextmanager
def worker(folder: str) -> Iterator[None]:
    """Run `reconcile_worker`, from when its cluster is proven to work."""
    from tests.integration.queue.programs import ROOT, database_url, members_of

    process = subprocess.Popen(
        [sys.executable, "manage.py", "reconcile_worker", "--json"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "RECONCILER_ALLOWED_LOCAL_ROOTS": folder,
            "RECONCILER_SCHEDULED_SWEEPS": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    clusters: set[int] = set()
    try:
        deadline = time.monotonic() + START_SECONDS
        for line in process.stdout or ():
            told = json.loads(line) if line.startswith("{") else {}
            clusters |= {told["pid"]} if "pid" in told else set()
            if told.get("event") == "cluster.proven":
                break
            if time.monotonic() > deadline:
                sys.exit("latency: the worker was not ready in time")
        yield
    finally:
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for group in clusters:
            if members_of(group):
                os.killpg(group, signal.SIGKILL)


def take_samples(token: str) -> Iterator[Sample]:
    """Send deliveries one by one and see when their tasks begin; the first ones warm up."""
    from django.conf import settings

    from reconciler_site.settings import base

    chance = random.Random(SEED)
    shipped = timedelta(seconds=base.WEBHOOK_COALESCE_SECONDS)
    for number in range(-4, SAMPLES):
        coalesced = number % 2 == 1
        time.sleep(2 * settings.Q_CLUSTER["poll"] + chance.random())
        sample = send_one(token, number, coalesce=shipped if coalesced else timedelta(0))
        if number >= 0:
            yield sample


def send_one(token: str, number: int, *, coalesce: timedelta) -> Sample:
    """Take in one delivery and wait until its task is worked."""
    from django.utils import timezone

    from reconciliation.models import ReconciliationTask, TaskState
    from reconciliation.services.intake import receive
    from reconciliation.services.sources import live_source
    from reconciliation.webhooks.headers import Headers
    from tests.factories.webhooks import github_headers, push_body

    body = push_body("b0000", f"{number + 1000:040x}", f"{number + 1001:040x}")
    headers = Headers(github_headers(body, delivery=f"bench-{number}").items())
    now = timezone.now()
    received = receive(
        live_source(token, now=now),
        headers,
        body,
        correlation_id=secrets.token_hex(8),
        coalesce=coalesce,
        now=now,
    )
    committed_at = timezone.now()
    if received.task is None:
        sys.exit(f"latency: a delivery asked for no work: {received.reason}")
    task = ReconciliationTask.objects.filter(pk=received.task)
    deadline = time.monotonic() + LONGEST_SECONDS
    while (row := task.get()).state != TaskState.COMPLETED:
        if time.monotonic() > deadline:
            sys.exit(f"latency: a task was not worked within {LONGEST_SECONDS} s: {row.last_error}")
        time.sleep(0.02)
    begun_at = row.attempt_rows.order_by("id").values_list("started_at", flat=True)[0]
    return Sample(coalesce > timedelta(0), committed_at, now + coalesce, begun_at)


def figures(samples: list[Sample]) -> list[dict[str, Any]]:
    """Return median and 95th percentile, in poll intervals."""
    from django.conf import settings

    poll = settings.Q_CLUSTER["poll"]
    waits = [sample.waited_seconds for sample in samples]
    raw = {
        "poll_seconds": poll,
        "samples": len(samples),
        "ms": _percentiles(waits),
        "ms_since_commit": {
            name: _percentiles(
                [one.since_commit_seconds for one in samples if one.coalesced is coalesced]
            )
            for name, coalesced in (("at_once", False), ("with_the_wait_for_more", True))
        },
    }
    measured = {
        "webhook_to_task_begun_median": statistics.median(waits),
        "webhook_to_task_begun_p95": _quantile(waits, 0.95),
    }
    return [
        {
            "name": name,
            "ratio": round(seconds / poll, 2),
            "target": TARGETS[name],
            "met": seconds / poll <= TARGETS[name],
            "raw": raw,
        }
        for name, seconds in measured.items()
    ]


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {
        "p50": round(statistics.median(seconds) * 1000, 1),
        "p95": round(_quantile(seconds, 0.95) * 1000, 1),
        "max": round(max(seconds) * 1000, 1),
    }


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    sys.exit(main())
