"""What a sweep costs in SQL statements: the same for any number of repositories and branches."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from reconciliation.models import RepositoryWatch
from reconciliation.services.batches import work_batch
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import HEAD_A, HEAD_B
from tests.integration.queue.world import Queue

pytestmark = pytest.mark.django_db

# SQLite takes one more for each pair of tables that PostgreSQL changes by one statement. One asks
# for the drain that is due when the heads have settled.
MOST_WHEN_CHANGED = {"postgresql": 19, "sqlite": 22}
MOST_WHEN_UNCHANGED = {"postgresql": 14, "sqlite": 17}


def statements_of_a_sweep(queue: Queue, *, head: str, repositories: int, branches: int) -> int:
    """Read so many new repositories, move all heads to `head`, and return what a sweep costs."""
    names = ["main", *(f"topic-{number}" for number in range(1, branches))]
    rows = [
        queue.repository(f"acme/of-{repositories}-{number}", names)
        for number in range(repositories)
    ]
    for row in rows:
        queue.observe(row, about="first reading")
    queue.drain()
    for row in rows:
        for name in names:
            queue.remote.reset(row.clone_url, name, head)
    queue.clock.forward(hours=2)
    RepositoryWatch.objects.update(next_due_at=queue.clock.now + timedelta(days=1))
    RepositoryWatch.objects.filter(repository__in=rows).update(next_due_at=queue.clock.now)
    plan_sweep(
        slot=queue.clock.now,
        scope="",
        everything=False,
        trigger="schedule",
        budget=Budget(repositories=1000, per_tenant=1000),
        correlation_id="statements",
        now=queue.clock.now,
    )
    tasks = [task for task in queue.claim(limit=1000) if task.task_kind == "observe_refs"]
    assert len(tasks) == repositories
    with CaptureQueriesContext(connection) as seen:
        done = work_batch(tasks, remote=queue.remote, worker="ada", clock=queue.clock)
    assert done.completed == repositories
    queue.drain()
    marks = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
    return sum(not query["sql"].startswith(marks) for query in seen)


@pytest.mark.parametrize(
    ("head", "most"), [(HEAD_B, MOST_WHEN_CHANGED), (HEAD_A, MOST_WHEN_UNCHANGED)]
)
def test_a_shard_costs_the_same_few_statements_whatever_its_size(
    queue: Queue, head: str, most: dict[str, int]
) -> None:
    few = statements_of_a_sweep(queue, head=head, repositories=2, branches=2)
    many = statements_of_a_sweep(queue, head=head, repositories=12, branches=9)

    assert many == few
    assert many <= most[connection.vendor], many
