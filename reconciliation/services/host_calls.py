"""Keeps count of calls to hosts, by minute and by sweep; decides nothing.

Calls count once they were made, whatever becomes of the batch that made them: so they are written
down apart from its transaction, and a batch that is lost still shows up in its host's budget.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction

from audit.setwise import Columns, insert_statement, rows_source, run_together
from reconciliation.domain.host_budget import host_of_url
from reconciliation.models import HostCalls, Sweep, TaskKind
from reconciliation.services.queue import ClaimedTask

_HOST_CALLS = HostCalls._meta.db_table
_SWEEP = Sweep._meta.db_table
_KEPT = timedelta(days=1)
_COLUMNS: Columns = {
    "minute": "timestamptz",
    "host": "text",
    "by_sweeps": "integer",
    "by_others": "integer",
    "readings": "integer",
}
_ADD = "(minute, host) DO UPDATE SET " + ", ".join(
    f"{name} = {_HOST_CALLS}.{name} + excluded.{name}"
    for name in ("by_sweeps", "by_others", "readings")
)


def record_calls(
    tasks: Sequence[ClaimedTask], calls: Mapping[tuple[str, str], int], *, now: datetime
) -> None:
    """Add a batch's calls, by (repository id as text, clone URL), to its hosts and its sweeps.

    A repository that anything but a sweep asked about, too, was called for that: sweeps get only
    what they alone caused. One statement on PostgreSQL, and none when no call was made.
    """
    if not calls:
        return
    causes = _causes(tasks)
    readings = {task.repository_id for task in tasks if task.task_kind == TaskKind.OBSERVE_REFS}
    by_host: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    by_sweep: Counter[int] = Counter()
    for (key, clone_url), made in sorted(calls.items()):
        numbers = by_host[host_of_url(clone_url)[:300]]
        sweep_id = causes.get(int(key))
        if sweep_id is None:
            numbers[1] += made
            continue
        numbers[0] += made
        numbers[2] += int(key) in readings
        by_sweep[sweep_id] += made
    minute = now.replace(second=0, microsecond=0)
    statements = [
        insert_statement(
            connection,
            _HOST_CALLS,
            _COLUMNS,
            [(minute, host, *numbers) for host, numbers in sorted(by_host.items())],
            on_conflict=_ADD,
        )
    ]
    if by_sweep:
        columns = {"id": "bigint", "made": "integer"}
        source, params = rows_source(connection, columns, sorted(by_sweep.items()))
        add = f"UPDATE {_SWEEP} SET host_calls = host_calls + v.made FROM {source} AS v"
        statements.append((f"{add} WHERE {_SWEEP}.id = v.id", params))
    with transaction.atomic():
        run_together(connection, *statements)


def recount_failures(sweep_ids: Collection[int]) -> None:
    """Store how many observations of these sweeps are dead letters now; one statement."""
    if not sweep_ids:
        return
    source, params = rows_source(connection, {"id": "bigint"}, [(pk,) for pk in sorted(sweep_ids)])
    with connection.cursor() as cursor:
        cursor.execute(_RECOUNT.format(source=source), params)


def forget_old_calls(*, now: datetime) -> int:
    """Drop the counts of more than a day ago; return how many."""
    return HostCalls.objects.filter(minute__lt=now - _KEPT).delete()[0]


_RECOUNT = (
    f"UPDATE {_SWEEP} SET failed = (SELECT COUNT(*) FROM reconciliation_reconciliationtask t"
    f" WHERE t.sweep_id = {_SWEEP}.id AND t.state = 'dead' AND t.task_kind = 'observe_refs')"
    f" FROM {{source}} AS v WHERE {_SWEEP}.id = v.id"
)


def _causes(tasks: Sequence[ClaimedTask]) -> dict[int, int | None]:
    """Return the sweep that alone caused the work on each repository, or None."""
    causes: dict[int, int | None] = {}
    for task in tasks:
        known = causes.get(task.repository_id, task.sweep_id)
        both = known is not None and task.sweep_id is not None
        causes[task.repository_id] = max(known, task.sweep_id) if both else None  # type: ignore[type-var]
    return causes
