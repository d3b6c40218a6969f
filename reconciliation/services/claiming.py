"""Claims tasks for a worker, keeps claims alive, and lets go of them; every arrow is guarded.

A claim is known by task and epoch: what one worker lost and another took again has a later epoch,
so nobody can touch a claim that is not theirs.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction

from audit.setwise import aware, database_time, rows_source
from reconciliation.domain.circuits import NEEDING_THE_HOST
from reconciliation.models import CircuitHold
from reconciliation.services.queue import TABLE, ClaimedTask

CLAIM_LOST = "claim_lost"
"""The error code of a task whose last worker died or hung under it."""

_TRIES = 5
_DEADLOCK_DETECTED = "40P01"


def claim(*, worker: str, now: datetime, limit: int, lasts: timedelta) -> list[ClaimedTask]:
    """Claim up to `limit` due tasks in canonical order, at most one of each branch.

    One statement. Attempts are counted in it, so a task that kills its worker runs out of them. A
    branch with a running task is passed over, and so is what needs a host whose circuit is open. A
    task whose last worker died is claimed alone: should it be what killed the worker, nothing else
    is lost with it.

    Two workers whose clocks differ may pick two tasks of one branch; the database then refuses the
    second claim, and this asks again.
    """
    at = database_time(connection, now)
    until = database_time(connection, now + lasts)
    for _ in range(_TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute(_ALONG_THE_INDEX)
                cursor.execute(_CLAIM[connection.vendor], [at, at, limit, worker, until, at])
                rows = cursor.fetchall()
        except IntegrityError:
            continue
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _DEADLOCK_DETECTED:
                raise
            continue
        claimed = [ClaimedTask(*_with_aware_times(row)) for row in rows]
        return sorted(claimed, key=lambda one: (one.tenant, one.repo, one.branch, one.task_kind))
    return []


def extend_claims(tasks: Sequence[ClaimedTask], *, until: datetime) -> int:
    """Let claims last until then; return how many were ours still."""
    if not tasks:
        return 0
    source, params = _claims_source(tasks)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET claim_expires_at = %s FROM {source} AS v WHERE {_STILL_OURS}",
            [database_time(connection, until), *params],
        )
        return int(cursor.rowcount)


def expire_claims_of(cluster: str, *, now: datetime) -> int:
    """End the claims of a cluster whose processes are known to be dead; return how many.

    They count as lost and are taken back by the next drain, which need not wait for their time.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET claim_expires_at = %s"
            " WHERE state = 'running' AND claimed_by LIKE %s AND claim_expires_at > %s",
            [
                database_time(connection, now),
                f"%:{cluster}",
                database_time(connection, now),
            ],
        )
        return int(cursor.rowcount)


_STILL_OURS = f"{TABLE}.id = v.id AND {TABLE}.claim_epoch = v.epoch AND {TABLE}.state = 'running'"
_HOLD = CircuitHold._meta.db_table
_NEEDING_THE_HOST = ", ".join(f"'{kind}'" for kind in NEEDING_THE_HOST)
_ORDER = "priority, tenant, repo, branch, task_kind, id"
# How many tasks may be in a batch with this one. Alone is what took its worker down; what could not
# be finished in the time of its batch, or lost the database, shares with fewer each time.
_ROOM = f"""CASE t.last_error_code WHEN '{CLAIM_LOST}' THEN 1
        WHEN 'out_of_time' THEN {{shrunk}} WHEN 'not_begun' THEN {{shrunk}}
        WHEN 'database_lost' THEN {{shrunk}} ELSE {2**31 - 1} END""".format(
    shrunk="CASE t.attempts + t.returns WHEN 1 THEN 25 WHEN 2 THEN 6 ELSE 1 END"
)
_CANDIDATES = f"""
    SELECT t.id, t.priority, t.tenant, t.repo, t.branch, t.task_kind,
        {_ROOM} AS room
    FROM {TABLE} t
    WHERE t.state = 'queued' AND t.held_by_id IS NULL AND t.run_after <= %s
      AND NOT EXISTS (
        SELECT 1 FROM {_HOLD} h
        WHERE h.repository_id = t.repository_id AND h.probe_task_id <> t.id
          AND t.task_kind IN ({_NEEDING_THE_HOST})
        LIMIT 1 OFFSET 0)
      AND NOT EXISTS (
        SELECT 1 FROM {TABLE} r
        WHERE r.repository_id = t.repository_id AND r.branch = t.branch
          AND r.state IN ('queued', 'running') AND r.state || '' = 'running'
        LIMIT 1 OFFSET 0)
      AND NOT EXISTS (
        SELECT 1 FROM {TABLE} e
        WHERE e.repository_id = t.repository_id AND e.branch = t.branch
          AND e.state IN ('queued', 'running') AND e.state || '' = 'queued'
          AND e.run_after <= %s AND e.held_by_id IS NULL
          AND (e.priority, e.task_kind, e.id) < (t.priority, t.task_kind, t.id)
        LIMIT 1 OFFSET 0)
    ORDER BY t.priority, t.tenant, t.repo, t.branch, t.task_kind, t.id
    LIMIT %s"""
# A queue is empty most of the time, and so the planner takes it for tiny: it would sort all of it
# for every batch, and go through all that wait to find earlier tasks of one branch. A burst of
# 4,000 tasks cost a second per claim that way. So it is kept from sorting, for the transaction of
# the claim. Above, OFFSET 0 keeps it from making one join of what is three look-ups. Those of tasks
# name states in words that only the index by branch fits: not that of all that run.
_ALONG_THE_INDEX = "SELECT " + ", ".join(
    f"set_config('{what}', 'off', true)"
    for what in (
        "enable_sort",
        "enable_bitmapscan",
        "enable_seqscan",
        "enable_hashjoin",
        "enable_mergejoin",
        "enable_material",
        "jit",  # what is switched off costs so much on paper that the plan would be compiled
    )
)
# The batch ends where the room of one of its tasks does; the first task is always in it.
# Those that were picked are found by their ids: again the state is named in words that no index of
# queued tasks fits, or all that wait would be compared with each (80 ms a batch beside 5,000).
_CLAIM_TEMPLATE = f"""WITH candidates AS MATERIALIZED ({_CANDIDATES}{{lock}}),
    placed AS (SELECT id, ROW_NUMBER() OVER w AS place, MIN(room) OVER w AS room
        FROM candidates WINDOW w AS (ORDER BY {_ORDER}))
    UPDATE {TABLE} SET state = 'running', attempts = attempts + 1,
    claim_epoch = claim_epoch + 1, claimed_by = %s, claim_expires_at = %s, rerun = false,
    started_at = %s
    WHERE state || '' = 'queued' AND held_by_id IS NULL AND id IN (
        SELECT id FROM placed WHERE place <= room)
    RETURNING id, claim_epoch, repository_id, tenant, workspace, repo, branch, task_kind, subject,
    idempotency_key, run_id, lease_id, correlation_id, origin, sweep_id, priority, attempts,
    max_attempts, returns, series, announced_at, started_at"""
_CLAIM = {
    "postgresql": _CLAIM_TEMPLATE.format(lock=" FOR UPDATE OF t SKIP LOCKED"),
    "sqlite": _CLAIM_TEMPLATE.format(lock=""),
}


def _claims_source(tasks: Sequence[ClaimedTask]) -> tuple[str, list[Any]]:
    rows = [(task.id, task.epoch) for task in sorted(tasks, key=lambda task: task.id)]
    return rows_source(connection, {"id": "bigint", "epoch": "bigint"}, rows)


def _with_aware_times(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:-2], *(aware(value) for value in row[-2:]))
