"""Reads the moments that callers write: ISO 8601 in, UTC out, within bounds; pure.

The one parser of filters, bodies, addresses of pages and command lines. Databases refuse offsets
beyond 16 hours, and years near 1 and 9999 overflow when a time zone is applied: neither goes on.
"""

import re
from datetime import UTC, datetime

FIRST, LAST = datetime(1971, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)
"""No row of ours is older, and no deadline is later."""

_LONGEST_TEXT = 64
# In an address `+` is a space, unless it was written as %2B.
_LOST_PLUS = re.compile(r"(.*\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) (\d{2}:?\d{2})", re.ASCII)


class InvalidMoment(ValueError):
    """A text is no moment, or one that cannot be stored and compared."""


def moment_of(text: str, *, needs_offset: bool = False) -> datetime:
    """Return the moment in UTC; a text without an offset is UTC, unless it needs one.

    Raises:
        InvalidMoment: it is none, or lies before 1971 or after 9997.
    """
    try:
        moment = _parsed(text.strip())
        if moment.tzinfo is None and not needs_offset:
            moment = moment.replace(tzinfo=UTC)
        if moment.tzinfo is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidMoment(
            f"{text[:_LONGEST_TEXT]!r} is no moment: write it as 2026-03-02T12:00:00Z."
        ) from None
    if not FIRST <= moment < LAST:
        raise InvalidMoment(f"{text!r} is out of range: years from 1971 to 9997 are understood.")
    return moment


def _parsed(text: str) -> datetime:
    if len(text) > _LONGEST_TEXT or not text.isascii():
        raise ValueError
    lost = _LOST_PLUS.fullmatch(text)
    return datetime.fromisoformat(f"{lost[1]}+{lost[2]}" if lost else text)
