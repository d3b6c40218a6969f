"""Runs a statement that PostgreSQL keeps planned; for the few that are asked thousands of times.

Planning the receiver's statement costs the server several times its execution. The cursor is made
here because Django's own puts parameters into the text, so that no two texts are alike.
"""

from typing import Any

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper


def one_row_repeated(
    connection: BaseDatabaseWrapper, sql: str, params: list[Any]
) -> tuple[Any, ...] | None:
    """Return the first row of a statement that may be run twice, on PostgreSQL.

    It runs once more, on a new connection, when the kept one turns out to be dead. In return it is
    not asked before each statement whether it still lives, which costs a trip to the database.
    What was committed before the connection died is there the second time: `sql` must bear that.
    """
    connection.ensure_connection()
    try:
        return _one_row(connection, sql, params)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        connection.ensure_connection()
        return _one_row(connection, sql, params)


def _one_row(
    connection: BaseDatabaseWrapper, sql: str, params: list[Any]
) -> tuple[Any, ...] | None:
    with _cursor(connection) as cursor:
        cursor.execute(sql, params)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def _cursor(connection: BaseDatabaseWrapper) -> CursorWrapper:
    if connection.queries_logged or settings.TRANSACTION_POOLING:
        # Who reads the log of statements wants their parameters in them.
        return connection.cursor()
    # Django tells the driver never to prepare; its own cursors cannot, so this is for ours alone.
    connection.connection.prepare_threshold = 0
    raw: Any = psycopg.Cursor(connection.connection)
    return connection.make_cursor(raw)
