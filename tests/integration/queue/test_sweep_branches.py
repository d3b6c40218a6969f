"""Every idle branch has its stale check, in turns of tenants; a run with nothing due reads none."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from governance.models import Branch
from reconciliation.models import Origin, ReconciliationTask, RepositoryWatch, TaskKind
from reconciliation.services.sweeps import Budget, PlannedSweep, plan_sweep
from tests.factories.governance import HEAD_B, NOON, LeaseFactory, RepositoryFactory, TenantFactory
from tests.factories.many import govern_many
from tests.factories.reconciliation import AlertFactory, FindingFactory, TaskFactory
from tests.integration.queue.world import Queue

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def sweep(queue: Queue, *, checks: int = 10, scope: str = "") -> PlannedSweep:
    return plan_sweep(
        slot=queue.clock.now,
        scope=scope,
        everything=False,
        trigger="schedule",
        budget=Budget(checks=checks),
        correlation_id="sweep",
        now=queue.clock.now,
    )


def checked(planned: PlannedSweep) -> list[tuple[str, str]]:
    """Return what was planned to be checked for staleness, as (repository, branch)."""
    return [
        (item.repo, item.branch)
        for item in planned.worklist.items
        if item.task_kind == TaskKind.STALE_BRANCH
    ]


def rounds(queue: Queue, *, checks: int) -> list[list[tuple[str, str]]]:
    """Sweep every minute until nothing is found."""
    found: list[list[tuple[str, str]]] = []
    while not found or found[-1]:
        found.append(checked(sweep(queue, checks=checks)))
        queue.clock.forward(minutes=1)
    return found


def test_every_idle_branch_is_checked_once_a_day_however_many_there_are(queue: Queue) -> None:
    govern_many(20, tenant="acme", branches=15, now=NOON)

    today = rounds(queue, checks=30)
    queue.clock.forward(hours=25)
    tomorrow = rounds(queue, checks=300)

    planned = [one for found in today for one in found]
    assert len(planned) == len(set(planned)) == 300
    assert max(len(found) for found in today) == 30
    assert len(tomorrow[0]) == 300


def test_branches_checked_today_hide_none_that_were_not(queue: Queue) -> None:
    govern_many(1, tenant="acme", branches=60, now=NOON)
    longest_idle = [f"topic-{number}" for number in range(1, 51)]
    row = RepositoryWatch.objects.get().repository
    Branch.objects.filter(name__in=longest_idle).update(last_activity_at=NOON - 900 * DAY)
    for name in longest_idle:
        TaskFactory.create(
            repository=row, branch=name, task_kind="stale_branch", created_at=NOON, state="dead"
        )

    found = checked(sweep(queue, checks=3))

    assert len(found) == 3
    assert not {branch for _, branch in found} & set(longest_idle)


def test_a_tenant_with_very_many_idle_branches_leaves_the_others_their_turn(queue: Queue) -> None:
    govern_many(4, tenant="big", branches=50, now=NOON)
    Branch.objects.update(last_activity_at=NOON - 2000 * DAY)
    govern_many(1, tenant="small", branches=5, now=NOON)

    first = sweep(queue, checks=10)

    assert Counter(repo.partition("-")[0] for repo, _ in checked(first)) == {"big": 5, "small": 5}


def test_more_tenants_than_a_sweep_has_checks_all_have_theirs_in_the_end(queue: Queue) -> None:
    for number in range(8):
        govern_many(1, tenant=f"t{number}", branches=2, now=NOON)

    found = rounds(queue, checks=3)

    assert len({one for part in found for one in part}) == 16


def tables_read(queue: Queue) -> tuple[str, int]:
    with CaptureQueriesContext(connection) as statements:
        sweep(queue)
    return " ".join(query["sql"] for query in statements), len(statements)


def test_a_sweep_with_nothing_due_reads_no_branch(queue: Queue) -> None:
    govern_many(30, tenant="acme", branches=3, now=NOON)
    rounds(queue, checks=1000)

    sql, _ = tables_read(queue)

    assert "governance_branch" not in sql


def test_it_costs_the_same_statements_however_much_is_due(queue: Queue) -> None:
    govern_many(2, tenant="acme", branches=2, now=NOON)
    _, few = tables_read(queue)
    govern_many(30, tenant="other", branches=9, now=NOON)
    queue.clock.forward(minutes=1)
    _, many = tables_read(queue)

    # One more asks whose branches are left, because there were more than the sweep could take.
    assert many <= few + 2


def test_a_repository_is_looked_through_again_as_soon_as_a_head_of_it_moved(queue: Queue) -> None:
    row = queue.repository("acme/api", ["main", "topic"])
    queue.observe(row)
    queue.drain()
    sweep(queue)
    before = RepositoryWatch.objects.get().branches_due_at
    assert before is not None
    assert before > queue.clock.now

    queue.remote.reset(row.clone_url, "main", HEAD_B)
    queue.observe(row, about="main moved")
    queue.drain()

    assert RepositoryWatch.objects.get().branches_due_at is None


def leases(tenant: str, number: int, **values: Any) -> list[str]:
    """Give a tenant leases that have just run out; return their ids."""
    owner = TenantFactory.create(slug=tenant)
    return [
        LeaseFactory.create(
            repository=RepositoryFactory.create(tenant=owner),
            acquired_at=NOON - timedelta(minutes=16),
            **values,
        ).lease_id
        for _ in range(number)
    ]


def renewals(planned: PlannedSweep) -> Sequence[str | None]:
    return [
        item.lease_id for item in planned.worklist.items if item.task_kind == TaskKind.LEASE_RENEWAL
    ]


def test_leases_whose_renewal_is_a_dead_letter_hide_no_other_lease(queue: Queue) -> None:
    leases("acme", 3)
    assert len(renewals(sweep(queue, checks=3))) == 3
    ReconciliationTask.objects.update(state="dead")
    queue.clock.forward(minutes=1)
    later = leases("acme", 2, ttl_seconds=959)

    assert set(renewals(sweep(queue, checks=3))) == set(later)


def test_leases_of_one_tenant_leave_the_others_their_turn(queue: Queue) -> None:
    leases("acme", 9, ttl_seconds=600)
    [small] = leases("small", 1)

    assert small in renewals(sweep(queue, checks=2))


def test_leases_out_of_scope_use_up_no_place_of_a_sweep(queue: Queue) -> None:
    leases("acme", 5, ttl_seconds=600)
    [small] = leases("small", 1)

    assert renewals(sweep(queue, checks=2, scope="small")) == [small]


@pytest.mark.parametrize(("ttl", "age", "due"), [(900, 449, False), (900, 450, True)])
def test_a_lease_is_looked_at_from_the_middle_of_its_time(
    queue: Queue, ttl: int, age: int, due: bool
) -> None:
    LeaseFactory.create(acquired_at=NOON - timedelta(seconds=age), ttl_seconds=ttl)

    assert bool(renewals(sweep(queue))) is due


def test_a_dead_letter_that_something_else_asked_for_stops_no_renewal(queue: Queue) -> None:
    [lease] = leases("acme", 1)
    row = LeaseFactory._meta.model.objects.get(lease_id=lease)
    TaskFactory.create(
        repository=row.repository,
        branch=row.branch,
        task_kind="lease_renewal",
        lease_id=lease,
        state="dead",
        origin=Origin.API,
        created_at=NOON,
    )

    assert renewals(sweep(queue)) == [lease]


def test_alerts_whose_check_is_a_dead_letter_hide_no_other_alert(queue: Queue) -> None:
    row = RepositoryFactory.create()
    due = [
        AlertFactory.create(
            finding=FindingFactory.create(repository=row, branch="main"),
            next_escalation_at=NOON - timedelta(minutes=9 - number),
        )
        for number in range(4)
    ]

    def about(planned: PlannedSweep) -> set[str]:
        items = planned.worklist.items
        return {item.about for item in items if item.task_kind == TaskKind.DIVERGENCE_ALERT}

    texts = [f"open {one.finding.fingerprint[:16]} step {one.escalation_step}" for one in due]
    assert about(sweep(queue, checks=2)) == set(texts[:2])
    ReconciliationTask.objects.update(state="dead")
    queue.clock.forward(minutes=1)

    assert about(sweep(queue, checks=2)) == set(texts[2:])
