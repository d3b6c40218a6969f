"""Judges a cluster of workers by its progress, never by being alive; pure.

django-q2's processes can all be alive and yet never take another message: a worker killed while it
waits for one dies holding the queue's lock (its issue 23).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Verdict(StrEnum):
    """What a cluster is found to be.

    starting: no sign of progress yet, and not yet late. proven: it makes progress. hung: it was
    asked for a sign, and gave none in time. gone: its main process ended.
    """

    STARTING = "starting"
    PROVEN = "proven"
    HUNG = "hung"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a sign of progress: from a new cluster, and from one that made some."""

    first: timedelta = timedelta(seconds=30)
    next: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen of a cluster.

    `fresh_since` is its start, or when its database came back: either takes it some time.
    `asked_at` is when the oldest canary was sent that no progress followed; None when none is out,
    for instance because the database does not answer. Then nothing can be held against it.
    """

    is_alive: bool
    fresh_since: datetime
    progress_at: datetime | None
    asked_at: datetime | None


def judge(signs: Signs, *, patience: Patience, now: datetime) -> Verdict:
    """Return what a cluster is found to be."""
    if not signs.is_alive:
        return Verdict.GONE
    is_proven = signs.progress_at is not None and signs.progress_at >= signs.fresh_since
    wait = patience.next if is_proven else patience.first
    if signs.asked_at is not None and now - signs.asked_at > wait:
        return Verdict.HUNG
    return Verdict.PROVEN if is_proven else Verdict.STARTING


def pause_before_restart(failures: int) -> timedelta:
    """Return how long to wait before start number `failures` + 1: none first, then 1 s to 30 s.

    `failures` counts starts in a row that never made progress, so that a cluster which cannot
    start does not fill the log and the machine.
    """
    if failures == 0:
        return timedelta(0)
    return min(timedelta(seconds=30), timedelta(seconds=2 ** min(failures - 1, 10)))
