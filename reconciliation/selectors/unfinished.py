"""Which tasks are not done, and why: what commands say before they end; changes nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q

from audit.domain.canonical import utc_text
from reconciliation.domain.circuits import NEEDING_THE_HOST
from reconciliation.models import Circuit, CircuitHold, ReconciliationTask, TaskState

DUE, LATER, RETRY = "due", "waiting", "retry"
HELD, RUNNING, DEAD = "held", "running", "dead"
"""Not begun; not due before `until`; failed and tried again; host down; elsewhere; gave up."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A task that is not done; `until` is the next moment at which that may change."""

    branch: str
    task_kind: str
    reason: str
    detail: str
    until: datetime | None

    def as_json(self) -> dict[str, str | None]:
        """Return it as JSON values."""
        return {
            "branch": self.branch,
            "task_kind": self.task_kind,
            "reason": self.reason,
            "detail": self.detail,
            "until": utc_text(self.until) if self.until else None,
        }


@dataclass(frozen=True, slots=True)
class QueueLeft:
    """What a queue still holds; `next_due_at` is of what is not due yet."""

    due: int
    later: int
    held: int
    running: int
    next_due_at: datetime | None


def unfinished_of(correlation_id: str, *, now: datetime) -> list[Unfinished]:
    """Return the tasks with this correlation id that are not done, in canonical order."""
    rows = (
        ReconciliationTask.objects.filter(
            correlation_id=correlation_id,
            state__in=(TaskState.QUEUED, TaskState.RUNNING, TaskState.DEAD),
        )
        .select_related("held_by")
        .order_by("tenant", "repo", "branch", "task_kind", "id")
    )
    tasks = list(rows)
    holds = CircuitHold.objects.filter(
        repository_id__in={row.repository_id for row in tasks}
    ).select_related("circuit")
    down = {hold.repository_id: hold.circuit for hold in holds}
    return [_unfinished(row, down.get(row.repository_id), now=now) for row in tasks]


def queue_left(*, now: datetime) -> QueueLeft:
    """Return what the whole queue holds, in one query."""
    free = Q(state=TaskState.QUEUED, held_by__isnull=True)
    found = ReconciliationTask.objects.filter(
        state__in=(TaskState.QUEUED, TaskState.RUNNING)
    ).aggregate(
        due=Count("id", filter=free & Q(run_after__lte=now)),
        later=Count("id", filter=free & Q(run_after__gt=now)),
        held=Count("id", filter=Q(held_by__isnull=False)),
        running=Count("id", filter=Q(state=TaskState.RUNNING)),
        next_due_at=Min("run_after", filter=free & Q(run_after__gt=now)),
    )
    return QueueLeft(**found)


def in_words(unfinished: Sequence[Unfinished]) -> list[str]:
    """Return one line for each reason and cause, the most frequent first, with its first moment."""
    numbers = Counter((one.reason, one.detail) for one in unfinished)
    first: dict[tuple[str, str], datetime] = {}
    for one in sorted(unfinished, key=lambda one: utc_text(one.until) if one.until else ""):
        if one.until is not None:
            first.setdefault((one.reason, one.detail), one.until)
    return [
        f"{number} {_WORDS[cause[0]]}: {cause[1]}"
        + (f" (from {utc_text(first[cause])})" if cause in first else "")
        for cause, number in sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    ]


_WORDS = {
    DUE: "due",
    LATER: "waiting",
    RETRY: "to be tried again",
    HELD: "held",
    RUNNING: "running elsewhere",
    DEAD: "failed for good",
}


def _unfinished(row: ReconciliationTask, down: Circuit | None, *, now: datetime) -> Unfinished:
    needs_host = row.task_kind in NEEDING_THE_HOST
    circuit = row.held_by or (down if needs_host else None)
    reason, detail, until = _why(row, circuit, now=now)
    return Unfinished(row.branch, row.task_kind, reason, detail, until)


def _why(
    row: ReconciliationTask, circuit: Circuit | None, *, now: datetime
) -> tuple[str, str, datetime | None]:
    if row.state == TaskState.DEAD:
        return DEAD, row.last_error, None
    if row.state == TaskState.RUNNING:
        return RUNNING, f"claimed by {row.claimed_by}", row.claim_expires_at
    if circuit is not None:
        return HELD, f"{circuit.origin} is down: {circuit.message}", circuit.next_probe_at
    if row.last_error:
        return RETRY, row.last_error, row.run_after
    if row.run_after > now:
        return LATER, "a head that moved must settle first", row.run_after
    return DUE, "the time was up", None
