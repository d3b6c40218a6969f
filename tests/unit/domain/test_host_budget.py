"""How much of a host's budget sweeps may plan: four fifths, less what others took beyond theirs."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.domain.host_budget import LOCAL, HostAllowance, HostUse, allowance, host_of_url

A_MINUTE = Fraction(1)


def allowed(
    *, budget: int = 100, minutes: Fraction = A_MINUTE, waiting: int = 0, **used: int
) -> HostAllowance:
    use = HostUse(**{"minutes": 5, **used})
    return allowance(
        "git.example", calls_per_minute=budget, minutes=minutes, used=use, waiting=waiting
    )


def test_an_idle_host_gives_sweeps_four_fifths_and_keeps_a_fifth() -> None:
    assert allowed().repositories == 80


def test_webhook_work_within_its_fifth_costs_sweeps_nothing() -> None:
    assert allowed(by_others=5 * 20).repositories == 80
    assert allowed(by_others=5 * 21).repositories == 79


def test_webhook_work_may_use_all_of_it_and_then_sweeps_plan_nothing() -> None:
    assert allowed(by_others=5 * 99).repositories == 1
    assert allowed(by_others=5 * 100).repositories == 0
    assert allowed(by_others=5 * 250).is_exhausted


def test_what_a_repository_really_costs_counts() -> None:
    """Readings that led to fetches took two calls each: half as many repositories fit."""
    assert allowed(by_sweeps=200, readings=100).repositories == 40


def test_a_reading_never_counts_as_less_than_a_call() -> None:
    assert allowed(by_sweeps=1, readings=100).repositories == 80


def test_calls_without_a_reading_are_those_of_one() -> None:
    assert allowed(by_sweeps=4, readings=0).repositories == 20


def test_what_is_planned_and_not_yet_read_takes_its_room() -> None:
    assert allowed(waiting=79).repositories == 1
    assert allowed(waiting=80).repositories == 0
    assert allowed(waiting=500).repositories == 0


def test_a_longer_tick_has_room_for_more() -> None:
    assert allowed(minutes=Fraction(5)).repositories == 400
    assert allowed(minutes=Fraction(1, 2)).repositories == 40


@pytest.mark.parametrize("budget", [0, -1])
def test_without_a_budget_nothing_is_bounded(budget: int) -> None:
    assert allowed(budget=budget, by_others=10**6).repositories is None


def test_reading_folders_of_this_machine_calls_nobody() -> None:
    here = allowance(LOCAL, calls_per_minute=1, minutes=A_MINUTE, used=HostUse(), waiting=9)

    assert here.repositories is None


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 1000))
def test_sweeps_never_plan_into_the_fifth_that_is_kept(
    budget: int, by_sweeps: int, by_others: int, readings: int
) -> None:
    found = allowed(budget=budget, by_sweeps=by_sweeps, by_others=by_others, readings=readings)

    assert found.repositories is not None
    assert found.repositories * found.calls_per_reading <= budget * 0.8 + 1e-6
    assert found.repositories * found.calls_per_reading <= max(0, budget - by_others / 5) + 1e-6


@pytest.mark.parametrize(
    ("clone_url", "host"),
    [
        ("https://git.example/acme/api.git", "git.example"),
        ("https://Git.Example:443/acme/api.git", "git.example"),
        ("https://git.example:8443/acme/api.git", "git.example:8443"),
        ("http://127.0.0.1:3000/acme/api", "127.0.0.1:3000"),
        ("https://org@dev.azure.com/org/p/_git/r", "dev.azure.com"),
        ("ssh://git@git.example:22/acme/api.git", "git.example"),
        ("ssh://git@git.example:2222/acme/api.git", "git.example:2222"),
        ("git@git.example:acme/api.git", "git.example"),
        ("https://[::1]:8080/acme/api.git", "[::1]:8080"),
        ("/srv/git/acme/api.git", LOCAL),
        ("/srv/git/a:b.git", LOCAL),
        ("file:///srv/git/acme/api.git", LOCAL),
        ("", LOCAL),
    ],
)
def test_repositories_share_the_budget_of_their_host_and_port(clone_url: str, host: str) -> None:
    assert host_of_url(clone_url) == host
