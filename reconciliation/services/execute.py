"""Executes tasks: claim → observe → evaluate → apply, batch by batch, until nothing is due.

The clock is handed in as a callable, because a drain lasts; each batch is decided at one `now`.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from audit.correlation import correlated
from audit.domain.canonical import canonical_json, sha256_of
from governance.services.policies import PolicyResolver
from reconciliation.domain.codec import encode
from reconciliation.domain.retry import ErrorClass
from reconciliation.evaluators import EVALUATORS
from reconciliation.models import Heartbeat
from reconciliation.services.apply import Applied, Worked, apply
from reconciliation.services.observe import Batch, Gathered, Remote, Trouble, observe
from reconciliation.services.queue import ClaimedTask, claim, give_back
from reconciliation.services.reap import reap_lost_claims

logger = logging.getLogger("reconciler.execute")

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one drain may do: batch size, claim time, total time (the last two in seconds)."""

    batch: int
    claim_seconds: int
    total_seconds: int


@dataclass(slots=True)
class Drained:
    """What a drain did, in tasks; `ran_out_of_time` when work was left for a successor."""

    worker: str
    completed: int = 0
    deferred: int = 0
    retried: int = 0
    dead: int = 0
    lost: int = 0
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
        self.batches += 1


def drain(
    *,
    worker: str,
    remote: Remote,
    clock: Clock,
    limits: Limits,
    should_stop: Callable[[], bool] = lambda: False,
) -> Drained:
    """Work off what is due, in canonical order, until the queue is idle or the time is up.

    Claims that ran out are taken back first. Stopping is noticed between batches: the batch at
    hand is finished, nothing more is claimed.
    """
    started = clock()
    done = Drained(worker)
    reap_lost_claims(now=started)
    while not should_stop():
        now = clock()
        if now - started > timedelta(seconds=limits.total_seconds):
            done.ran_out_of_time = True
            break
        tasks = claim(
            worker=worker,
            now=now,
            limit=limits.batch,
            lasts=timedelta(seconds=limits.claim_seconds),
        )
        if not tasks:
            break
        for task in tasks:
            done.kinds[task.task_kind] = done.kinds.get(task.task_kind, 0) + 1
        done.add(work_batch(tasks, remote=remote, worker=worker, clock=clock))
    Heartbeat.objects.update_or_create(
        name="worker", defaults={"at": clock(), "detail": f"{worker} {done.completed} completed"}
    )
    return done


def work_batch(
    tasks: Sequence[ClaimedTask], *, remote: Remote, worker: str, clock: Clock
) -> Applied:
    """Observe, evaluate and apply a claimed batch.

    Unexpected errors are caught here, once: the batch is tried again task by task, so that one bad
    task costs only itself, and what fails alone is retried later with its error on the task.
    """
    now = clock()
    try:
        return _work(tasks, remote=remote, worker=worker, now=now)
    except Exception as error:  # noqa: BLE001 - the one edge where the unexpected is caught
        if len(tasks) == 1:
            return _give_up_for_now(tasks[0], error, worker=worker, now=now)
        logger.warning("batch.failed tasks=%d error=%s", len(tasks), type(error).__name__)
    outcomes = [work_batch([task], remote=remote, worker=worker, clock=clock) for task in tasks]
    return Applied(
        completed=sum(one.completed for one in outcomes),
        deferred=sum(one.deferred for one in outcomes),
        retried=sum(one.retried for one in outcomes),
        dead=sum(one.dead for one in outcomes),
        lost=sum(one.lost for one in outcomes),
    )


def release(tasks: Sequence[ClaimedTask]) -> int:
    """Give claimed tasks back unchanged."""
    return give_back(tasks)


def _work(tasks: Sequence[ClaimedTask], *, remote: Remote, worker: str, now: datetime) -> Applied:
    seen, policies = observe(tasks, remote=remote, now=now)
    worked = [_decide(one, now=now) for one in seen.gathered]
    applied = apply(worked, seen.troubles, seen.outdated, policies=policies, worker=worker, now=now)
    _log(worked, seen, now=now)
    return applied


def _decide(one: Gathered, *, now: datetime) -> Worked:
    _, evaluate = EVALUATORS[one.task.task_kind]
    decision = evaluate(one.facts, one.policy, now)
    value = encode(decision)
    return Worked(
        gathered=one,
        decision=decision,
        decision_text=canonical_json(value),
        decision_digest=sha256_of(value),
        now=now,
    )


def _give_up_for_now(task: ClaimedTask, error: Exception, *, worker: str, now: datetime) -> Applied:
    with correlated(task.correlation_id):
        logger.error(
            "task.failed kind=%s repo=%s/%s branch=%s attempt=%d",
            task.task_kind,
            task.tenant,
            task.repo,
            task.branch,
            task.attempts,
            exc_info=error,
        )
    message = f"Unexpected {type(error).__name__}: {error}. The log has more under this task's id."
    trouble = Trouble(task, ErrorClass.TRANSIENT, f"unexpected_{type(error).__name__}", message)
    return apply([], [trouble], [], policies=PolicyResolver({}), worker=worker, now=now)


def _log(worked: Sequence[Worked], seen: Batch, *, now: datetime) -> None:
    for one in worked:
        task = one.task
        with correlated(task.correlation_id):
            logger.info(
                "task.done kind=%s repo=%s/%s branch=%s attempt=%d decision=%s latency_ms=%d",
                task.task_kind,
                task.tenant,
                task.repo,
                task.branch,
                task.attempts,
                one.decision.decision,
                (now - task.announced_at).total_seconds() * 1000,
            )
    for trouble in seen.troubles:
        task = trouble.task
        with correlated(task.correlation_id):
            logger.warning(
                "task.trouble kind=%s repo=%s/%s branch=%s attempt=%d class=%s code=%s",
                task.task_kind,
                task.tenant,
                task.repo,
                task.branch,
                task.attempts,
                trouble.error_class,
                trouble.code,
            )
