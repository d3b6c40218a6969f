"""Judges what a batch showed of hosts and credentials: opens circuits, closes them, holds tasks.

Called by whoever applies a batch, in its transaction; it asks no host itself. `circuit_keeping`
does what time alone makes due: probes, counts, letting go.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from audit.domain.entries import Entry
from governance.selectors.credential_use import ReadFrom, read_from
from reconciliation.domain.circuits import (
    MENDED_BY_THE_HOST,
    OPENS_AFTER,
    CircuitFacts,
    CircuitState,
    Evidence,
    Shown,
    after,
    shown_by,
)
from reconciliation.models import Circuit, CircuitHold
from reconciliation.services.circuit_alerts import circuit_entry, open_alert, resolve_alert
from reconciliation.services.circuit_rows import (
    facts_of,
    hold_repositories,
    key_of,
    locked_circuits,
    members_of,
    store,
)
from reconciliation.services.dead_letters import requeue_recovered
from reconciliation.services.observe.values import Trouble
from reconciliation.services.queue import ClaimedTask
from reconciliation.services.wake import wake


@dataclass(frozen=True, slots=True)
class Held:
    """A task that waits for a circuit, at least until its next probe."""

    circuit_id: int
    until: datetime


@dataclass(slots=True)
class Judged:
    """Which tasks of the batch wait for which circuit, and what the trail is told."""

    held: dict[int, Held] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)


def judge(answered: Sequence[ClaimedTask], troubles: Sequence[Trouble], *, now: datetime) -> Judged:
    """Judge a batch: tasks whose host answered, and those in trouble.

    One query when nothing failed, now or lately. The tasks whose circuit is open afterwards are
    held: they did nothing wrong, and their attempts are given back.
    """
    judged = Judged()
    told = [trouble for trouble in troubles if trouble.code.startswith("remote_")]
    if not told and not (answered and _is_anything_failing()):
        return judged
    asked = [*answered, *(trouble.task for trouble in told)]
    places = {place.repository_id: place for place in read_from(one.repository_id for one in asked)}
    evidence = _evidence(answered, told, places)
    by_key = {key_of(place): place for place in places.values()}
    failing = {
        key
        for key, shown in evidence.items()
        if any(one.shown is not Shown.ANSWERED for one in shown)
    }
    now_open: dict[str, Circuit] = {}
    for row in locked_circuits(by_key, make=failing):
        _move(row, evidence[row.key], judged, now=now)
        if row.state != CircuitState.CLOSED.value:
            now_open[row.key] = row
    for trouble in told:
        row_of_it = now_open.get(key_of(places[trouble.task.repository_id]))
        if row_of_it is not None and trouble.code in MENDED_BY_THE_HOST:
            until = row_of_it.next_probe_at or now
            judged.held[trouble.task.id] = Held(row_of_it.pk, until)
    return judged


def close_circuit(row: Circuit, *, reason: str, now: datetime) -> list[Entry]:
    """Close a locked circuit: resolve its alert and bring back what died of it.

    What it held is let go by the next drain, in one statement of its own: there may be much.
    """
    was_open_since = row.opened_at
    holds = CircuitHold.objects.filter(circuit=row)
    recovered = sorted(holds.values_list("repository_id", flat=True))
    holds.delete()
    row.releasing = True
    row.closed_at = now
    store(row, CircuitFacts(row.key), now=now)
    wake(now)
    return [
        *resolve_alert(row, resolution=reason, now=now),
        *requeue_recovered(recovered, codes=MENDED_BY_THE_HOST, now=now),
        circuit_entry(
            row,
            "circuit.close",
            reason=reason,
            now=now,
            open_seconds=int((now - (was_open_since or now)).total_seconds()),
            held_tasks=row.held_tasks,
        ),
    ]


def _is_anything_failing() -> bool:
    return Circuit.objects.filter(failing_since__isnull=False).exists()


def _evidence(
    answered: Sequence[ClaimedTask], told: Sequence[Trouble], places: Mapping[int, ReadFrom]
) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = defaultdict(list)
    for task in answered:
        found[key_of(places[task.repository_id])].append(
            Evidence(task.id, task.repository_id, Shown.ANSWERED, task.started_at)
        )
    for trouble in told:
        task, place = trouble.task, places[trouble.task.repository_id]
        shown = shown_by(trouble.code, with_credential=place.credential_id is not None)
        if shown is not None:
            found[key_of(place)].append(
                Evidence(
                    task.id,
                    task.repository_id,
                    shown,
                    task.started_at,
                    trouble.code,
                    trouble.message,
                    trouble.retry_after_seconds,
                )
            )
    return found


def _move(row: Circuit, evidence: Sequence[Evidence], judged: Judged, *, now: datetime) -> None:
    before = facts_of(row)
    verdict = after(before, evidence, repositories=_behind(row, before, evidence), now=now)
    if verdict == before:
        return
    if any(one.shown is not Shown.ANSWERED for one in evidence):
        row.last_failure_at = now
    if before.is_open and not verdict.is_open:
        judged.entries += close_circuit(row, reason="the host answers again", now=now)
        return
    store(row, verdict, now=now)
    if verdict.is_open and not before.is_open:
        judged.entries += _opened(row, evidence, now=now)
    elif before.state is CircuitState.HALF_OPEN:
        CircuitHold.objects.filter(circuit=row).update(probe_task_id=0)
        judged.entries.append(
            circuit_entry(
                row,
                "circuit.probe_failed",
                reason=f"{row.cause}: {row.message}",
                now=now,
                next_probe_at=row.next_probe_at,
            )
        )


def _behind(row: Circuit, before: CircuitFacts, evidence: Sequence[Evidence]) -> int:
    """Return how many repositories are behind a circuit, as far as the rules must know: 1, or more.

    Counted only when one repository alone might open it: a broken one fails again and again.
    """
    failing = [one for one in evidence if one.shown is Shown.FAILED]
    tasks = {one.task_id for one in before.failures} | {one.task_id for one in failing}
    repositories = {one.repository_id for one in before.failures}
    repositories |= {one.repository_id for one in failing}
    if before.is_open or len(tasks) < OPENS_AFTER or len(repositories) > 1:
        return 2
    return len(members_of(row))


def _opened(row: Circuit, evidence: Sequence[Evidence], *, now: datetime) -> list[Entry]:
    members = members_of(row)
    hold_repositories(row, members)
    ids = [place.repository_id for place in members]
    if row.place_id not in ids:
        row.place_id = ids[0] if ids else None
    row.releasing = False
    row.openings += 1
    row.counted_at = None
    row.probed_repo = ""
    row.held_tasks = len({one.task_id for one in evidence if one.shown is not Shown.ANSWERED})
    row.save()
    return [
        circuit_entry(
            row,
            "circuit.open",
            reason=f"{row.cause}: {row.message}",
            now=now,
            next_probe_at=row.next_probe_at,
            repositories=row.held_repositories,
        ),
        *open_alert(row, now=now),
    ]
