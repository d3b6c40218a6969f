"""Totals that count every row once, whatever is folded, pruned, or measured at the same time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from reconciliation.domain.measures import ATTEMPTS, DELIVERIES, DRIFT_BUCKETS, RECONCILIATIONS
from reconciliation.models import MeasuredTotal, MeasuredUpTo, ReconciliationTask, TaskAttempt
from reconciliation.services import measuring
from reconciliation.services.measuring import measured
from tests.conftest import World
from tests.factories.governance import NOON
from tests.factories.reconciliation import (
    AttemptFactory,
    DeliveryFactory,
    SourceFactory,
    TaskFactory,
)

YOUNG = NOON + timedelta(seconds=20)
LATER = NOON + timedelta(minutes=5)
COMPLETED = (ATTEMPTS, ("head_drift", "completed"))


def end_attempts(world: World, number: int) -> list[TaskAttempt]:
    """Store tasks that completed two seconds after noon."""
    tasks = [TaskFactory.create(repository=world.repository) for _ in range(number)]
    return [AttemptFactory.create(task=task) for task in tasks]


def test_young_rows_count_at_once_but_are_folded_later(tenant_world: World) -> None:
    attempts = end_attempts(tenant_world, 2)

    assert measured([ATTEMPTS], now=YOUNG) == {COMPLETED: 2}
    assert MeasuredTotal.objects.count() == 0

    assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 2}
    assert MeasuredTotal.objects.get(measure=ATTEMPTS).value == 2
    assert MeasuredUpTo.objects.get(stream="attempts").last_id == attempts[-1].pk


def test_every_row_counts_once_however_often_it_is_measured(tenant_world: World) -> None:
    end_attempts(tenant_world, 3)
    for _ in range(3):
        assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 3}

    end_attempts(tenant_world, 2)

    assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 5}
    assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 5}


def test_rows_behind_a_young_one_wait_with_it(tenant_world: World) -> None:
    old, young, behind = end_attempts(tenant_world, 3)
    TaskAttempt.objects.filter(pk=young.pk).update(ended_at=LATER - timedelta(seconds=1))

    assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 3}
    assert MeasuredUpTo.objects.get(stream="attempts").last_id == old.pk

    assert measured([ATTEMPTS], now=LATER + timedelta(minutes=1)) == {COMPLETED: 3}
    assert MeasuredUpTo.objects.get(stream="attempts").last_id == behind.pk


def test_totals_outlive_the_rows_they_were_counted_from(tenant_world: World) -> None:
    end_attempts(tenant_world, 4)
    measured([ATTEMPTS], now=LATER)

    ReconciliationTask.objects.all().delete()

    assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 4}


def test_a_long_backlog_is_counted_in_chunks(
    tenant_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_CHUNK", 2)
    end_attempts(tenant_world, 5)

    assert measured([ATTEMPTS], now=YOUNG) == {COMPLETED: 5}
    assert measured([ATTEMPTS], now=LATER) == {COMPLETED: 5}
    assert MeasuredTotal.objects.get(measure=ATTEMPTS).value == 5


def test_a_backlog_of_years_is_counted_over_several_calls_and_never_backwards(
    tenant_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_CHUNK", 2)
    monkeypatch.setattr(measuring, "_MOST_ROWS", 4)
    end_attempts(tenant_world, 11)

    counted = [measured([ATTEMPTS], now=LATER)[COMPLETED] for _ in range(4)]

    assert counted == [4, 8, 11, 11]


def test_a_check_that_follows_an_observation_is_counted_for_what_asked_for_that(
    tenant_world: World,
) -> None:
    observation = TaskFactory.create(
        repository=tenant_world.repository,
        branch="",
        task_kind="observe_refs",
        origin="sweep",
        subject="sweep",
    )
    check = TaskFactory.create(
        repository=tenant_world.repository, origin="follow_up", parent=observation
    )
    AttemptFactory.create(task=check)

    assert measured([DRIFT_BUCKETS], now=LATER) == {(DRIFT_BUCKETS, ("sweep", "2.0")): 1}


def test_reconciliations_and_deliveries_are_counted_by_place_and_host(
    tenant_world: World,
) -> None:
    end_attempts(tenant_world, 1)
    source = SourceFactory.create(repository=tenant_world.repository)
    DeliveryFactory.create(source=source, task=None, outcome="ignored")

    assert measured([RECONCILIATIONS, DELIVERIES], now=LATER) == {
        (RECONCILIATIONS, ("acme", "api")): 1,
        (DELIVERIES, ("github", "ignored")): 1,
    }


def test_measuring_again_costs_the_same_few_statements_whatever_was_counted(
    tenant_world: World,
) -> None:
    costs = []
    for number in (3, 30):
        end_attempts(tenant_world, number)
        measured([ATTEMPTS], now=LATER)
        with CaptureQueriesContext(connection) as statements:
            measured([ATTEMPTS], now=LATER)
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 7


def in_thread(_: int) -> float:
    try:
        return measured([ATTEMPTS], now=LATER)[COMPLETED]
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_several_processes_may_measure_at_once(tenant_world: World) -> None:
    end_attempts(tenant_world, 6)

    with ThreadPoolExecutor(max_workers=4) as pool:
        counted = list(pool.map(in_thread, range(8)))

    assert counted == [6.0] * 8
    assert MeasuredTotal.objects.get(measure=ATTEMPTS).value == 6
