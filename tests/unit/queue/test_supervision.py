"""Judging a cluster by its progress: each limit at, just below and just above."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciliation.domain.supervision import (
    Patience,
    Signs,
    Verdict,
    judge,
    pause_before_restart,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PATIENCE = Patience(first=timedelta(seconds=30), next=timedelta(seconds=15))
AT_WORK = Signs(
    is_alive=True,
    fresh_since=NOON - timedelta(minutes=5),
    progress_at=NOON - timedelta(seconds=1),
    asked_at=None,
)
NEW = replace(AT_WORK, fresh_since=NOON - timedelta(seconds=29), progress_at=None)


def verdict(signs: Signs) -> Verdict:
    return judge(signs, patience=PATIENCE, now=NOON)


def test_a_cluster_that_makes_progress_is_proven() -> None:
    assert verdict(AT_WORK) is Verdict.PROVEN


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(14.9, Verdict.PROVEN), (15.0, Verdict.PROVEN), (15.1, Verdict.HUNG)],
)
def test_one_that_was_asked_and_gave_no_sign_for_too_long_is_hung(
    seconds: float, expected: Verdict
) -> None:
    asked = replace(AT_WORK, asked_at=NOON - timedelta(seconds=seconds))

    assert verdict(asked) is expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(29.9, Verdict.STARTING), (30.0, Verdict.STARTING), (30.1, Verdict.HUNG)],
)
def test_a_new_one_is_given_more_time_for_its_first_sign(seconds: float, expected: Verdict) -> None:
    asked = replace(NEW, asked_at=NOON - timedelta(seconds=seconds))

    assert verdict(asked) is expected


def test_one_that_could_not_be_asked_is_never_hung() -> None:
    silent_for_an_hour = replace(
        AT_WORK, fresh_since=NOON - timedelta(hours=2), progress_at=NOON - timedelta(hours=1)
    )

    assert verdict(silent_for_an_hour) is Verdict.PROVEN


def test_after_its_database_came_back_a_cluster_must_prove_itself_anew() -> None:
    back = replace(AT_WORK, fresh_since=NOON, progress_at=NOON - timedelta(seconds=40))

    assert verdict(back) is Verdict.STARTING
    assert verdict(replace(back, progress_at=NOON)) is Verdict.PROVEN


def test_one_whose_main_process_ended_is_gone_whatever_it_did_before() -> None:
    assert verdict(replace(AT_WORK, is_alive=False)) is Verdict.GONE


def test_restarts_slow_down_to_one_in_30_seconds() -> None:
    pauses = [pause_before_restart(failures).total_seconds() for failures in range(9)]

    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30, 30]
