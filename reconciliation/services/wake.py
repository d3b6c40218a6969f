"""Asks django-q2 to run a drain; a lost, doubled or reordered wake-up costs latency only.

The wake-up is a row in django-q2's ORM broker, written in the caller's transaction. Its `lock` is
when it becomes visible: a little later than now, at a twentieth of a second. So it covers whoever
asks for the same moment and commits before then, and a burst of deliveries shares a few rows.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.humanhash import uuid
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from audit.setwise import database_time
from reconciliation.models import ReconciliationTask, TaskState

DRAIN = "reconciliation.tasks.drain"
_MARGIN = timedelta(milliseconds=50)
_NEAR = timedelta(seconds=1)
_MOST = 5
_OVERTIME_SECONDS = 60
_OVERLOOKED = timedelta(seconds=3)
_GRID_MICROSECONDS = 50_000
_INSERT = (
    "INSERT INTO django_q_ormq (key, payload, lock) SELECT %s, %s, {when}"
    " WHERE NOT EXISTS (SELECT 1 FROM django_q_ormq WHERE key = %s AND lock = {when})"
)


def wake_statement(connection: BaseDatabaseWrapper, due: datetime) -> tuple[str, list[Any]]:
    """Return the statement that puts a wake-up for `due`, unless the one that covers it waits."""
    cast = "%s::timestamptz" if connection.vendor == "postgresql" else "%s"
    name: str = settings.Q_CLUSTER["name"]
    slot = _on_grid(due + _MARGIN)
    at = database_time(connection, slot)
    return _INSERT.format(when=cast), [name, _drain_message(slot), at, name, at]


@lru_cache(maxsize=8)
def _drain_message(slot: datetime) -> str:
    """Return the message of a slot; only one of them is ever waiting, so it is made once."""
    return _payload(DRAIN, due=slot)


def _on_grid(moment: datetime) -> datetime:
    past = moment.microsecond % _GRID_MICROSECONDS
    return moment + timedelta(microseconds=(_GRID_MICROSECONDS - past) if past else 0)


def wake(due: datetime) -> None:
    """Ask for a drain at `due` (at once, for a moment that has passed)."""
    statement, params = wake_statement(connection, due)
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def wake_at(moments: Iterable[datetime]) -> None:
    """Ask for drains at these moments: one for those within a second, and at most five in all.

    What is due later than the fifth is woken by the tick, at most a minute late.
    """
    asked: list[datetime] = []
    for due in sorted(set(moments)):
        if not asked or due - asked[-1] > _NEAR:
            asked.append(due)
    for due in asked[:_MOST]:
        wake(due)


def wake_if_overlooked(*, now: datetime) -> bool:
    """Ask for a drain when work has been due for seconds and no wake-up waits to be taken.

    A transaction that takes long may commit after the wake-up that it counted on was worked off.
    """
    due = ReconciliationTask.objects.filter(
        state=TaskState.QUEUED, held_by__isnull=True, run_after__lte=now - _OVERLOOKED
    )
    if OrmQ.objects.filter(lock__lte=now).exists() or not due.exists():
        return False
    wake(now)
    return True


def send(function: str, *arguments: str, due: datetime) -> None:
    """Put a message for django-q2 into the caller's transaction, whatever else is waiting."""
    cast = "%s::timestamptz" if connection.vendor == "postgresql" else "%s"
    name: str = settings.Q_CLUSTER["name"]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, {cast})",
            [name, _payload(function, *arguments, due=due), database_time(connection, due)],
        )


def _payload(function: str, *arguments: str, due: datetime) -> str:
    name, identifier = uuid()
    # save=False: nobody reads the result of a wake-up, and saving it costs more than sending it.
    task = {
        "id": identifier,
        "name": name,
        "func": function,
        "args": arguments,
        "kwargs": {},
        "started": due,
        "save": False,
        "ack_failure": True,
        # A drain may finish the exchanges that it began before its time was up.
        "timeout": settings.DRAIN_SECONDS + settings.BATCH_SECONDS + _OVERTIME_SECONDS,
    }
    packed: str = SignedPackage.dumps(task)
    return packed
