"""The correlation id: made at an edge, carried through a thread of work, read by log and audit."""

import re
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
_current: ContextVar[str] = ContextVar("correlation_id", default="")


def new_correlation_id() -> str:
    """Return a fresh UUIDv7 (RFC 9562): sortable by time, unguessable in its last 74 bits.

    Only entry points call this; everything below them is handed the id.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def is_well_formed(candidate: str) -> bool:
    """Return whether a caller's id may be adopted: 8-64 letters, digits, `._:-`."""
    return _WELL_FORMED.fullmatch(candidate) is not None


def current_correlation_id() -> str:
    """Return the id bound to this thread of work, or the empty string outside of any."""
    return _current.get()


@contextmanager
def correlated(correlation_id: str) -> Iterator[str]:
    """Bind `correlation_id` for the length of the block."""
    token = _current.set(correlation_id)
    try:
        yield correlation_id
    finally:
        _current.reset(token)
