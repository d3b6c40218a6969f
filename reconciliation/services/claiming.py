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


def claim(
    *,
    worker: str,
    now: datetime,
    limit: int,
    lasts: timedelta,
    after: str = "",
    slow: bool = True,
) -> list[ClaimedTask]:
    """Claim up to `limit` due tasks, at most one of each branch; return them in canonical order.

    One statement. Which tasks enter a batch goes by turns of tenants: one of each, beginning with
    the tenant after `after`, then everybody's second. Of one tenant's tasks what has been due for
    longest goes first; observations have a start over what follows from them, and webhook work
    over sweeps. A tenant that is the only one with work gets all of the batch.

    Attempts are counted at the claim, so a task that kills its worker runs out of them. A branch
    with a running task is passed over, and so is what needs a host whose circuit is open. A task
    whose last worker died is claimed alone: should it be what killed the worker, nothing else is
    lost with it. What its batch had no time for shares with fewer. `slow`: whether tasks that ran
    out of time before are claimed at all.

    Two workers whose clocks differ may pick two tasks of one branch; the database then refuses the
    second claim, and this asks again.
    """
    at = database_time(connection, now)
    until = database_time(connection, now + lasts)
    params = [at, at, int(slow), limit, after, worker, until, at, limit]
    for _ in range(_TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute(_ALONG_THE_INDEX)
                cursor.execute(_CLAIM[connection.vendor], params)
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
# How many a task shares its batch with: alone is what took its worker down; what could not be done
# in the time of its batch, or lost the database, shares with fewer each time.
_ROOM = f"""CASE WHEN t.last_error_code NOT IN ('{CLAIM_LOST}', 'out_of_time', 'not_begun',
        'database_lost') THEN {2**31 - 1} WHEN t.last_error_code = '{CLAIM_LOST}' THEN 1
        WHEN t.attempts + t.returns = 1 THEN 25 WHEN t.attempts + t.returns = 2 THEN 6
        ELSE 1 END"""
_IS_SLOW = "{0}.last_error_code = 'out_of_time'"
_WAITING = "state = 'queued' AND held_by_id IS NULL"
_FIRST_LANE = f"""SELECT * FROM (
        SELECT tenant, priority FROM {TABLE} WHERE {_WAITING}
        ORDER BY tenant, priority LIMIT 1) a"""
_NEXT = (
    f"FROM {TABLE} WHERE {_WAITING} AND (tenant, priority) > (l.tenant, l.priority)"
    " ORDER BY tenant, priority LIMIT 1"
)
# Every tenant's tasks of each priority wait in a lane of their own. Lanes are found by leaps along
# the index, so that a claim costs what lanes there are, and not what waits in them.
_NEXT_LANE = {
    "postgresql": f"SELECT n.* FROM lanes l, LATERAL (SELECT tenant, priority {_NEXT}) n",
    "sqlite": f"SELECT n.tenant, n.priority FROM lanes l CROSS JOIN {TABLE} n"
    f" WHERE n.id = (SELECT id {_NEXT})",
}
# Of each lane what has been due for longest, so that no name keeps others waiting. Of what ran out
# of time before, one batch of a tenant runs at once: it must not occupy all workers.
_OF_ONE_LANE = f"""
    FROM {TABLE} t
    WHERE t.tenant = l.tenant AND t.priority = l.priority
      AND t.state = 'queued' AND t.held_by_id IS NULL AND t.run_after <= %s
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
      AND CASE WHEN {_IS_SLOW.format("t")} THEN %s = 1 AND NOT EXISTS (
        SELECT 1 FROM {TABLE} s
        WHERE s.state = 'running' AND s.claim_expires_at IS NOT NULL AND s.tenant = t.tenant
          AND {_IS_SLOW.format("s")}
        LIMIT 1 OFFSET 0) ELSE true END
    ORDER BY t.run_after, t.repo, t.branch, t.task_kind, t.id
    LIMIT (SELECT 1 + (%s - 1) / NULLIF(COUNT(DISTINCT tenant), 0) FROM lanes)"""
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
# Tenants take turns. A task's priority is also its handicap in seconds: among the lanes of a tenant
# what is due goes by that, so that nothing urgent holds up the rest for ever.
# The first task is always in the batch, and says how many may be in it.
# Those that were picked are found by their ids: the state is named in words that no index of queued
# tasks fits, or all that wait would be compared with each (80 ms a batch beside 5,000).
_CLAIM_TEMPLATE = f"""WITH RECURSIVE
    lanes(tenant, priority) AS ({_FIRST_LANE} UNION ALL {{next_lane}}),
    candidates AS MATERIALIZED (
        SELECT c.id, c.tenant, c.repo, c.branch, c.task_kind, c.room, c.deadline
        FROM lanes l CROSS JOIN {{of_each_lane}}),
    turns AS (SELECT id, tenant, repo, branch, task_kind, room, deadline, ROW_NUMBER() OVER (
        PARTITION BY tenant ORDER BY deadline, repo, branch, task_kind, id) AS turn
        FROM candidates),
    placed AS (SELECT id, room, ROW_NUMBER() OVER (
        ORDER BY turn, CASE WHEN tenant > %s THEN 0 ELSE 1 END, tenant, id) AS place FROM turns)
    UPDATE {TABLE} SET state = 'running', attempts = attempts + 1,
    claim_epoch = claim_epoch + 1, claimed_by = %s, claim_expires_at = %s, rerun = false,
    started_at = %s
    WHERE state || '' = 'queued' AND held_by_id IS NULL AND id {{among}} (
        SELECT p.id FROM placed p CROSS JOIN placed f
        WHERE f.place = 1 AND p.place <= %s AND p.place <= f.room AND p.room >= f.room){{end}}
    RETURNING id, claim_epoch, repository_id, tenant, workspace, repo, branch, task_kind, subject,
    idempotency_key, run_id, lease_id, correlation_id, origin, sweep_id, priority, attempts,
    max_attempts, returns, last_error_code, series, announced_at, started_at"""
_CLAIM = {
    "postgresql": _CLAIM_TEMPLATE.format(
        next_lane=_NEXT_LANE["postgresql"],
        among="= ANY (ARRAY",  # else the planner may go through all tasks to find these few
        end=")",
        of_each_lane=f"""LATERAL (SELECT t.id, t.tenant, t.repo, t.branch, t.task_kind,
        {_ROOM} AS room, t.run_after + t.priority * interval '1 second' AS deadline
        {_OF_ONE_LANE} FOR UPDATE OF t SKIP LOCKED) c""",
    ),
    "sqlite": _CLAIM_TEMPLATE.format(
        next_lane=_NEXT_LANE["sqlite"],
        among="IN",
        end="",
        of_each_lane=f"""(SELECT t.*, {_ROOM} AS room, strftime('%%Y-%%m-%%d %%H:%%M:%%f',
        t.run_after, '+' || t.priority || ' seconds') AS deadline FROM {TABLE} t) c
        ON c.id IN (SELECT t.id {_OF_ONE_LANE})""",
    ),
}


def _claims_source(tasks: Sequence[ClaimedTask]) -> tuple[str, list[Any]]:
    rows = [(task.id, task.epoch) for task in sorted(tasks, key=lambda task: task.id)]
    return rows_source(connection, {"id": "bigint", "epoch": "bigint"}, rows)


def _with_aware_times(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*row[:-2], *(aware(value) for value in row[-2:]))
