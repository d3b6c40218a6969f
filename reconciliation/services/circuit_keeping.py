"""Keeps circuits: sends probes when they are due, counts what waits, lets go what may go on.

Called by every drain before it claims: one cheap query while nothing is wrong. Whoever holds the
row's lock does it; the others go on.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q

from audit.domain.entries import Entry
from audit.services import append
from audit.setwise import database_time, in_set
from governance.selectors.branch_facts import repositories_by_id
from governance.selectors.credential_use import ReadFrom
from reconciliation.domain.circuits import NEEDING_THE_HOST, CircuitState, half_opened
from reconciliation.models import Circuit, CircuitHold, Origin, ReconciliationTask, TaskKind
from reconciliation.services.circuit_alerts import circuit_entry, retell_alert
from reconciliation.services.circuit_rows import (
    facts_of,
    hold_repositories,
    members_of,
    store,
)
from reconciliation.services.circuits import close_circuit
from reconciliation.services.intake import request_observation
from reconciliation.services.wake import wake

logger = logging.getLogger("reconciler.circuits")

COUNT_EVERY = timedelta(seconds=15)
_DEADLOCK_DETECTED = "40P01"
_TASK = ReconciliationTask._meta.db_table
_HOLD = CircuitHold._meta.db_table


def keep_circuits(*, now: datetime) -> None:
    """Do what time makes due on circuits that are open, or closed and not yet let go of."""
    for pk in _due(now):
        try:
            with transaction.atomic():
                row = (
                    Circuit.objects.select_for_update(of=("self",), skip_locked=True)
                    .select_related("tenant", "credential")
                    .filter(pk=pk)
                    .first()
                )
                if row is not None:
                    append(_keep(row, now=now))
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != _DEADLOCK_DETECTED:
                raise
            # Nothing was done, and the next drain does it.
            logger.warning("circuit.not_kept circuit=%d error=%s", pk, error)


def _due(now: datetime) -> list[int]:
    rows = Circuit.objects.filter(failing_since__isnull=False)
    is_open = ~Q(state=CircuitState.CLOSED.value)
    is_uncounted = Q(counted_at__isnull=True) | Q(counted_at__lte=now - COUNT_EVERY)
    due = Q(releasing=True) | (is_open & (Q(next_probe_at__lte=now) | is_uncounted | _RENEWED))
    return list(rows.filter(due).order_by("pk").values_list("pk", flat=True))


_RENEWED = Q(state=CircuitState.OPEN.value, credential__renewed_at__gt=F("last_failure_at"))
"""A person renewed the credential: no need to wait for the next probe."""


def _keep(row: Circuit, *, now: datetime) -> list[Entry]:
    if row.state == CircuitState.CLOSED.value:
        if row.releasing:
            _let_go(row, now=now)
        return []
    entries: list[Entry] = []
    renewed_at = row.credential.renewed_at if row.credential else None
    is_renewed = renewed_at is not None and renewed_at > (row.last_failure_at or renewed_at)
    is_due = row.next_probe_at is None or row.next_probe_at <= now
    if is_due or (is_renewed and row.state == CircuitState.OPEN.value):
        entries = _probe(row, now=now)
    if row.state != CircuitState.CLOSED.value:
        _count(row, now=now)
    return entries


def _probe(row: Circuit, *, now: datetime) -> list[Entry]:
    """Let one observation through: one that waits, of another repository than last time."""
    members = members_of(row)
    hold_repositories(row, members)
    if not members:
        return close_circuit(row, reason="no repository is read there any more", now=now)
    place = _next(members, row.probed_repo)
    waiting = row.held.filter(
        repository_id=place.repository_id, task_kind=TaskKind.OBSERVE_REFS
    ).order_by("id")
    task_id = waiting.values_list("pk", flat=True).first()
    if task_id is None:
        task_id = request_observation(
            repositories_by_id([place.repository_id])[place.repository_id],
            about=f"circuit {row.pk} opening {row.openings} probe {row.failed_probes}",
            origin=Origin.FOLLOW_UP,
            correlation_id=row.correlation_id,
            now=now,
        )
    ReconciliationTask.objects.filter(pk=task_id, held_by=row).update(held_by=None, run_after=now)
    CircuitHold.objects.filter(circuit=row).exclude(probe_task_id=0).update(probe_task_id=0)
    CircuitHold.objects.filter(repository_id=place.repository_id).update(probe_task_id=task_id)
    row.probed_repo = place.slug
    store(row, half_opened(facts_of(row), now=now), now=now)
    told = {"task": task_id, "repo": place.slug, "probe": row.failed_probes + 1}
    return [circuit_entry(row, "circuit.probe", reason="it is time to ask", now=now, **told)]


def _next(members: Sequence[ReadFrom], probed: str) -> ReadFrom:
    """Return the repository after the last one that was asked, in turns: one may be broken."""
    ordered = sorted(members, key=lambda place: place.slug)
    return next((place for place in ordered if place.slug > probed), ordered[0])


def _count(row: Circuit, *, now: datetime) -> None:
    """Mark what came since, count what waits, and bring the alert's words up to date."""
    if row.counted_at is not None and now - row.counted_at < COUNT_EVERY:
        return
    kinds, params = in_set(connection, list(NEEDING_THE_HOST), "text")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TASK} SET held_by_id = %s WHERE id IN ("
            f"SELECT t.id FROM {_TASK} t JOIN {_HOLD} h ON h.repository_id = t.repository_id"
            " WHERE h.circuit_id = %s AND h.probe_task_id <> t.id AND t.state = 'queued'"
            f" AND t.held_by_id IS NULL AND t.task_kind {kinds}{_SKIP[connection.vendor]})",
            [row.pk, row.pk, *params],
        )
    # The probe waits for the host's answer, too.
    row.held_tasks = row.held.count() + (row.state == CircuitState.HALF_OPEN.value)
    row.counted_at = now
    row.save(update_fields=["held_tasks", "counted_at"])
    retell_alert(row, now=now)


def _let_go(row: Circuit, *, now: datetime) -> None:
    """Let go of all that waited; what was in backoff for the host's sake is due at once, too."""
    at = database_time(connection, now)
    cast = "%s::timestamptz" if connection.vendor == "postgresql" else "%s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_TASK} SET held_by_id = NULL,"
            f" run_after = CASE WHEN run_after > {cast} AND last_error_code LIKE 'remote_%%'"
            f" THEN {cast} ELSE run_after END WHERE id IN ("
            f"SELECT t.id FROM {_TASK} t WHERE t.held_by_id = %s{_SKIP[connection.vendor]})",
            [at, at, row.pk],
        )
    row.held_tasks = row.held.count()
    row.releasing = row.held_tasks > 0
    store(row, facts_of(row), now=now)
    wake(now)


# Who queues tasks locks them in another order: what is locked just now is taken the next time.
_SKIP = {"postgresql": " FOR UPDATE OF t SKIP LOCKED", "sqlite": ""}
