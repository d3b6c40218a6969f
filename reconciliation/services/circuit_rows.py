"""Circuits as they are stored: found, made and locked, written back; decides nothing."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from governance.selectors.credential_use import ReadFrom, active_read_with
from reconciliation.domain.circuits import (
    CircuitFacts,
    CircuitState,
    Failure,
    circuit_key,
    origin_of,
)
from reconciliation.models import Circuit, CircuitHold


def key_of(place: ReadFrom) -> str:
    """Return the key of the circuit that a repository is behind."""
    return circuit_key(
        tenant=place.tenant,
        origin=origin_of(place.clone_url),
        credential_id=place.credential_id,
    )


def locked_circuits(places: Mapping[str, ReadFrom], *, make: Iterable[str]) -> list[Circuit]:
    """Return the circuits with these keys, locked, in the order of their keys.

    Those in `make` are made when they are new; of the others only what is not as it should be is
    locked: a batch that went well must not wait for another.
    """
    wanted = set(make)
    Circuit.objects.bulk_create(
        [
            Circuit(
                tenant_id=places[key].tenant_id,
                origin=origin_of(places[key].clone_url),
                credential_id=places[key].credential_id,
                key=key,
            )
            for key in sorted(wanted)
        ],
        ignore_conflicts=True,
    )
    failing = Circuit.objects.filter(key__in=set(places) - wanted, failing_since__isnull=False)
    keys = wanted | set(failing.values_list("key", flat=True))
    # "C" order: two workers lock them in one order, whatever the database's locale.
    ids = Circuit.objects.filter(key__in=keys).order_by("pk").values_list("pk", flat=True)
    return list(
        Circuit.objects.select_for_update(of=("self",))
        .select_related("tenant", "credential")
        .filter(pk__in=list(ids))
        .order_by("pk")
    )


def facts_of(row: Circuit) -> CircuitFacts:
    """Return a circuit as the rules see it; of the last outage they need to know nothing."""
    failures = tuple(
        Failure(task_id, repository_id, datetime.fromisoformat(at))
        for task_id, repository_id, at in row.failures
    )
    if row.state == CircuitState.CLOSED.value:
        return CircuitFacts(row.key, failures=failures)
    return CircuitFacts(
        key=row.key,
        state=CircuitState(row.state),
        failures=failures,
        cause=row.cause,
        message=row.message,
        opened_at=row.opened_at,
        next_probe_at=row.next_probe_at,
        failed_probes=row.failed_probes,
    )


def store(row: Circuit, facts: CircuitFacts, *, now: datetime) -> None:
    """Write the rules' answer into a locked row; the cause of a closed circuit is kept to read."""
    row.state = facts.state.value
    row.failures = [[one.task_id, one.repository_id, one.at.isoformat()] for one in facts.failures]
    row.next_probe_at = facts.next_probe_at
    row.failed_probes = facts.failed_probes
    if facts.is_open:
        row.cause, row.message = facts.cause, facts.message[:2000]
        row.opened_at = facts.opened_at
        row.closed_at = None
    is_clean = not facts.is_open and not facts.failures and not row.releasing
    row.failing_since = None if is_clean else (row.failing_since or now)
    row.save()


def ask_soon(repository_id: int, *, now: datetime) -> None:
    """Have the next probe sent at once: somebody asks for this repository, and may know more.

    Not where the host itself named the time. To be called before tasks are locked: who judges a
    batch locks circuits first.
    """
    Circuit.objects.filter(
        holds__repository_id=repository_id,
        state=CircuitState.OPEN.value,
        next_probe_at__gt=now,
    ).exclude(cause="remote_throttled").update(next_probe_at=now)


def members_of(row: Circuit) -> list[ReadFrom]:
    """Return the active repositories behind a circuit, by slug."""
    places = active_read_with(tenant_id=row.tenant_id, credential_id=row.credential_id)
    return [place for place in places if key_of(place) == row.key]


def hold_repositories(row: Circuit, members: Sequence[ReadFrom]) -> None:
    """Let the tasks of exactly these repositories wait for a circuit."""
    ids = {place.repository_id for place in members}
    moved = CircuitHold.objects.filter(circuit=row).exclude(repository_id__in=ids)
    gone = list(moved.values_list("repository_id", flat=True))
    if gone:
        moved.delete()
        row.held.filter(repository_id__in=gone).update(held_by=None)
    CircuitHold.objects.bulk_create(
        [CircuitHold(repository_id=pk, circuit=row) for pk in sorted(ids)],
        update_conflicts=True,
        unique_fields=["repository"],
        update_fields=["circuit"],
    )
    row.held_repositories = len(ids)
