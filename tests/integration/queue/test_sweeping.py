"""Sweeps against a database: budgets of tenants and hosts, what is counted, who can fail alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from governance.models import Repository
from reconciliation.models import (
    HostCalls,
    Origin,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    TaskKind,
)
from reconciliation.remotes.base import RemoteNotFound
from reconciliation.selectors.dead_letters import DeadLetterChoice
from reconciliation.services.dead_letters import discard_dead_letters
from reconciliation.services.sweep_repositories import fill_in_hosts
from reconciliation.services.sweeps import Budget, PlannedSweep, draft_sweep, plan_sweep
from reconciliation.services.tick import tick
from tests.factories.governance import HEAD_B, NOON, RepositoryFactory, TenantFactory
from tests.integration.queue.world import Queue

pytestmark = pytest.mark.django_db

WIDE = Budget(repositories=1000, per_tenant=1000)
EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin", "tasks"}))


def sweep(queue: Queue, budget: Budget = WIDE, **chosen: Any) -> PlannedSweep:
    """Plan a sweep at the clock's time."""
    return plan_sweep(
        slot=queue.clock.now,
        scope="",
        budget=budget,
        correlation_id=f"sweep-{queue.clock.now:%d%H%M}",
        now=queue.clock.now,
        **{"everything": False, "trigger": "schedule", **chosen},
    )


def stored(planned: PlannedSweep) -> Sweep:
    """Return the sweep's row as it is now."""
    assert planned.row is not None
    return Sweep.objects.get(pk=planned.row.pk)


def watched(number: int, *, tenant: str, host: str = "git.example", overdue: int = 60) -> None:
    """Govern repositories that have been due for so many minutes, on one host."""
    owner = TenantFactory.create(slug=tenant)
    for index in range(number):
        row = RepositoryFactory.create(
            tenant=owner,
            slug=f"{host}-{index:03}",
            clone_url=f"https://{host}/{tenant}/{index}.git",
        )
        RepositoryWatch.objects.create(
            repository=row, next_due_at=NOON - timedelta(minutes=overdue, seconds=-index)
        )


def taken(planned: PlannedSweep) -> Counter[str]:
    return Counter(one.tenant for one in planned.choice.taken)


def skipped(planned: PlannedSweep) -> Mapping[str, int]:
    return dict(planned.choice.skipped)


def test_of_a_hosts_budget_a_sweep_takes_four_fifths(queue: Queue) -> None:
    watched(10, tenant="acme")
    watched(3, tenant="acme", host="other.example")

    planned = sweep(queue, replace(WIDE, host_calls_per_minute=5))

    assert Counter(one.host for one in planned.choice.taken) == {
        "git.example": 4,
        "other.example": 3,
    }
    assert skipped(planned) == {"host_budget": 6}
    assert stored(planned).considered == 13
    assert stored(planned).skipped == {"host_budget": 6}


def test_what_webhook_work_took_beyond_its_fifth_comes_off_the_next_sweep(queue: Queue) -> None:
    watched(10, tenant="acme")
    HostCalls.objects.create(
        host="git.example", minute=NOON, by_sweeps=0, by_others=5 * 3, readings=0
    )

    planned = sweep(queue, replace(WIDE, host_calls_per_minute=5))

    assert len(planned.choice.taken) == 2


def test_calls_of_more_than_five_minutes_ago_are_forgiven(queue: Queue) -> None:
    watched(10, tenant="acme")
    HostCalls.objects.create(
        host="git.example",
        minute=NOON - timedelta(minutes=5),
        by_sweeps=0,
        by_others=5_000,
        readings=0,
    )

    assert len(sweep(queue, replace(WIDE, host_calls_per_minute=5)).choice.taken) == 4


def test_what_was_planned_and_not_read_keeps_its_room(queue: Queue) -> None:
    watched(10, tenant="acme")
    budget = replace(WIDE, host_calls_per_minute=5)
    sweep(queue, budget)
    queue.clock.forward(minutes=1)

    again = sweep(queue, budget)

    assert again.choice.taken == ()
    assert again.row is None


def test_ten_thousand_of_one_tenant_do_not_hide_those_of_the_others(queue: Queue) -> None:
    watched(40, tenant="big", overdue=600)
    watched(2, tenant="small", overdue=1)

    planned = sweep(queue, Budget(repositories=10, per_tenant=4))

    assert taken(planned) == {"big": 4, "small": 2}
    assert skipped(planned) == {"tenant_cap": 36}
    assert planned.considered == 42


def test_a_tenant_is_not_stuck_behind_a_host_that_has_no_room(queue: Queue) -> None:
    watched(30, tenant="acme", host="full.example", overdue=600)
    watched(2, tenant="acme", host="free.example", overdue=1)
    HostCalls.objects.create(
        host="full.example", minute=NOON, by_sweeps=0, by_others=1000, readings=0
    )

    planned = sweep(queue, Budget(repositories=9, per_tenant=9, host_calls_per_minute=10))

    assert {one.host for one in planned.choice.taken} == {"free.example"}
    assert skipped(planned) == {"host_budget": 30}


def test_a_repository_whose_observation_waits_is_not_asked_for_again(queue: Queue) -> None:
    queue.observe(due(queue, "acme/api"), about="webhook")
    due(queue, "acme/web")

    planned = sweep(queue)

    assert [one.repo for one in planned.choice.taken] == ["web"]
    assert skipped(planned) == {"waiting": 1}


def test_a_person_who_asks_for_everything_gets_it_though_some_of_it_waits(queue: Queue) -> None:
    queue.observe(due(queue, "acme/api"), about="webhook")

    planned = sweep(queue, everything=True, trigger="manual")

    assert [one.repo for one in planned.choice.taken] == ["api"]


def test_choosing_costs_the_same_statements_however_much_is_due(queue: Queue) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as seen:
            draft_sweep(
                slot=queue.clock.now,
                scope="",
                everything=False,
                budget=replace(WIDE, host_calls_per_minute=50),
                now=queue.clock.now,
            )
        return len(seen)

    watched(1, tenant="acme")
    few = statements()
    for number in range(5):
        watched(10, tenant=f"tenant-{number}", host=f"host-{number}.example")

    assert statements() == few


def due(queue: Queue, path: str, **state: Any) -> Repository:
    """Govern a repository with a remote, due since a minute ago."""
    row = queue.repository(path, **state)
    RepositoryWatch.objects.filter(repository=row).update(
        next_due_at=queue.clock.now - timedelta(minutes=1)
    )
    return row


def test_a_sweep_knows_the_calls_it_made_and_what_followed_made(queue: Queue) -> None:
    for name in ("api", "web"):
        due(queue, f"acme/{name}")
    due(queue, "acme/moved", head=HEAD_B)

    planned = sweep(queue)
    queue.drain()

    made = len(queue.remote.calls)
    assert made > 3, "the moved head led to a fetch"
    assert stored(planned).host_calls == made
    [counted] = HostCalls.objects.all()
    assert (counted.host, counted.minute) == ("git.example", NOON)
    assert (counted.by_sweeps, counted.by_others, counted.readings) == (made, 0, 3)


def test_calls_for_a_webhook_are_not_the_sweeps(queue: Queue) -> None:
    row = due(queue, "acme/api")
    queue.put(replace(queue.planned(row), origin=Origin.WEBHOOK))

    queue.drain()

    [counted] = HostCalls.objects.all()
    assert (counted.by_sweeps, counted.by_others, counted.readings) == (0, 1, 0)


def test_calls_add_up_over_batches_of_a_minute(queue: Queue) -> None:
    row = due(queue, "acme/api")
    for about in ("one", "two"):
        queue.observe(row, about=about)
        queue.drain()

    [counted] = HostCalls.objects.all()
    assert counted.by_others == 2


def test_calls_count_even_when_the_batch_that_made_them_fails(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(queue, "acme/api")
    planned = sweep(queue)

    def fails(*args: Any, **named: Any) -> None:
        raise RuntimeError("applying is broken")

    monkeypatch.setattr("reconciliation.services.batches._decide", fails)
    queue.drain()

    assert len(queue.remote.calls) == stored(planned).host_calls == 1


def test_one_repository_that_cannot_be_read_ends_no_lap(queue: Queue) -> None:
    for name in ("a", "b", "c"):
        due(queue, f"acme/{name}")
    queue.remote.fail("https://git.example/acme/b.git", RemoteNotFound("gone"))

    planned = sweep(queue)
    queue.drain()

    states = dict(
        ReconciliationTask.objects.filter(task_kind=TaskKind.OBSERVE_REFS).values_list(
            "repo", "state"
        )
    )
    assert states == {"a": "completed", "b": "dead", "c": "completed"}
    assert stored(planned).failed == 1
    assert stored(planned).host_calls == 3


def test_one_repository_that_breaks_the_program_ends_no_lap_either(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        due(queue, f"acme/{name}")
    read_heads = queue.remote.read_heads

    def breaks(target: Any) -> Any:
        if target.clone_url.endswith("/b.git"):
            raise ZeroDivisionError
        return read_heads(target)

    monkeypatch.setattr(queue.remote, "read_heads", breaks)
    sweep(queue)
    queue.drain()

    tasks = ReconciliationTask.objects.filter(task_kind=TaskKind.OBSERVE_REFS)
    assert dict(tasks.values_list("repo", "state")) == {
        "a": "completed",
        "b": "queued",
        "c": "completed",
    }


def test_what_failed_and_is_mended_has_failed_no_longer(queue: Queue) -> None:
    row = due(queue, "acme/b")
    queue.remote.fail(row.clone_url, RemoteNotFound("gone"))
    planned = sweep(queue)
    queue.drain()
    assert stored(planned).failed == 1

    queue.remote.fail(row.clone_url, None)
    queue.observe(row, about="webhook")
    queue.drain()

    assert stored(planned).failed == 0


def test_what_failed_and_is_discarded_is_no_dead_letter_any_more(queue: Queue) -> None:
    row = due(queue, "acme/b")
    queue.remote.fail(row.clone_url, RemoteNotFound("gone"))
    planned = sweep(queue)
    queue.drain()

    discard_dead_letters(
        DeadLetterChoice(),
        caller=EVERYONE,
        reason="the repository is gone",
        correlation_id="discard",
        now=queue.clock.now,
    )

    assert stored(planned).failed == 0


def test_after_three_days_of_downtime_one_lap_catches_up(queue: Queue) -> None:
    for number in range(5):
        due(queue, f"acme/r{number}")
    sweep(queue)
    queue.drain()
    queue.clock.forward(days=3)

    ticks = []
    for _ in range(30):
        ticked = tick(
            budget=replace(WIDE, repositories=2),
            body_retention=timedelta(days=30),
            correlation_id="tick",
            now=queue.clock.now,
        )
        ticks.append(ticked.planned)
        queue.drain()
        queue.clock.forward(minutes=1)

    assert ticks[:4] == [2, 2, 1, 0], "each once, within the budget; missed turns are not made up"
    assert sum(ticks) == 5


def test_sweep_after_sweep_is_spread_over_time_and_planned_in_one_order(queue: Queue) -> None:
    for number in range(5):
        due(queue, f"acme/r{number}")

    planned = sweep(queue)

    moments = set(RepositoryWatch.objects.values_list("next_due_at", flat=True))
    assert len(moments) == 5, "jitter is on when"
    assert [item.repo for item in planned.worklist.items] == ["r0", "r1", "r2", "r3", "r4"]


def test_the_same_slot_planned_again_adds_nothing_and_sets_nothing(queue: Queue) -> None:
    due(queue, "acme/api")
    first = sweep(queue)
    before = list(ReconciliationTask.objects.values()), list(RepositoryWatch.objects.values())

    again = sweep(queue, everything=True)

    assert stored(again).pk == stored(first).pk
    after = list(ReconciliationTask.objects.values()), list(RepositoryWatch.objects.values())
    assert after == before


def test_webhook_work_overtakes_a_sweep_that_was_planned_before_it(queue: Queue) -> None:
    due(queue, "acme/a")
    sweep(queue)
    queue.observe(due(queue, "acme/z"), about="webhook")

    [first] = queue.claim(limit=1)

    assert first.repo == "z"


def test_hosts_that_are_not_named_yet_are_filled_in_once(queue: Queue) -> None:
    watched(2, tenant="acme", host="git.example:8443")

    assert fill_in_hosts() == 2
    assert fill_in_hosts() == 0
    assert set(RepositoryWatch.objects.values_list("host", flat=True)) == {"git.example:8443"}


def test_the_tick_forgets_calls_of_more_than_a_day_ago(queue: Queue) -> None:
    for hours in (23, 25):
        HostCalls.objects.create(
            host="git.example",
            minute=NOON - timedelta(hours=hours),
            by_sweeps=1,
            by_others=0,
            readings=1,
        )

    tick(budget=None, body_retention=timedelta(days=30), correlation_id="tick", now=NOON)

    assert HostCalls.objects.count() == 1
