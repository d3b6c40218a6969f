"""Circuits as people see them: which hosts and credentials are down, and what waits for them."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, QuerySet, Sum

from audit.domain.caller import Caller
from governance.selectors.visible import scoped
from reconciliation.domain.circuits import CircuitState
from reconciliation.models import Circuit

MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class OpenCircuit:
    """One tenant's way to one host that is shut; what it holds is counted every few seconds."""

    circuit_id: int
    tenant: str
    origin: str
    credential: str
    state: str
    cause: str
    message: str
    since: datetime | None
    next_probe_at: datetime | None
    held_tasks: int
    held_repositories: int

    @property
    def told(self) -> str:
        """What it means, in a line."""
        with_it = f" with credential {self.credential}" if self.credential else ""
        places = "repository" if self.held_repositories == 1 else "repositories"
        return (
            f"Cannot be used{with_it} ({self.cause}): {self.held_tasks} tasks of"
            f" {self.held_repositories} {places} wait, and no attempt is burnt."
        )


@dataclass(frozen=True, slots=True)
class OpenCircuits:
    """How many are open, what they hold, and the longest open of them."""

    count: int
    held_tasks: int
    named: tuple[OpenCircuit, ...]


def visible_circuits(caller: Caller) -> QuerySet[Circuit]:
    """Return circuits with tenant and credential, by (tenant, key)."""
    rows = Circuit.objects.select_related("tenant", "credential")
    return scoped(rows, caller=caller).order_by("tenant__slug", "key")


def open_circuits(caller: Caller) -> OpenCircuits:
    """Return the caller's circuits that are open, in two queries; one when there are none."""
    rows = _open(visible_circuits(caller))
    named = tuple(
        OpenCircuit(
            circuit_id=row.pk,
            tenant=row.tenant.slug,
            origin=row.origin,
            credential=row.credential.name if row.credential else "",
            state=row.state,
            cause=row.cause,
            message=row.message,
            since=row.opened_at,
            next_probe_at=row.next_probe_at,
            held_tasks=row.held_tasks,
            held_repositories=row.held_repositories,
        )
        for row in rows.order_by("opened_at", "pk")[:MOST_NAMED]
    )
    count, held = len(named), sum(one.held_tasks for one in named)
    if count == MOST_NAMED:
        sums = rows.order_by().aggregate(number=Count("pk"), in_all=Sum("held_tasks"))
        count, held = sums["number"], sums["in_all"]
    return OpenCircuits(count, held, named)


def open_by_cause() -> dict[str, tuple[int, int]]:
    """Return, for the whole site, how many circuits are open by cause and what they hold."""
    rows = (
        _open(Circuit.objects.all())
        .order_by("cause")
        .values_list("cause")
        .annotate(number=Count("pk"), in_all=Sum("held_tasks"))
    )
    return {cause: (number, held) for cause, number, held in rows}


def _open(rows: QuerySet[Circuit]) -> QuerySet[Circuit]:
    # Together they fit the partial index: an open circuit is failing, always.
    return rows.filter(failing_since__isnull=False).exclude(state=CircuitState.CLOSED.value)
