"""Ends claims: one guarded statement for a whole batch, an attempt row for each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from audit.setwise import Columns, rows_source
from reconciliation.domain.retry import ErrorClass, backoff, is_exhausted, is_refundable
from reconciliation.models import AttemptOutcome, ReconciliationTask, TaskKind, TaskState
from reconciliation.services.attempts import EndedAttempt, record_attempts
from reconciliation.services.circuits import Held
from reconciliation.services.observe.values import NOT_BEGUN, STOPPED, Trouble
from reconciliation.services.queue import ClaimedTask

_TABLE = ReconciliationTask._meta.db_table
_THROTTLE_DEFAULT = timedelta(seconds=60)
_MAX_MESSAGE = 2000
DATABASE_LOST = "database_lost"
"""The error code of a task whose worker lost the database while it worked on the batch."""
NEVER_DUE = "never_due"
"""The error code of a task that was put off for as often as may be, and never decided."""
UNCOUNTED = frozenset({NOT_BEGUN, STOPPED, DATABASE_LOST})
"""Error codes that say nothing about the task itself."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a claim ends: the task's next state and what is told of the attempt.

    `refund` gives the attempt back and counts a return instead: deferring, throttling, a stop of
    the worker and waiting for an open circuit (`held_by`) burn none, until `bounded` says so.
    """

    task: ClaimedTask
    state: str
    outcome: str
    run_after: datetime
    refund: bool = False
    held_by: int | None = None
    policy_decision: str = ""
    error_class: str = ""
    error_code: str = ""
    error: str = ""


def ending_of_trouble(trouble: Trouble, *, now: datetime, held: Held | None = None) -> Ending:
    """Return what trouble means for a task: again later, at the host's time, or a dead letter.

    `held`: its host or credential is down, so the trouble is not the task's own.
    """
    task, error_class = trouble.task, trouble.error_class
    told: Any = {
        "error_class": error_class.value,
        "error_code": trouble.code[:60],
        "error": trouble.message[:_MAX_MESSAGE],
    }
    if trouble.code in UNCOUNTED:
        return Ending(task, TaskState.QUEUED, AttemptOutcome.GIVEN_BACK, now, refund=True, **told)
    if held is not None:
        return Ending(
            task,
            TaskState.QUEUED,
            AttemptOutcome.HELD,
            held.until,
            refund=True,
            held_by=held.circuit_id,
            **told,
        )
    if error_class is ErrorClass.THROTTLED:
        seconds = trouble.retry_after_seconds
        wait = _THROTTLE_DEFAULT if seconds is None else timedelta(seconds=max(1, seconds))
        return Ending(task, TaskState.QUEUED, AttemptOutcome.RETRY, now + wait, refund=True, **told)
    exhausted = is_exhausted(attempts=task.attempts, max_attempts=task.max_attempts)
    if error_class in {ErrorClass.TERMINAL, ErrorClass.POISON} or exhausted:
        return Ending(task, TaskState.DEAD, AttemptOutcome.DEAD, now, **told)
    wait = backoff(task.key, task.attempts)
    return Ending(task, TaskState.QUEUED, AttemptOutcome.RETRY, now + wait, **told)


def bounded(ending: Ending, *, now: datetime) -> Ending:
    """Return the ending, counted when its task went back uncounted as often as it may.

    So every task ends: what is counted is backed off, and is a dead letter after the usual tries.
    """
    task = ending.task
    if not ending.refund or is_refundable(task.returns):
        return ending
    why = f": {ending.policy_decision}" if ending.policy_decision else ""
    cause = ending.error or f"put off {task.returns} times, and never decided{why}"
    told: Any = {
        "refund": False,
        "error_class": ending.error_class or ErrorClass.TRANSIENT.value,
        "error_code": ending.error_code or NEVER_DUE,
        "error": cause[:_MAX_MESSAGE],
    }
    if is_exhausted(attempts=task.attempts, max_attempts=task.max_attempts):
        dead: Any = {"outcome": AttemptOutcome.DEAD, "run_after": now, "held_by": None}
        return replace(ending, state=TaskState.DEAD, **dead, **told)
    wait = max(ending.run_after, now + backoff(task.key, task.attempts))
    return replace(ending, run_after=wait, **told)


def end_claims(endings: Sequence[Ending], *, worker: str, now: datetime) -> set[int]:
    """End claims and return the ids of the tasks that were still ours.

    Two statements for any number. A task whose claim we lost is not touched, and its effects must
    not be applied. One that was announced again while it ran goes back to the queue.
    """
    if not endings:
        return set()
    columns: Columns = {
        "id": "bigint",
        "epoch": "bigint",
        "state": "text",
        "run_after": "timestamptz",
        "refund": "integer",
        "held_by": "bigint",
        "policy_decision": "text",
        "error_class": "text",
        "error_code": "text",
        "error": "text",
        "at": "timestamptz",
    }
    rows = [
        (
            one.task.id,
            one.task.epoch,
            one.state,
            one.run_after,
            int(one.refund),
            one.held_by,
            one.policy_decision,
            one.error_class,
            one.error_code,
            one.error,
            now,
        )
        for one in endings
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(_END.format(source=source), params)
        ours = {row[0] for row in cursor.fetchall()}
    record_attempts(
        [_attempt(one, worker=worker, now=now) for one in endings if one.task.id in ours]
    )
    return ours


def sweeps_to_recount(endings: Sequence[Ending], ours: set[int]) -> set[int]:
    """Return the sweeps that have an observation more, or fewer, among their dead letters."""
    return {
        end.task.sweep_id
        for end in endings
        if end.task.sweep_id is not None
        and end.task.id in ours
        and end.task.task_kind == TaskKind.OBSERVE_REFS
        and (end.state == TaskState.DEAD or end.task.series > 1)
    }


_AGAIN = f"(v.state = 'completed' AND {_TABLE}.rerun)"
_END = f"""UPDATE {_TABLE} SET
    state = CASE WHEN {_AGAIN} THEN 'queued' ELSE v.state END,
    series = {_TABLE}.series + CASE WHEN {_AGAIN} THEN 1 ELSE 0 END,
    attempts = CASE WHEN {_AGAIN} THEN 0 ELSE {_TABLE}.attempts - v.refund END,
    returns = CASE WHEN v.state = 'completed' THEN 0 ELSE {_TABLE}.returns + v.refund END,
    requeues = CASE WHEN v.state = 'completed' THEN 0 ELSE {_TABLE}.requeues END,
    run_after = v.run_after,
    held_by_id = v.held_by,
    rerun = false,
    claimed_by = '',
    claim_expires_at = NULL,
    completed_at = CASE WHEN v.state IN ('completed', 'dead') AND NOT {_AGAIN}
        THEN v.at ELSE NULL END,
    policy_decision = CASE WHEN v.policy_decision = ''
        THEN {_TABLE}.policy_decision ELSE v.policy_decision END,
    last_error_class = v.error_class,
    last_error_code = v.error_code,
    last_error = v.error
    FROM {{source}} AS v
    WHERE {_TABLE}.id = v.id AND {_TABLE}.claim_epoch = v.epoch AND {_TABLE}.state = 'running'
    RETURNING {_TABLE}.id"""


def _attempt(one: Ending, *, worker: str, now: datetime) -> EndedAttempt:
    return EndedAttempt(
        task_id=one.task.id,
        series=one.task.series,
        number=one.task.attempts,
        claim_epoch=one.task.epoch,
        worker=worker,
        started_at=one.task.started_at,
        ended_at=now,
        outcome=one.outcome,
        error_class=one.error_class,
        error_code=one.error_code,
        error=one.error,
    )
