"""The one canonical form of data that is hashed, compared or replayed; pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys, no spaces and unescaped UTF-8.

    Same value, same text, on every Python, hash seed, locale and time zone. Floats are refused:
    their text is not portable. Datetimes are written in UTC with microseconds.

    Raises:
        TypeError: a float, a key that is no text, or a value that JSON does not know.
        ValueError: a naive datetime.
    """
    _refuse_floats(value)
    return _encode(value)


def sha256_of(value: Any) -> str:
    """Return the SHA-256, as 64 hex digits, of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def utc_text(moment: datetime) -> str:
    """Return an aware datetime as `2026-01-31T12:00:00.000000Z`.

    Raises:
        ValueError: the datetime is naive, so its instant is unknown.
    """
    if moment.utcoffset() is None:
        raise ValueError(f"naive datetime {moment!r}: attach a time zone")
    # Not strftime: it leaves years before 1000 unpadded on some platforms.
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _as_text(value: object) -> str:
    if isinstance(value, datetime):
        return utc_text(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


# Made once: `json.dumps` would make an encoder for every call.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_as_text
).encode


# Made once: every entry, key and decision is written by it.
_ENCODER = json.JSONEncoder(
    sort_keys=True,
    separators=(",", ":"),
    ensure_ascii=False,
    allow_nan=False,
    default=_as_text,
)
_HARMLESS = frozenset({str, int, bool, type(None)})


def _refuse_floats(value: Any) -> None:
    """Look at every value; the harmless ones, which are nearly all, without a call for each."""
    if isinstance(value, float):
        raise TypeError("floats have no portable text: use integers or strings")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys are text, not {type(key).__name__}")
            if type(item) not in _HARMLESS:
                _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            if type(item) not in _HARMLESS:
                _refuse_floats(item)
