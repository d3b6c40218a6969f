"""Counts calls to hosts, in the thread that makes them; knows neither hosts nor budgets.

A call is one request of our own client, or one git process that talks to a remote.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Calls:
    """How many calls were made so far."""

    made: int = 0


class _Here(threading.local):
    counted: Calls | None = None


_here = _Here()


def note_call() -> None:
    """Count a call that is about to be made, if anybody counts in this thread."""
    if _here.counted is not None:
        _here.counted.made += 1


@contextmanager
def counted_calls() -> Iterator[Calls]:
    """Count the calls that this thread makes inside; where this is nested, the innermost counts."""
    outer, calls = _here.counted, Calls()
    _here.counted = calls
    try:
        yield calls
    finally:
        _here.counted = outer
