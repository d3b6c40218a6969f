"""Puts tasks into the queue of record, many by one statement; `claiming` takes them out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from audit.setwise import Columns, insert_rows
from reconciliation.domain.retry import MAX_ATTEMPTS
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import ReconciliationTask, TaskKind

TABLE = ReconciliationTask._meta.db_table
PRIORITY_EVENT = 10
PRIORITY_SWEEP = 50
BEHIND_OBSERVATIONS = 10
"""Added to the priority of whatever is no observation: delivery to observed is what people see."""

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
_OBSERVATION = TaskKind.OBSERVE_REFS.value
# A thing announced again is worked again: a finished task gets a new series, a running one is run
# once more, and one that waits is never made to wait longer. Its key, its place in the order and
# its run id stay.
REVIVE = f"""(idempotency_key) DO UPDATE SET
    rerun = {TABLE}.rerun OR {TABLE}.state = 'running',
    series = {TABLE}.series
        + CASE WHEN {TABLE}.state IN ('running', 'queued') THEN 0 ELSE 1 END,
    attempts = CASE WHEN {TABLE}.state IN ('running', 'queued')
        THEN {TABLE}.attempts ELSE 0 END,
    returns = CASE WHEN {TABLE}.state IN ('running', 'queued')
        THEN {TABLE}.returns ELSE 0 END,
    run_after = CASE WHEN {TABLE}.state = 'running'
        OR ({TABLE}.state = 'queued' AND {TABLE}.run_after < excluded.run_after)
        THEN {TABLE}.run_after ELSE excluded.run_after END,
    completed_at = NULL,
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
    returns: int
    last_error_code: str
    series: int
    announced_at: datetime
    started_at: datetime


def enqueue(planned: Sequence[Planned], *, now: datetime, revive: bool) -> list[tuple[int, str]]:
    """Queue tasks by one statement and return `(id, key)` of those created, revived or joined.

    The same key twice is one task. With `revive`, a finished task of that key is worked again;
    without (a sweep's slot planned twice) it is left alone. Rows are written in canonical order,
    so that two workers that plan the same things lock them in one order.
    """
    unique = {one.item.key: one for one in sorted(planned, key=lambda one: one.item.order)}
    return insert_rows(
        connection,
        TABLE,
        _COLUMNS,
        [_row(one, key=key, now=now) for key, one in unique.items()],
        on_conflict=REVIVE if revive else "(idempotency_key) DO NOTHING",
        returning="id, idempotency_key",
    )


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
        one.priority if item.task_kind == _OBSERVATION else one.priority + BEHIND_OBSERVATIONS,
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
