"""Set-based SQL that reads the same on PostgreSQL and SQLite; knows no table and no rule.

A hot path hands over tuples and gets one statement, whatever the number of rows: they travel as
one JSON document, unpacked by `json_to_recordset` on PostgreSQL and `json_each` on SQLite. It lies
in the lowest app because all three apps append rows in batches.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

Columns = Mapping[str, str]
"""Column name to PostgreSQL type, in the order of the tuples: `{"id": "bigint"}`."""


def rows_source(
    connection: BaseDatabaseWrapper, columns: Columns, rows: Sequence[Sequence[Any]]
) -> tuple[str, list[Any]]:
    """Return a FROM item that yields `rows`, and its parameters. Give it an alias and join it."""
    if connection.vendor == "postgresql":
        return _recordset(columns, rows)
    picks = ", ".join(
        f"json_extract(value, '$[{index}]') AS {name}" for index, name in enumerate(columns)
    )
    document = json.dumps([[_sqlite_value(item) for item in row] for row in rows])
    return f"(SELECT {picks} FROM json_each(%s))", [document]


def _recordset(columns: Columns, rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
    # One JSON document: several times cheaper to write than an array literal for each column.
    keys = [f"c{index}" for index in range(len(columns))]
    # JSON columns travel as text, so that the text itself is stored and not a quoted string.
    typed = ", ".join(
        f"{key} {'text' if kind == 'jsonb' else kind}"
        for key, kind in zip(keys, columns.values(), strict=True)
    )
    picks = ", ".join(
        f"{key}{'::jsonb' if kind == 'jsonb' else ''} AS {name}"
        for key, (name, kind) in zip(keys, columns.items(), strict=True)
    )
    document = json.dumps(
        [dict(zip(keys, row, strict=True)) for row in rows],
        default=_moment_text,
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return f"(SELECT {picks} FROM json_to_recordset(%s::json) AS u({typed}))", [document]


def insert_rows(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Columns,
    rows: Sequence[Sequence[Any]],
    *,
    on_conflict: str = "",
    returning: str = "",
) -> list[tuple[Any, ...]]:
    """Insert `rows` by one statement and return what `returning` names, if anything."""
    if not rows:
        return []
    sql, params = insert_statement(
        connection, table, columns, rows, on_conflict=on_conflict, returning=returning
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall()) if returning else []


def insert_statement(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Columns,
    rows: Sequence[Sequence[Any]],
    *,
    on_conflict: str = "",
    returning: str = "",
) -> tuple[str, list[Any]]:
    """Return the statement of `insert_rows` and its parameters, to run with others."""
    source, params = rows_source(connection, columns, rows)
    names = ", ".join(columns)
    # `WHERE true`: without it SQLite takes ON CONFLICT for the ON of a join.
    sql = f"INSERT INTO {table} ({names}) SELECT {names} FROM {source} AS v WHERE true"
    if on_conflict:
        sql += f" ON CONFLICT {on_conflict}"
    if returning:
        sql += f" RETURNING {returning}"
    return sql, params


def run_together(
    connection: BaseDatabaseWrapper, *statements: tuple[str, Sequence[Any]]
) -> list[tuple[Any, ...]]:
    """Run statements that change different tables; return the rows of the last, if it gives any.

    One statement on PostgreSQL: all but the last become parts of its WITH. They must not build on
    one another's changes, because there all of them see the tables as they were before. On SQLite,
    which cannot do that and costs no round trip, they run one after the other.
    """
    *others, (last, last_params) = statements
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and others:
            parts = ", ".join(f"part{place} AS ({sql})" for place, (sql, _) in enumerate(others))
            params = [item for _, given in others for item in given]
            cursor.execute(f"WITH {parts} {last}", [*params, *last_params])
        else:
            for sql, params_of_one in others:
                cursor.execute(sql, params_of_one)
            cursor.execute(last, last_params)
        return list(cursor.fetchall()) if cursor.description else []


def in_set(
    connection: BaseDatabaseWrapper, values: Sequence[int | str], kind: str
) -> tuple[str, list[Any]]:
    """Return the right side of a membership test, `column {sql}`, with one parameter."""
    if connection.vendor == "postgresql":
        return f"= ANY(%s::{kind}[])", [list(values)]
    return "IN (SELECT value FROM json_each(%s))", [json.dumps(list(values))]


def database_time(connection: BaseDatabaseWrapper, moment: datetime) -> Any:
    """Return an aware datetime as a raw statement of this database wants it."""
    return moment if connection.vendor == "postgresql" else _sqlite_value(moment)


def _moment_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot travel in a row")


def _sqlite_value(value: Any) -> Any:
    # Django stores datetimes on SQLite as naive UTC text; the same text keeps comparisons true.
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"naive datetime {value!r}: attach a time zone")
        return str(value.astimezone(UTC).replace(tzinfo=None))
    return value


def aware(value: Any) -> datetime:
    """Return a datetime as a raw statement of either database gave it, aware and in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    moment: datetime = value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
