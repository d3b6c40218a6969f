"""Decides which moments in foreign data can be true; pure.

A commit's date is what a clock said: it may be missing, zero, or in the year 10000. A moment that
cannot be true is unknown, and nothing is concluded from it.
"""

from datetime import UTC, datetime, timedelta

FIRST_TRUE_YEAR = 1971
"""Unix and Go zero times (years 1970 and 1) mean "not set"."""
CLOCK_SKEW = timedelta(days=1)
"""How far ahead of ours another clock may be: a local time written as UTC is up to 14 h off."""


def if_true(moment: datetime | None, *, now: datetime) -> datetime | None:
    """Return the moment, or None when it lies before 1971 or more than a day ahead of `now`."""
    if moment is None or moment.year < FIRST_TRUE_YEAR or moment > now + CLOCK_SKEW:
        return None
    return moment


def committed_at(unix_seconds: int, *, now: datetime) -> datetime | None:
    """Return when a commit was made, or None when its date cannot be true."""
    try:
        moment = datetime.fromtimestamp(unix_seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return if_true(moment, now=now)
