"""Which repositories a sweep takes: the longest waiting, fair between tenants, within its caps."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.sweep_plan import (
    Choice,
    DueRepository,
    also_skipped,
    choose,
    next_due,
)
from tests.unit.evaluators.facts import NOON

HOUR = timedelta(hours=1)


def due(tenant: str, repo: str, *, waits: int = 0, host: str = "") -> DueRepository:
    """Return a repository that has been due for so many minutes."""
    return DueRepository(0, tenant, "main", repo, NOON - timedelta(minutes=waits), host)


def names(choice: Choice) -> list[str]:
    return [f"{one.tenant}/{one.repo}" for one in choice.taken]


REPOSITORIES = st.lists(
    st.builds(
        due,
        tenant=st.sampled_from(["acme", "borealis", "cinder", "Delta"]),
        repo=st.sampled_from([f"repo-{number}" for number in range(8)]),
        waits=st.integers(0, 100),
    ),
    unique_by=lambda one: (one.tenant, one.repo),
    max_size=20,
)


@settings(deadline=None)
@given(REPOSITORIES, st.integers(0, 12), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_input_order_gives_the_same_choice(
    found: list[DueRepository], budget: int, per_tenant: int, chance: Any
) -> None:
    mixed = list(found)
    chance.shuffle(mixed)

    choice = choose(mixed, budget=budget, per_tenant=per_tenant)

    assert choice == choose(found, budget=budget, per_tenant=per_tenant)
    assert [(one.tenant, one.repo) for one in choice.taken] == sorted(
        (one.tenant, one.repo) for one in choice.taken
    )


@settings(deadline=None)
@given(REPOSITORIES, st.integers(0, 12), st.integers(1, 5))
def test_caps_hold_nothing_is_lost_and_the_budget_is_used(
    found: list[DueRepository], budget: int, per_tenant: int
) -> None:
    choice = choose(found, budget=budget, per_tenant=per_tenant)

    by_tenant = Counter(one.tenant for one in choice.taken)
    assert len(choice.taken) <= budget
    assert all(count <= per_tenant for count in by_tenant.values())
    assert len(choice.taken) + sum(count for _, count in choice.skipped) == len(found)
    available = sum(min(per_tenant, n) for n in Counter(one.tenant for one in found).values())
    assert len(choice.taken) == min(budget, available)


@settings(deadline=None)
@given(REPOSITORIES, st.integers(1, 12), st.integers(1, 5))
def test_no_tenant_gets_two_more_than_another_that_still_waits(
    found: list[DueRepository], budget: int, per_tenant: int
) -> None:
    choice = choose(found, budget=budget, per_tenant=per_tenant)

    taken = Counter(one.tenant for one in choice.taken)
    offered = Counter(one.tenant for one in found)
    waiting = [name for name in offered if taken[name] < min(per_tenant, offered[name])]
    for name in waiting:
        assert all(taken[other] <= taken[name] + 1 for other in offered)


@settings(deadline=None)
@given(REPOSITORIES, st.integers(0, 12), st.integers(1, 5))
def test_within_a_tenant_the_longest_waiting_go_first(
    found: list[DueRepository], budget: int, per_tenant: int
) -> None:
    taken = set(choose(found, budget=budget, per_tenant=per_tenant).taken)

    for one in taken:
        for left in set(found) - taken:
            if left.tenant == one.tenant:
                assert (one.due_at, one.repo) <= (left.due_at, left.repo)


def test_with_less_budget_than_tenants_the_longest_waiting_tenants_go_first() -> None:
    found = [due("a", "x", waits=1), due("b", "x", waits=3), due("c", "x", waits=2)]

    assert names(choose(found, budget=2, per_tenant=5)) == ["b/x", "c/x"]


def test_sweep_after_sweep_nobody_starves_not_even_the_last_by_name() -> None:
    """More is due than a sweep can take, for ever; every repository still has its turn."""
    due_at = {f"{tenant}/{repo}": 0 for tenant in "abcde" for repo in range(3)}
    last_taken = dict.fromkeys(due_at, 0)

    for minute in range(1, 60):
        found = [
            due(*name.split("/"), waits=minute - since)
            for name, since in due_at.items()
            if since <= minute
        ]
        for name in names(choose(found, budget=2, per_tenant=2)):
            due_at[name] = minute + 1
            last_taken[name] = minute

    assert min(last_taken.values()) >= 59 - 8


def test_what_is_left_and_why_is_told() -> None:
    found = [due("a", f"r{number}", waits=number) for number in range(5)]

    choice = choose([*found, due("b", "x")], budget=3, per_tenant=3)

    assert names(choice) == ["a/r3", "a/r4", "b/x"]
    assert choice.skipped == (("budget", 1), ("tenant_cap", 2))


def test_a_host_gets_no_more_than_it_has_room_for() -> None:
    found = [due("a", f"r{n}", waits=9 - n, host="small") for n in range(4)]

    choice = choose(found, budget=10, per_tenant=10, per_host={"small": 3})

    assert names(choice) == ["a/r0", "a/r1", "a/r2"]
    assert choice.skipped == (("host_budget", 1),)


def test_a_tenant_whose_host_is_full_has_its_turn_with_another_host() -> None:
    found = [
        due("a", "first", waits=9, host="full"),
        due("a", "second", waits=8, host="free"),
        due("b", "first", waits=7, host="free"),
    ]

    choice = choose(found, budget=2, per_tenant=1, per_host={"full": 0})

    assert names(choice) == ["a/second", "b/first"]
    assert choice.skipped == (("host_budget", 1),)


def test_tenants_share_what_room_a_host_has() -> None:
    found = [due("a", f"r{n}", waits=90 - n, host="h") for n in range(9)]
    found += [due("b", f"r{n}", waits=1, host="h") for n in range(9)]

    choice = choose(found, budget=100, per_tenant=100, per_host={"h": 4})

    assert names(choice) == ["a/r0", "a/r1", "b/r0", "b/r1"]


HOSTED = st.lists(
    st.builds(
        due,
        tenant=st.sampled_from(["acme", "borealis", "cinder"]),
        repo=st.sampled_from([f"repo-{number}" for number in range(8)]),
        waits=st.integers(0, 100),
        host=st.sampled_from(["one", "two", "unbounded"]),
    ),
    unique_by=lambda one: (one.tenant, one.repo),
    max_size=20,
)


@settings(deadline=None)
@given(
    HOSTED,
    st.integers(0, 12),
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_with_hosts_too_every_budget_holds_nobody_is_lost_and_order_is_no_matter(
    found: list[DueRepository], budget: int, per_tenant: int, one: int, two: int, chance: Any
) -> None:
    room = {"one": one, "two": two}
    mixed = list(found)
    chance.shuffle(mixed)

    choice = choose(found, budget=budget, per_tenant=per_tenant, per_host=room)

    assert choice == choose(mixed, budget=budget, per_tenant=per_tenant, per_host=room)
    by_host = Counter(one.host for one in choice.taken)
    by_tenant = Counter(one.tenant for one in choice.taken)
    assert all(by_host[host] <= limit for host, limit in room.items())
    assert all(number <= per_tenant for number in by_tenant.values())
    assert len(choice.taken) <= budget
    assert len(choice.taken) + sum(number for _, number in choice.skipped) == len(found)
    for left in set(found) - set(choice.taken):
        # Whoever was left was kept by a budget that is used up.
        assert (
            len(choice.taken) == budget
            or by_tenant[left.tenant] == per_tenant
            or by_host[left.host] == room.get(left.host)
        )


def test_what_was_only_counted_is_told_with_the_rest() -> None:
    choice = Choice((), (("budget", 1),))

    told = also_skipped(choice, {"budget": 2, "tenant_cap": 3, "waiting": 0})

    assert told.skipped == (("budget", 3), ("tenant_cap", 3))


def test_nothing_due_is_nothing_taken() -> None:
    assert choose([], budget=10, per_tenant=10) == Choice((), ())


def test_without_a_budget_all_is_left() -> None:
    assert choose([due("a", "x")], budget=0, per_tenant=1) == Choice((), (("budget", 1),))


@given(st.text(max_size=20), st.integers(0, 10**9))
def test_the_next_turn_is_an_interval_away_give_or_take_a_tenth(name: str, second: int) -> None:
    swept_at = NOON + timedelta(seconds=second)

    wait = next_due(name, swept_at=swept_at, interval=HOUR) - swept_at

    assert HOUR * 0.9 <= wait <= HOUR * 1.1
    assert next_due(name, swept_at=swept_at, interval=HOUR) - swept_at == wait


def test_repositories_that_were_connected_together_drift_apart() -> None:
    moments = {next_due(f"acme/r{n}", swept_at=NOON, interval=HOUR) for n in range(100)}

    assert len(moments) == 100
    assert max(moments) - min(moments) > timedelta(minutes=10)


@pytest.mark.parametrize("interval", [timedelta(0), timedelta(minutes=1), timedelta(days=30)])
def test_the_interval_is_the_callers(interval: timedelta) -> None:
    wait = next_due("acme/api", swept_at=NOON, interval=interval) - NOON

    assert interval * 0.9 <= wait <= interval * 1.1
