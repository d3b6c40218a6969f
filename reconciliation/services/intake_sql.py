"""Stores a delivery with its task by as few statements as the database allows; decides nothing.

PostgreSQL: one statement for delivery, task and wake-up. SQLite knows no INSERT inside a WITH:
there each of the three takes one.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from audit.setwise import database_time
from reconciliation.models import WebhookDelivery
from reconciliation.services.queue import REVIVE, TABLE, Planned, task_values
from reconciliation.services.wake import wake, wake_statement

_DELIVERY = WebhookDelivery._meta.db_table


@dataclass(frozen=True, slots=True)
class Stored:
    """The columns of a delivery, in this order."""

    source_id: int
    delivery_id: str
    event: str
    headers: str
    body_sha256: str
    body_bytes: int
    body: bytes
    secret_id: str
    outcome: str
    reason: str
    events: str
    correlation_id: str
    received_at: datetime


_COLUMNS = tuple(field.name for field in fields(Stored))


def store(delivery: Stored, planned: Planned | None) -> tuple[int, int | None] | None:
    """Store a delivery, and its task unless one that covers it is waiting, in one transaction.

    Return `(delivery id, task id)`, or None when the delivery id is known already: then nothing is
    stored and nothing planned.
    """
    values = [getattr(delivery, name) for name in _COLUMNS]
    values[-1] = database_time(connection, delivery.received_at)
    if planned is None:
        return _one(
            f"INSERT INTO {_DELIVERY} ({', '.join(_COLUMNS)})"
            f" VALUES ({', '.join(['%s'] * len(_COLUMNS))}) {_ON_DUPLICATE}"
            " RETURNING id, task_id",
            values,
        )
    task = task_values(planned, now=delivery.received_at)
    task_params = [
        database_time(connection, value) if isinstance(value, datetime) else value
        for value in task.values()
    ]
    columns = ", ".join(task)
    if connection.vendor == "postgresql":
        return _by_one_statement(columns, task_params, values, planned)
    with transaction.atomic():
        row = _by_two_statements(columns, task_params, values, planned)
        if row is not None:
            wake(planned.run_after)
        return row


_ON_DUPLICATE = "ON CONFLICT (source_id, delivery_id) DO NOTHING"
# An observation that waits covers us; a sweep's is not urgent enough to be joined.
_JOINED = (
    f"SELECT id FROM {TABLE} WHERE repository_id = %s AND branch = ''"
    " AND task_kind = 'observe_refs' AND state = 'queued' AND origin = 'webhook'"
    " ORDER BY id LIMIT 1"
)
_KNOWN = f"SELECT 1 FROM {_DELIVERY} WHERE source_id = %s AND delivery_id = %s"


def _by_one_statement(
    columns: str, task_params: list[Any], values: list[Any], planned: Planned
) -> tuple[int, int | None] | None:
    # A single statement is its own transaction: no BEGIN and COMMIT to wait for.
    wake_sql, wake_params = wake_statement(planned.run_after)
    return _one(
        f"WITH joined AS ({_JOINED}),"
        f" made AS (INSERT INTO {TABLE} ({columns}) SELECT {_marks(task_params)}"
        f" WHERE NOT EXISTS ({_KNOWN}) AND NOT EXISTS (SELECT 1 FROM joined)"
        f" ON CONFLICT {REVIVE} RETURNING id),"
        f" kept AS (INSERT INTO {_DELIVERY} ({', '.join(_COLUMNS)}, task_id)"
        f" SELECT {_marks(values)}, COALESCE((SELECT id FROM joined), (SELECT id FROM made))"
        f" {_ON_DUPLICATE} RETURNING id, task_id),"
        f" woken AS ({wake_sql} AND EXISTS (SELECT 1 FROM kept))"
        " SELECT id, task_id FROM kept",
        [
            planned.repository_id,
            *task_params,
            values[0],
            values[1],
            *values,
            *wake_params,
        ],
    )


def _by_two_statements(
    columns: str, task_params: list[Any], values: list[Any], planned: Planned
) -> tuple[int, int | None] | None:
    made = _one(
        f"INSERT INTO {TABLE} ({columns}) SELECT {_marks(task_params)}"
        f" WHERE NOT EXISTS ({_KNOWN}) AND NOT EXISTS ({_JOINED})"
        f" ON CONFLICT {REVIVE} RETURNING id, id",
        [*task_params, values[0], values[1], planned.repository_id],
    )
    return _one(
        f"INSERT INTO {_DELIVERY} ({', '.join(_COLUMNS)}, task_id)"
        f" SELECT {_marks(values)}, COALESCE(%s, ({_JOINED})) WHERE true"
        f" {_ON_DUPLICATE} RETURNING id, task_id",
        [*values, made[0] if made else None, planned.repository_id],
    )


def _marks(params: list[Any]) -> str:
    return ", ".join(["%s"] * len(params))


def _one(sql: str, params: list[Any]) -> tuple[int, int | None] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row: tuple[int, int | None] | None = cursor.fetchone()
        return row
