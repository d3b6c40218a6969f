"""The life of a lease, each threshold just below, at, and just above."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.domain.lease_scopes import InvalidLease
from governance.domain.leases import (
    Owner,
    holder_token,
    is_expiring,
    is_over,
    lease_id,
    life_cap,
    lock_delay_left,
    proof_of_life,
    renew_after,
    renewed_expiry,
    ttl_within,
)
from governance.domain.policy import DEFAULT_DOCUMENT, policy_from_document
from tests.factories.governance import NOON

RULES = policy_from_document(DEFAULT_DOCUMENT).lease
TICK = timedelta(microseconds=1)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("requested", "expected"), [(None, 900), (60, 60), (61, 61), (3599, 3599), (3600, 3600)]
)
def test_a_ttl_within_the_policy_is_granted(requested: int | None, expected: int) -> None:
    assert ttl_within(RULES, requested) == expected


@pytest.mark.parametrize("requested", [-1, 0, 59, 3601])
def test_a_ttl_outside_of_the_policy_is_refused_and_not_bent(requested: int) -> None:
    with pytest.raises(InvalidLease, match="60-3600"):
        ttl_within(RULES, requested)


@pytest.mark.parametrize(
    ("left", "due"),
    [
        (seconds(301), False),
        (seconds(300) + TICK, False),
        (seconds(300), True),
        (seconds(299), True),
        (seconds(0), True),
        (seconds(-1), True),
    ],
)
def test_a_lease_is_expiring_when_at_most_a_third_of_its_ttl_is_left(
    left: timedelta, due: bool
) -> None:
    assert is_expiring(NOON + left, ttl_seconds=900, renew_at_ttl_fraction=3, now=NOON) is due


def test_renew_after_is_the_first_instant_at_which_the_lease_is_expiring() -> None:
    due_at = renew_after(NOON, ttl_seconds=900, renew_at_ttl_fraction=3)

    assert due_at == NOON - seconds(300)
    assert is_expiring(NOON, ttl_seconds=900, renew_at_ttl_fraction=3, now=due_at)
    assert not is_expiring(NOON, ttl_seconds=900, renew_at_ttl_fraction=3, now=due_at - TICK)


@pytest.mark.parametrize(("left", "over"), [(TICK, False), (seconds(0), True), (-TICK, True)])
def test_a_lease_is_over_at_its_expiry(left: timedelta, over: bool) -> None:
    assert is_over(NOON + left, now=NOON) is over


@pytest.mark.parametrize(
    ("lease_age", "run_ages", "proof"),
    [
        (299, [], "heartbeat"),
        (300, [], ""),
        (301, [], ""),
        (900, [299], "running_run"),
        (900, [300], ""),
        (900, [301], ""),
        (900, [900, 299], "running_run"),
        (299, [900], "heartbeat"),
        (299, [299], "running_run"),
    ],
)
def test_a_heartbeat_of_lease_or_run_proves_life_for_300_seconds(
    lease_age: int, run_ages: list[int], proof: str
) -> None:
    assert (
        proof_of_life(
            NOON - seconds(lease_age),
            run_heartbeats=[NOON - seconds(age) for age in run_ages],
            now=NOON,
            heartbeat_seconds=300,
        )
        == proof
    )


@pytest.mark.parametrize(("cap_in", "expected_in"), [(899, 899), (900, 900), (901, 900), (0, 0)])
def test_a_renewal_gives_a_full_ttl_up_to_the_life_cap(cap_in: int, expected_in: int) -> None:
    until = renewed_expiry(now=NOON, ttl_seconds=900, max_expires_at=NOON + seconds(cap_in))

    assert until == NOON + seconds(expected_in)


def test_the_life_cap_is_eight_hours_by_default() -> None:
    assert life_cap(RULES, acquired_at=NOON) == NOON + timedelta(hours=8)


@pytest.mark.parametrize(
    ("age", "left"),
    [
        (seconds(0), 15),
        (TICK, 15),
        (seconds(14), 1),
        (seconds(15) - TICK, 1),
        (seconds(15), 0),
        (seconds(15) + TICK, 0),
        (timedelta(days=1), 0),
    ],
)
def test_the_lock_delay_lasts_15_seconds_and_is_told_in_whole_seconds(
    age: timedelta, left: int
) -> None:
    assert lock_delay_left(NOON - age, lock_delay_seconds=15, now=NOON) == left


@given(st.integers(0, 60), st.timedeltas(timedelta(0), timedelta(minutes=2)))
def test_whoever_waits_as_long_as_told_finds_the_place_free(delay: int, age: timedelta) -> None:
    left = lock_delay_left(NOON - age, lock_delay_seconds=delay, now=NOON)

    later = NOON + seconds(left)
    assert lock_delay_left(NOON - age, lock_delay_seconds=delay, now=later) == 0


def test_a_policy_without_lock_delay_frees_a_place_at_once() -> None:
    rules = replace(RULES, lock_delay_seconds=0)

    assert lock_delay_left(NOON, lock_delay_seconds=rules.lock_delay_seconds, now=NOON) == 0


@pytest.mark.parametrize("text", ["a", "lease_a", "lse_0190:1.2-3", "x" * 100])
def test_a_lease_id_is_kept_as_given(text: str) -> None:
    assert lease_id(text) == text


@pytest.mark.parametrize("text", ["", "x" * 101, "a b", "a/b", "-a", "check", "a\n", "é"])
def test_a_lease_id_that_cannot_be_part_of_an_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidLease):
        lease_id(text)


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        *(("x" * 31, False), ("x" * 32, True), ("x" * 200, True), ("x" * 201, False)),
        *(("x" * 31 + " ", False), ("x" * 31 + "é", False), ("x" * 32 + "\n", False)),
    ],
)
def test_a_holder_token_is_long_enough_to_be_a_secret(text: str, fine: bool) -> None:
    if fine:
        assert holder_token(text) == text
    else:
        with pytest.raises(InvalidLease):
            holder_token(text)


@pytest.mark.parametrize(
    ("owner", "shown"),
    [
        (Owner("alice"), "alice"),
        (Owner("alice", agent_id="reach"), "alice/reach"),
        (Owner("alice", "laptop", "reach"), "alice/laptop/reach"),
    ],
)
def test_an_owner_is_shown_by_the_parts_that_are_known(owner: Owner, shown: str) -> None:
    assert str(owner) == shown
