"""Puts tasks into the queue of record and takes them out; every arrow is one guarded statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction

from audit.setwise import Columns, aware, database_time, in_set, insert_rows
from reconciliation.domain.retry import MAX_ATTEMPTS
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import ReconciliationTask

TABLE = ReconciliationTask._meta.db_table
PRIORITY_EVENT = 10
PRIORITY_FOLLOW_UP = 10
PRIORITY_SWEEP = 50

_COLUMNS: Columns = {
    "repository_id": "bigint",
    "tenant": "text",
    "workspace": "text",
    "repo": "text",
    "branch": "text",
    "run_id": "text",
    "lease_id": "text",
    "task_kind": "text",
    "subject": "text",
    "idempotency_key": "text",
    "correlation_id": "text",
    "origin": "text",
    "sweep_id": "bigint",
    "parent_id": "bigint",
    "priority": "smallint",
    "ordinal": "integer",
    "state": "text",
    "attempts": "integer",
    "max_attempts": "integer",
    "series": "integer",
    "run_after": "timestamptz",
    "rerun": "boolean",
    "claimed_by": "text",
    "claim_epoch": "bigint",
    "policy_decision": "text",
    "last_error_class": "text",
    "last_error_code": "text",
    "last_error": "text",
    "announced_at": "timestamptz",
    "created_at": "timestamptz",
}
# A thing announced again is worked again: a finished task gets a new series, a running one is run
# once more. Its key, its place in the order and its run id stay.
REVIVE = f"""(idempotency_key) DO UPDATE SET
    rerun = {TABLE}.rerun OR {TABLE}.state = 'running',
    series = {TABLE}.series
        + CASE WHEN {TABLE}.state IN ('running', 'queued') THEN 0 ELSE 1 END,
    attempts = CASE WHEN {TABLE}.state IN ('running', 'queued')
        THEN {TABLE}.attempts ELSE 0 END,
    run_after = CASE WHEN {TABLE}.state = 'running'
        THEN {TABLE}.run_after ELSE excluded.run_after END,
    announced_at = excluded.announced_at,
    state = CASE WHEN {TABLE}.state = 'running' THEN 'running' ELSE 'queued' END"""


@dataclass(frozen=True, slots=True)
class Planned:
    """A task to queue: what, where, and what asked for it."""

    item: WorkItem
    repository_id: int
    correlation_id: str
    origin: str
    priority: int
    run_after: datetime
    announced_at: datetime
    sweep_id: int | None = None
    parent_id: int | None = None
    ordinal: int = 0


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task that this worker may work on until its claim runs out."""

    id: int
    epoch: int
    repository_id: int
    tenant: str
    workspace: str
    repo: str
    branch: str
    task_kind: str
    subject: str
    key: str
    run_id: str | None
    lease_id: str | None
    correlation_id: str
    origin: str
    sweep_id: int | None
    priority: int
    attempts: int
    max_attempts: int
    series: int
    announced_at: datetime
    started_at: datetime


def enqueue(planned: Sequence[Planned], *, now: datetime, revive: bool) -> list[tuple[int, str]]:
    """Queue tasks by one statement and return `(id, key)` of those created, revived or joined.

    The same key twice is one task. With `revive`, a finished task of that key is worked again;
    without (a sweep's slot planned twice) it is left alone.
    """
    unique = {one.item.key: one for one in planned}
    return insert_rows(
        connection,
        TABLE,
        _COLUMNS,
        [_row(one, key=key, now=now) for key, one in unique.items()],
        on_conflict=REVIVE if revive else "(idempotency_key) DO NOTHING",
        returning="id, idempotency_key",
    )


def claim(*, worker: str, now: datetime, limit: int, lasts: timedelta) -> list[ClaimedTask]:
    """Claim up to `limit` due tasks in canonical order, at most one of each branch.

    One statement. Attempts are counted here, so a task that kills its worker runs out of them. A
    branch with a running task is passed over; should two workers still pick two tasks of one
    branch, the database refuses the second claim and this returns nothing: ask again.
    """
    at = database_time(connection, now)
    until = database_time(connection, now + lasts)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_CLAIM[connection.vendor], [at, at, limit, worker, until, at])
            rows = cursor.fetchall()
    except IntegrityError:
        return []
    claimed = [ClaimedTask(*_with_aware_times(row)) for row in rows]
    return sorted(claimed, key=lambda task: (task.tenant, task.repo, task.branch, task.task_kind))


def give_back(tasks: Sequence[ClaimedTask]) -> int:
    """Return claimed tasks unchanged, as if never claimed: the worker is shutting down."""
    if not tasks:
        return 0
    ids, params = in_set(connection, [task.id for task in tasks], "bigint")
    worker_epochs = max(task.epoch for task in tasks)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET state = 'queued', attempts = attempts - 1, claimed_by = '',"
            " claim_expires_at = NULL"
            f" WHERE state = 'running' AND claim_epoch <= %s AND id {ids}",
            [worker_epochs, *params],
        )
        return int(cursor.rowcount)


_CANDIDATES = f"""
    SELECT t.id FROM {TABLE} t
    WHERE t.state = 'queued' AND t.run_after <= %s
      AND NOT EXISTS (
        SELECT 1 FROM {TABLE} r
        WHERE r.repository_id = t.repository_id AND r.branch = t.branch AND r.state = 'running')
      AND NOT EXISTS (
        SELECT 1 FROM {TABLE} e
        WHERE e.repository_id = t.repository_id AND e.branch = t.branch AND e.state = 'queued'
          AND e.run_after <= %s
          AND (e.priority, e.task_kind, e.id) < (t.priority, t.task_kind, t.id))
    ORDER BY t.priority, t.tenant, t.repo, t.branch, t.task_kind, t.id
    LIMIT %s"""
_CLAIM_TEMPLATE = (
    f"""UPDATE {TABLE} SET state = 'running', attempts = attempts + 1,
    claim_epoch = claim_epoch + 1, claimed_by = %s, claim_expires_at = %s, rerun = false,
    started_at = %s
    WHERE state = 'queued' AND id IN ("""
    + "{candidates}"
    + """)
    RETURNING id, claim_epoch, repository_id, tenant, workspace, repo, branch, task_kind, subject,
    idempotency_key, run_id, lease_id, correlation_id, origin, sweep_id, priority, attempts,
    max_attempts,
    series, announced_at, started_at"""
)
_CLAIM = {
    "postgresql": "WITH candidates AS MATERIALIZED ("
    + _CANDIDATES
    + " FOR UPDATE OF t SKIP LOCKED) "
    + _CLAIM_TEMPLATE.format(candidates="SELECT id FROM candidates"),
    "sqlite": "WITH candidates AS MATERIALIZED ("
    + _CANDIDATES
    + ") "
    + _CLAIM_TEMPLATE.format(candidates="SELECT id FROM candidates"),
}


def task_values(one: Planned, *, now: datetime) -> dict[str, Any]:
    """Return a new task's columns and values."""
    return dict(zip(_COLUMNS, _row(one, key=one.item.key, now=now), strict=True))


def _row(one: Planned, *, key: str, now: datetime) -> tuple[Any, ...]:
    item = one.item
    return (
        one.repository_id,
        item.tenant,
        item.workspace,
        item.repo,
        item.branch,
        item.run_id,
        item.lease_id,
        item.task_kind,
        item.subject,
        key,
        one.correlation_id,
        one.origin,
        one.sweep_id,
        one.parent_id,
        one.priority,
        one.ordinal,
        "queued",
        0,
        MAX_ATTEMPTS,
        1,
        one.run_after,
        False,
        "",
        0,
        "",
        "",
        "",
        "",
        one.announced_at,
        now,
    )


def _with_aware_times(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:-2], *(aware(value) for value in row[-2:]))
