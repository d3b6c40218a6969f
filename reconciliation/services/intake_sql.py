"""Stores a delivery with its task by as few statements as the database allows; decides nothing.

PostgreSQL: one statement for delivery, task and wake-up. SQLite knows no INSERT inside a WITH:
there each of the three takes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from audit.setwise import database_time
from reconciliation.models import WebhookDelivery
from reconciliation.services.prepared import one_row_repeated
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


@dataclass(frozen=True, slots=True)
class Kept:
    """A delivery just stored, with the task that it caused or joined."""

    id: int
    task_id: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """A delivery stored before under the same id, and how far it has come."""

    id: int
    task_id: int | None
    task_state: str | None
    outcome: str
    is_applied: bool
    correlation_id: str


def store(delivery: Stored, planned: Planned | None) -> Kept | Known:
    """Store a delivery, and its task unless one that covers it is waiting, in one transaction.

    A delivery id that is known already stores nothing and plans nothing: what is known is returned.
    """
    # Looked up once: Django's `connection` looks itself up at every use.
    connection = connections[DEFAULT_DB_ALIAS]
    values = [getattr(delivery, name) for name in _COLUMNS]
    values[-1] = database_time(connection, delivery.received_at)
    if planned is None:
        row = _one(
            connection,
            f"INSERT INTO {_DELIVERY} ({', '.join(_COLUMNS)})"
            f" VALUES ({_marks(values)}) {_ON_DUPLICATE} RETURNING id",
            values,
        )
        return Kept(row[0], None) if row else _known(connection, delivery)
    task = task_values(planned, now=delivery.received_at)
    insert, task_params = _task_insert(connection, task)
    overdue = database_time(connection, delivery.received_at - NOT_JOINED_AFTER)
    if connection.vendor == "postgresql":
        return _by_one_statement(
            connection, insert, task_params, delivery, values, planned, overdue
        )
    with transaction.atomic():
        kept = _by_two_statements(
            connection, insert, task_params, delivery, values, planned, overdue
        )
        if kept is None:
            return _known(connection, delivery)
        wake(planned.run_after)
        return kept


# A short alias: the driver keeps what it made of a statement of up to 4096 characters only.
_REVIVE = REVIVE.replace(f"{TABLE}.", "q.")
_ON_DUPLICATE = "ON CONFLICT (source_id, delivery_id) DO NOTHING"
_KNOWN = (
    "SELECT d.id, d.task_id, t.state AS task_state, d.outcome, d.applied_at IS NOT NULL AS applied,"
    f" d.correlation_id FROM {_DELIVERY} d LEFT JOIN {TABLE} t ON t.id = d.task_id"
    " WHERE d.source_id = %s AND d.delivery_id = %s"
)
_WAITS = (
    "{0}.repository_id = %s AND {0}.branch = '' AND {0}.task_kind = 'observe_refs'"
    " AND {0}.state = 'queued' AND {0}.origin = 'webhook'"
)
# An observation that waits covers us: it reads the heads later than they moved. A sweep's is not
# urgent enough to be joined. The newest is joined, and one that is overdue only if it is not the
# only one: see NOT_JOINED_AFTER. Two rows tell that, however many wait.
_JOINED = (
    f"SELECT t.id FROM {TABLE} t WHERE t.id = (SELECT CASE WHEN COUNT(*) = 2"
    " OR MAX(w.run_after) > %s THEN MAX(w.id) END FROM (SELECT o.id, o.run_after"
    f" FROM {TABLE} o WHERE {_WAITS.format('o')}"
    # Plus 0: else the planner walks the repository's whole history by an index on the id.
    f" ORDER BY o.id + 0 DESC LIMIT 2) w) AND {_WAITS.format('t')}"
)
_SAME_FOR_ALL = frozenset(
    {
        "attempts",
        "branch",
        "claim_epoch",
        "claimed_by",
        "last_error",
        "last_error_class",
        "last_error_code",
        "lease_id",
        "max_attempts",
        "ordinal",
        "origin",
        "parent_id",
        "policy_decision",
        "priority",
        "rerun",
        "run_id",
        "series",
        "state",
        "sweep_id",
        "task_kind",
    }
)
"""Columns that have one value for every observation that a webhook asks for.

They are written into the statement: with few parameters and one text the driver need not take it
apart for each delivery anew.
"""
NOT_JOINED_AFTER = timedelta(seconds=5)
"""An observation due for longer than this is joined no more; later deliveries get its successor.

Who joins holds its row until the commit, and a worker passes over what is held: under a stream of
deliveries that never ends, a row that everybody joins could never be claimed. There are two waiting
at most: while one is overdue, everybody joins the other.
"""


def _task_insert(connection: BaseDatabaseWrapper, task: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the INSERT of a task up to its SELECT list, and the parameters in it."""
    fixed = tuple((name, value) for name, value in task.items() if name in _SAME_FOR_ALL)
    params = [
        database_time(connection, value) if isinstance(value, datetime) else value
        for name, value in task.items()
        if name not in _SAME_FOR_ALL
    ]
    return _task_insert_text(tuple(task), fixed), params


@lru_cache(maxsize=2)
def _task_insert_text(
    columns: tuple[str, ...], fixed: tuple[tuple[str, str | int | bool | None], ...]
) -> str:
    literals = {name: _literal(value) for name, value in fixed}
    picks = ", ".join(literals.get(name, "%s") for name in columns)
    return f"INSERT INTO {TABLE} AS q ({', '.join(columns)}) SELECT {picks}"


def _literal(value: str | int | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if value and not value.isidentifier():
        raise ValueError(f"{value!r} is no word of ours: make it a parameter")
    return f"'{value}'"


def _by_one_statement(
    connection: BaseDatabaseWrapper,
    insert: str,
    task_params: list[Any],
    delivery: Stored,
    values: list[Any],
    planned: Planned,
    overdue: Any,
) -> Kept | Known:
    # A single statement is its own transaction: no BEGIN and COMMIT to wait for. FOR SHARE: a
    # worker that claims the row at this moment either sees our delivery or makes us look again.
    wake_sql, wake_params = wake_statement(connection, planned.run_after)
    row = one_row_repeated(
        connection,
        _statement(insert, wake_sql),
        [
            delivery.source_id,
            delivery.delivery_id,
            *_joined_params(planned, overdue),
            *task_params,
            *values,
            *wake_params,
        ],
    )
    if row is None:
        # Somebody else stored it while we did: its row was not there when the statement began.
        return _known(connection, delivery)
    return Known(*row) if row[3] is not None else Kept(row[0], row[1])


@lru_cache(maxsize=2)
def _statement(insert: str, wake_sql: str) -> str:
    return (
        f"WITH known AS MATERIALIZED ({_KNOWN}),"
        f" joined AS MATERIALIZED ({_JOINED} FOR SHARE OF t),"
        f" made AS ({insert}"
        " WHERE NOT EXISTS (SELECT 1 FROM known) AND NOT EXISTS (SELECT 1 FROM joined)"
        f" ON CONFLICT {_REVIVE} RETURNING id),"
        f" kept AS (INSERT INTO {_DELIVERY} ({', '.join(_COLUMNS)}, task_id)"
        f" SELECT {_marks(_COLUMNS)}, COALESCE((SELECT id FROM joined), (SELECT id FROM made))"
        f" WHERE NOT EXISTS (SELECT 1 FROM known) {_ON_DUPLICATE} RETURNING id, task_id),"
        f" woken AS ({wake_sql} AND EXISTS (SELECT 1 FROM kept))"
        " SELECT id, task_id, NULL, NULL, NULL, NULL FROM kept UNION ALL SELECT * FROM known"
    )


def _by_two_statements(
    connection: BaseDatabaseWrapper,
    insert: str,
    task_params: list[Any],
    delivery: Stored,
    values: list[Any],
    planned: Planned,
    overdue: Any,
) -> Kept | None:
    joined = _joined_params(planned, overdue)
    made = _one(
        connection,
        f"{insert} WHERE NOT EXISTS ({_KNOWN}) AND NOT EXISTS ({_JOINED})"
        f" ON CONFLICT {_REVIVE} RETURNING id",
        [*task_params, delivery.source_id, delivery.delivery_id, *joined],
    )
    row = _one(
        connection,
        f"INSERT INTO {_DELIVERY} ({', '.join(_COLUMNS)}, task_id)"
        f" SELECT {_marks(values)}, COALESCE(%s, ({_JOINED})) WHERE true"
        f" {_ON_DUPLICATE} RETURNING id, task_id",
        [*values, made[0] if made else None, *joined],
    )
    return Kept(*row) if row else None


def _joined_params(planned: Planned, overdue: Any) -> list[Any]:
    return [overdue, planned.repository_id, planned.repository_id]


def _known(connection: BaseDatabaseWrapper, delivery: Stored) -> Known:
    row = _one(connection, _KNOWN, [delivery.source_id, delivery.delivery_id])
    if row is None:
        raise LookupError(f"delivery {delivery.delivery_id} was neither stored nor known")
    return Known(row[0], row[1], row[2], row[3], bool(row[4]), row[5])


def _marks(params: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(params))


def _one(connection: BaseDatabaseWrapper, sql: str, params: list[Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row
