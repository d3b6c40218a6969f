"""Brings the many ways in which hosts write a time to one; never asks what time it is now."""

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_TEXT: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ]"
    r"(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,12}))?"
    r" ?(?:(?P<utc>Z|UTC)|(?P<sign>[+-])(?P<hours>[0-9]{2}):?(?P<minutes>[0-9]{2}))?"
)
_NUMBER: Final = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,9})?")

_MILLISECONDS_FROM: Final = 100_000_000_000
"""Unix numbers from here on are milliseconds; as seconds they would lie after the year 5100."""

_FIRST_TRUE_YEAR: Final = 1971
"""Go and Unix zero times (years 1 and 1970) mean "not set"."""


def utc_text(value: str | float) -> str | None:
    """Return the moment as ISO 8601 text in UTC ("2026-11-23T08:24:40Z"), None if unreadable.

    Reads ISO 8601 with or without offset (without one means UTC), "2017-12-10 17:01:11 UTC", and
    Unix seconds or milliseconds as a number or as text. Fractions are cut at microseconds.
    """
    moment = _from_text(value) if isinstance(value, str) else _from_unix(value)
    if moment is None or moment.year < _FIRST_TRUE_YEAR:
        return None
    return moment.isoformat().replace("+00:00", "Z")


def _from_text(text: str) -> datetime | None:
    if _NUMBER.fullmatch(text):
        return _from_unix(float(text))
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    fraction = (match["fraction"] or "").ljust(6, "0")[:6]
    try:
        moment = datetime.fromisoformat(f"{match['date']}T{match['clock']}")
        return moment.replace(microsecond=int(fraction), tzinfo=_zone(match)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(match: re.Match[str]) -> timezone:
    if match["sign"] is None:
        return UTC
    offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    return timezone(offset if match["sign"] == "+" else -offset)


def _from_unix(number: float) -> datetime | None:
    if not math.isfinite(number) or number < 0:
        return None
    seconds = number / 1000 if number >= _MILLISECONDS_FROM else number
    try:
        return datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None
