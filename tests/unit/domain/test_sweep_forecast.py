"""The planner's forecast: checked against the planner itself, tick after tick."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.sweep_forecast import Forecast, Group, Terms, forecast
from reconciliation.domain.sweep_plan import DueRepository, choose
from tests.unit.evaluators.facts import NOON

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def terms(
    *, tick_takes: int = 100, tenant: int = 1000, hosts: dict[str, int] | None = None
) -> Terms:
    return Terms(tick_takes, tenant, hosts or {}, tick=MINUTE, interval=HOUR)


def group(tenant: str, repositories: int, *, host: str = "h", due: int = 0) -> Group:
    return Group(tenant, host, repositories, due, NOON + HOUR)


def told(found: Forecast) -> dict[str, tuple[float | None, str]]:
    """Return minutes between checks, and what limits them, by tenant."""
    return {
        one.group.tenant: (
            None if one.interval is None else one.interval / MINUTE,
            one.limited_by,
        )
        for one in found.groups
    }


def test_with_budget_enough_everything_is_checked_as_often_as_set() -> None:
    found = forecast([group("a", 1000)], terms=terms(), now=NOON)

    assert told(found) == {"a": (60, "")}
    assert found.length == HOUR
    assert found.ends_at == NOON + HOUR


def test_twice_what_the_budget_takes_is_checked_half_as_often() -> None:
    found = forecast([group("a", 12_000)], terms=terms(), now=NOON)

    assert told(found) == {"a": (120, "budget")}
    assert found.ends_at == NOON + 2 * HOUR


def test_a_tenant_beyond_its_cap_slows_down_alone() -> None:
    found = forecast([group("a", 6_000), group("b", 60)], terms=terms(tenant=25), now=NOON)

    assert told(found) == {"a": (240, "tenant_cap"), "b": (60, "")}
    assert found.length == 4 * HOUR


def test_a_host_without_room_slows_down_its_own() -> None:
    groups = [group("a", 600, host="slow"), group("b", 600, host="fast")]

    found = forecast(groups, terms=terms(hosts={"slow": 5}), now=NOON)

    assert told(found) == {"a": (120, "host_budget"), "b": (60, "")}


def test_a_host_with_no_room_at_all_has_no_end_of_the_lap() -> None:
    found = forecast([group("a", 1, host="full")], terms=terms(hosts={"full": 0}), now=NOON)

    assert told(found) == {"a": (None, "host_budget")}
    assert (found.length, found.ends_at) == (None, None)


def test_small_tenants_are_not_slowed_down_by_a_large_one() -> None:
    found = forecast([group("big", 60_000), group("small", 60)], terms=terms(), now=NOON)

    assert told(found)["small"] == (60, "")
    assert found.groups[0].is_starved


def test_after_downtime_the_lap_ends_when_the_backlog_is_worked_off() -> None:
    late = Group("a", "h", 3_000, 3_000, NOON - HOUR)

    found = forecast([late], terms=terms(), now=NOON)

    assert told(found) == {"a": (60, "")}
    assert found.ends_at == NOON + timedelta(minutes=30)


def test_nothing_to_check_is_no_lap() -> None:
    assert forecast([], terms=terms(), now=NOON) == Forecast((), 0, 0, None, None)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            group,
            st.sampled_from("abc"),
            st.integers(1, 500),
            host=st.sampled_from(["h", "i"]),
        ),
        unique_by=lambda one: (one.tenant, one.host),
        max_size=6,
    ),
    st.integers(0, 20),
    st.integers(0, 8),
    st.integers(0, 9),
    st.randoms(use_true_random=False),
)
def test_any_order_of_groups_gives_the_same_and_nobody_is_promised_more_than_the_budget(
    groups: list[Group], tick_takes: int, tenant: int, host: int, chance: object
) -> None:
    mixed = list(groups)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    limits = terms(tick_takes=tick_takes, tenant=tenant, hosts={"h": host})

    found = forecast(groups, terms=limits, now=NOON)

    assert found == forecast(mixed, terms=limits, now=NOON)
    rates = {
        (one.group.tenant, one.group.host): one.group.repositories / (one.interval / MINUTE)
        for one in found.groups
        if one.interval
    }
    assert sum(rates.values()) <= tick_takes + 1e-6
    for name in "abc":
        assert sum(rate for key, rate in rates.items() if key[0] == name) <= tenant + 1e-6
    assert sum(rate for key, rate in rates.items() if key[1] == "h") <= host + 1e-6


@pytest.mark.parametrize(
    ("sizes", "tick_takes", "tenant", "hosts"),
    [
        ({("a", "h"): 30}, 2, 9, {}),
        ({("a", "h"): 40, ("b", "h"): 5}, 4, 9, {}),
        ({("a", "h"): 40, ("b", "h"): 20}, 9, 2, {}),
        ({("a", "h"): 40, ("b", "i"): 10}, 9, 9, {"h": 2}),
    ],
)
def test_what_is_forecast_is_what_the_planner_then_does(
    sizes: dict[tuple[str, str], int], tick_takes: int, tenant: int, hosts: dict[str, int]
) -> None:
    """Run the planner for a long time and compare how often each group really had its turn."""
    interval = 10
    limits = Terms(tick_takes, tenant, hosts, tick=MINUTE, interval=interval * MINUTE)
    groups = [Group(who, host, number, 0, NOON) for (who, host), number in sizes.items()]
    due_at: dict[tuple[str, str, int], datetime] = {
        (who, host, index): NOON for (who, host), number in sizes.items() for index in range(number)
    }
    turns = dict.fromkeys(sizes, 0)
    minutes = 600
    for minute in range(minutes):
        now = NOON + minute * MINUTE
        offered = [
            DueRepository(index, who, "main", f"{host}-{index:03}", moment, host)
            for (who, host, index), moment in due_at.items()
            if moment <= now
        ]
        choice = choose(offered, budget=tick_takes, per_tenant=tenant, per_host=hosts)
        for one in choice.taken:
            due_at[one.tenant, one.host, one.repository_id] = now + interval * MINUTE
            turns[one.tenant, one.host] += 1

    for said in forecast(groups, terms=limits, now=NOON).groups:
        key = (said.group.tenant, said.group.host)
        assert said.interval is not None
        real = minutes * sizes[key] / turns[key]
        assert said.interval / MINUTE == pytest.approx(real, rel=0.1)
