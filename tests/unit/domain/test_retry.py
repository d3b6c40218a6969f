"""Backoff: bounded, growing, different for every task, and the same whenever it is computed."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.domain.retry import BASE, CAP, MAX_ATTEMPTS, ErrorClass, backoff, is_exhausted

KEYS = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
CEILINGS = [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


@given(KEYS, st.integers(1, len(CEILINGS)))
def test_a_wait_lies_in_the_upper_half_of_its_ceiling(key: str, attempt: int) -> None:
    ceiling = timedelta(seconds=CEILINGS[attempt - 1])

    assert ceiling / 2 <= backoff(key, attempt) <= ceiling


@given(KEYS, st.integers(-3, 10_000))
def test_a_wait_is_never_shorter_than_half_the_base_nor_longer_than_the_cap(
    key: str, attempt: int
) -> None:
    assert BASE / 2 <= backoff(key, attempt) <= CAP


@given(KEYS, st.integers(1, 7))
def test_two_attempts_later_it_is_always_longer(key: str, attempt: int) -> None:
    later = backoff(key, attempt + 2)

    assert later > backoff(key, attempt) or later >= CAP / 2


@given(KEYS, st.integers(1, 20))
def test_the_same_attempt_of_the_same_task_always_waits_as_long(key: str, attempt: int) -> None:
    assert backoff(key, attempt) == backoff(key, attempt)


def test_the_waits_are_what_they_always_were() -> None:
    key = "0" * 64

    waits = [backoff(key, attempt) // timedelta(microseconds=1) for attempt in (1, 2, 7, 9)]

    assert waits == [2_500_789, 8_918_378, 284_287_198, 550_148_150]


def test_tasks_that_failed_together_do_not_come_back_together() -> None:
    waits = {backoff(f"{number:064x}", 3) for number in range(200)}

    assert len(waits) == 200
    assert max(waits) - min(waits) > timedelta(seconds=9)


def test_attempts_of_one_task_draw_anew() -> None:
    shares = {backoff("f" * 64, attempt) / CAP for attempt in range(8, 20)}

    assert len(shares) == 12


@pytest.mark.parametrize(("attempts", "exhausted"), [(0, False), (6, False), (7, True), (8, True)])
def test_after_the_last_attempt_there_is_none(attempts: int, exhausted: bool) -> None:
    assert is_exhausted(attempts=attempts, max_attempts=MAX_ATTEMPTS) is exhausted


def test_all_attempts_together_take_minutes_not_days() -> None:
    longest = sum((CAP if n > 8 else BASE * 2 ** (n - 1) for n in range(1, 7)), timedelta(0))

    assert longest == timedelta(seconds=315)


def test_the_classes_of_trouble_have_stable_names() -> None:
    assert {one.value for one in ErrorClass} == {"transient", "throttled", "terminal", "poison"}
