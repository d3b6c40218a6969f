"""Drains the queue: claims batch after batch in canonical order until nothing is due.

The clock is handed in as a callable, because a drain lasts; what a batch means is `batches`.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from reconciliation.models import Heartbeat
from reconciliation.services.apply import Applied
from reconciliation.services.apply.giving_back import give_back
from reconciliation.services.batch_time import BatchTime
from reconciliation.services.batches import Clock, work_batch
from reconciliation.services.circuit_keeping import keep_circuits
from reconciliation.services.claim_keeping import ClaimKeeper
from reconciliation.services.claiming import claim
from reconciliation.services.observe import Remote
from reconciliation.services.observe.values import OUT_OF_TIME
from reconciliation.services.queue import ClaimedTask
from reconciliation.services.reap import reap_lost_claims

logger = logging.getLogger("reconciler.execute")

Stop = Callable[[], bool]

_HEARTBEAT_EVERY = timedelta(seconds=10)
_CLAIMS_PER_BATCH = 5
_RECONNECT_PAUSES_SECONDS = (0.2, 1.0, 3.0, 6.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one drain may do: tasks a batch; seconds of a claim, of all, and of a batch."""

    batch: int
    claim_seconds: int
    total_seconds: int
    batch_seconds: int = 30

    @property
    def claim(self) -> timedelta:
        """How long a claim lasts unless its worker extends it."""
        return timedelta(seconds=self.claim_seconds)

    @property
    def claim_at_most(self) -> timedelta:
        """How long a batch may go on extending its claims before it is taken for hung."""
        return max(self.claim * _CLAIMS_PER_BATCH, timedelta(seconds=2 * self.batch_seconds))

    @property
    def total(self) -> timedelta:
        """After this time nothing more is claimed."""
        return timedelta(seconds=self.total_seconds)


@dataclass(slots=True)
class Drained:
    """What a drain did, in tasks; `ran_out_of_time` when work was left for a successor."""

    worker: str
    completed: int = 0
    deferred: int = 0
    retried: int = 0
    dead: int = 0
    lost: int = 0
    given_back: int = 0
    held: int = 0
    batches: int = 0
    ran_out_of_time: bool = False
    kinds: dict[str, int] = field(default_factory=dict)

    def add(self, applied: Applied) -> None:
        """Count a batch."""
        self.completed += applied.completed
        self.deferred += applied.deferred
        self.retried += applied.retried
        self.dead += applied.dead
        self.lost += applied.lost
        self.given_back += applied.given_back
        self.held += applied.held
        self.batches += 1

    def include(self, other: "Drained") -> None:
        """Count what another drain did; whether time was left is what that one says."""
        self.completed += other.completed
        self.deferred += other.deferred
        self.retried += other.retried
        self.dead += other.dead
        self.lost += other.lost
        self.given_back += other.given_back
        self.held += other.held
        self.batches += other.batches
        self.ran_out_of_time = other.ran_out_of_time
        for kind, number in other.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + number


def drain(
    *,
    worker: str,
    remote: Remote,
    clock: Clock,
    limits: Limits,
    should_stop: Stop = lambda: False,
    progress: Callable[[], None] = lambda: None,
) -> Drained:
    """Work off what is due, in canonical order, until the queue is idle or the time is up.

    Claims that ran out are taken back first. A stop is noticed between batches, and inside one
    before each exchange with a remote: what was read is applied, the rest is given back.
    What waits for a host that is down is not claimed; see `circuit_keeping`.
    `progress` is called after every batch, and every few seconds during a long one.

    Raises:
        DatabaseError, InterfaceError: the database does not answer; claims were given back if it
            came back within seconds, and run out by themselves if not.
    """
    started = clock()
    done = Drained(worker)
    reap_lost_claims(now=started)
    beaten_at = started
    turns = _Turns(worker, limits)
    keeper = ClaimKeeper(
        lasts=limits.claim,
        at_most=limits.claim_at_most,
        clock=clock,
        progress=progress,
    )
    with keeper:
        while not should_stop():
            now = clock()
            if now - started > limits.total:
                done.ran_out_of_time = True
                break
            keep_circuits(now=now)
            tasks = turns.claim(now=now)
            if not tasks:
                break
            keeper.hold(tasks)
            batch_time = BatchTime(
                seconds=limits.batch_seconds, clock=clock, should_stop=should_stop
            )
            _work_or_give_back(tasks, done, batch_time, remote=remote, worker=worker, clock=clock)
            keeper.hold(())
            progress()
            if clock() - beaten_at >= _HEARTBEAT_EVERY:
                beaten_at = clock()
                _beat(done, now=beaten_at)
    _beat(done, now=clock())
    return done


class _Turns:
    """Whose turn it is in a drain: batches begin with another tenant each time."""

    def __init__(self, worker: str, limits: Limits) -> None:
        self._worker = worker
        self._limits = limits
        self._after = ""
        self._was_slow = False

    def claim(self, *, now: datetime) -> list[ClaimedTask]:
        """Claim a batch; after one of slow tasks another kind of batch, if anything else is due."""
        tasks = (self._was_slow and self._claim(now, slow=False)) or self._claim(now, slow=True)
        self._was_slow = any(task.last_error_code == OUT_OF_TIME for task in tasks)
        served = sorted({task.tenant for task in tasks}, key=lambda one: (one <= self._after, one))
        if served:
            is_full = len(tasks) >= self._limits.batch
            self._after = served[-1] if is_full else served[0]
        return tasks

    def _claim(self, now: datetime, *, slow: bool) -> list[ClaimedTask]:
        return claim(
            worker=self._worker,
            now=now,
            limit=self._limits.batch,
            lasts=self._limits.claim,
            after=self._after,
            slow=slow,
        )


def _work_or_give_back(
    tasks: Sequence[ClaimedTask],
    done: Drained,
    batch_time: BatchTime,
    *,
    remote: Remote,
    worker: str,
    clock: Clock,
) -> None:
    for task in tasks:
        done.kinds[task.task_kind] = done.kinds.get(task.task_kind, 0) + 1
    try:
        done.add(
            work_batch(
                tasks,
                remote=batch_time.limited(remote),
                worker=worker,
                clock=clock,
                explain=batch_time.explained,
            )
        )
    except (OperationalError, InterfaceError) as error:
        logger.warning("batch.database_gone tasks=%d error=%s", len(tasks), error)
        if not _give_back_when_it_answers(tasks, done, worker=worker, clock=clock):
            raise


def _give_back_when_it_answers(
    tasks: Sequence[ClaimedTask], done: Drained, *, worker: str, clock: Clock
) -> bool:
    for seconds in _RECONNECT_PAUSES_SECONDS:
        time.sleep(seconds)
        connection.close()
        try:
            done.given_back += give_back(tasks, worker=worker, now=clock())
        except DatabaseError as error:
            logger.warning("batch.not_given_back tasks=%d error=%s", len(tasks), error)
            continue
        return True
    return False


def _beat(done: Drained, *, now: datetime) -> None:
    Heartbeat.objects.update_or_create(
        name="worker", defaults={"at": now, "detail": f"{done.worker} {done.completed} completed"}
    )
