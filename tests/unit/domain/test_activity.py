"""Moments that cannot be true are unknown."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciliation.domain.activity import committed_at, if_true
from tests.factories.governance import NOON

INSTANT = timedelta(microseconds=1)
DAY = timedelta(days=1)
FIRST = datetime(1971, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("moment", [FIRST, NOON, NOON + DAY])
def test_a_moment_that_can_be_true_is_taken_as_it_is(moment: datetime) -> None:
    assert if_true(moment, now=NOON) == moment


@pytest.mark.parametrize("moment", [None, FIRST - INSTANT, NOON + DAY + INSTANT])
def test_a_moment_that_cannot_be_true_is_unknown(moment: datetime | None) -> None:
    assert if_true(moment, now=NOON) is None


@pytest.mark.parametrize("seconds", [0, -1, 253402300800, 2**63, -(2**63), 10**18])
def test_a_commit_date_that_cannot_be_true_is_unknown(seconds: int) -> None:
    assert committed_at(seconds, now=NOON) is None
