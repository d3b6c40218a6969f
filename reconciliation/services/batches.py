"""Works one claimed batch: observe → evaluate → apply; the one edge where the unexpected is caught.

Every batch is decided at one `now`, read from the clock that is handed in.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection

from audit.correlation import correlated
from audit.domain.canonical import canonical_json
from governance.services.policies import PolicyResolver
from reconciliation.domain.codec import encode
from reconciliation.domain.retry import ErrorClass
from reconciliation.evaluators import EVALUATORS
from reconciliation.models import TaskKind
from reconciliation.services.apply import Applied, Worked, apply
from reconciliation.services.host_calls import record_calls
from reconciliation.services.observe import (
    Batch,
    CountingRemote,
    Gathered,
    Remote,
    Trouble,
    observe,
)
from reconciliation.services.queue import ClaimedTask

logger = logging.getLogger("reconciler.execute")

Clock = Callable[[], datetime]
Explain = Callable[[Trouble], Trouble]


def work_batch(
    tasks: Sequence[ClaimedTask],
    *,
    remote: Remote,
    worker: str,
    clock: Clock,
    explain: Explain = lambda trouble: trouble,
) -> Applied:
    """Observe, evaluate and apply a claimed batch; `explain` says what the end of its time means.

    When something unexpected happens the batch is tried again task by task, so that one bad task
    costs only itself; what fails alone is retried later with its error on the task.

    Raises:
        OperationalError, InterfaceError: the database is gone. That is no fault of the tasks:
            the caller gives them back.
    """
    looks = [task for task in tasks if task.task_kind == TaskKind.OBSERVE_REFS]
    if looks and len(looks) < len(tasks):
        # Observations sort first: what is decided behind them is decided on the heads they saw.
        checks = [task for task in tasks if task.task_kind != TaskKind.OBSERVE_REFS]
        return Applied.total(
            work_batch(part, remote=remote, worker=worker, clock=clock, explain=explain)
            for part in (looks, checks)
        )
    now = clock()
    try:
        return _work(tasks, remote=remote, worker=worker, now=now, clock=clock, explain=explain)
    except Exception as error:
        if isinstance(error, OperationalError | InterfaceError) and not connection.is_usable():
            raise
        if len(tasks) == 1:
            return _give_up_for_now(tasks[0], error, worker=worker, now=clock())
        logger.warning("batch.failed tasks=%d error=%s", len(tasks), type(error).__name__)
    return Applied.total(
        work_batch([task], remote=remote, worker=worker, clock=clock, explain=explain)
        for task in tasks
    )


def _work(
    tasks: Sequence[ClaimedTask],
    *,
    remote: Remote,
    worker: str,
    now: datetime,
    clock: Clock,
    explain: Explain,
) -> Applied:
    counting = CountingRemote(remote)
    try:
        seen, policies = observe(tasks, remote=counting, now=now)
    finally:
        record_calls(tasks, counting.calls, now=now)
    seen.troubles = [explain(trouble) for trouble in seen.troubles]
    worked = [_decide(one, now=now) for one in seen.gathered]
    applied = apply(
        worked,
        seen.troubles,
        seen.outdated,
        policies=policies,
        worker=worker,
        now=now,
        ended_at=clock(),
    )
    _log(worked, seen, now=now)
    return applied


def _decide(one: Gathered, *, now: datetime) -> Worked:
    _, evaluate = EVALUATORS[one.task.task_kind]
    decision = evaluate(one.facts, one.policy, now)
    text = canonical_json(encode(decision))
    return Worked(
        gathered=one,
        decision=decision,
        decision_text=text,
        decision_digest=hashlib.sha256(text.encode()).hexdigest(),
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
