"""What audit tests share: entries to append, and hands that tamper with what was appended."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import connection, transaction

from audit.domain.chain import Link
from audit.domain.entries import RECONCILER, Entry
from audit.services import append
from tests.factories.governance import CORRELATION_ID, NOON

ENTRY = Entry(
    tenant="acme",
    at=NOON,
    actor=RECONCILER,
    action="branch.observe",
    object_kind="branch",
    object_id="api main",
    correlation_id=CORRELATION_ID,
    repo="api",
    branch="main",
)


def record(number: int, **fields: Any) -> list[Link]:
    """Append `number` like entries in a transaction of their own; `object_id` counts them."""
    entries = [replace(ENTRY, object_id=f"thing {index}") for index in range(number)]
    with transaction.atomic():
        return append([replace(entry, **fields) for entry in entries])


@contextmanager
def triggers_off() -> Iterator[None]:
    """Do what an administrator of the database can do: switch the guards off, and on again."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            tables = ("audit_auditentry", "audit_chainhead")
            off = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables]
            on = [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables]
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            found = [(name, sql) for name, sql in cursor.fetchall() if name.startswith("audit_")]
            off = [f"DROP TRIGGER {name}" for name, _ in found]
            on = [sql for _, sql in found]
        for statement in off:
            cursor.execute(statement)
    yield
    with connection.cursor() as cursor:
        for statement in on:
            cursor.execute(statement)


def tamper(sql: str, *params: Any) -> None:
    """Run one statement behind the guards' back; it must change something."""
    with triggers_off(), connection.cursor() as cursor:
        cursor.execute(sql, params)
        assert cursor.rowcount > 0, "nothing was tampered with"
