"""Writes down ended attempts, many by one statement; one row per claim, and never a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from django.db import connection

from audit.setwise import Columns, insert_rows
from reconciliation.models import TaskAttempt

_COLUMNS: Columns = {
    "task_id": "bigint",
    "series": "integer",
    "number": "integer",
    "claim_epoch": "bigint",
    "worker": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "outcome": "text",
    "error_class": "text",
    "error_code": "text",
    "error": "text",
}


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """One try at a task and how it ended; its fields are named like the columns."""

    task_id: int
    series: int
    number: int
    claim_epoch: int
    worker: str
    started_at: datetime
    ended_at: datetime
    outcome: str
    error_class: str = ""
    error_code: str = ""
    error: str = ""


def record_attempts(ended: Sequence[EndedAttempt]) -> None:
    """Store attempts by one statement, in the transaction that ends their claims."""
    insert_rows(
        connection, TaskAttempt._meta.db_table, _COLUMNS, [_values_of(one) for one in ended]
    )


_values_of = attrgetter(*_COLUMNS)
