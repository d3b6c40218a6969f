"""The status of the whole: part by part, valid whatever fails; changes nothing.

Each part is read by itself. One that the database refuses is `unknown`, with the reason, and the
others are still told: a status that fails with what it reports on is of no use.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction

from audit.domain.caller import Caller
from reconciliation.selectors.status_machinery import (
    audit_part,
    disks_part,
    hosts_part,
    queue_part,
    sweeps_part,
    worker_part,
)
from reconciliation.selectors.status_values import Figures, Reason
from reconciliation.selectors.status_world import (
    alerts_part,
    leases_part,
    repositories_part,
    webhooks_part,
)

logger = logging.getLogger("reconciler.status")

ReadPart = Callable[[Caller, datetime], Figures]

PARTS: Mapping[str, ReadPart] = {
    "queue": queue_part,
    "hosts": hosts_part,
    "sweeps": sweeps_part,
    "worker": worker_part,
    "disks": disks_part,
    "repositories": repositories_part,
    "webhooks": webhooks_part,
    "alerts": alerts_part,
    "leases": leases_part,
    "audit": audit_part,
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part: ok, degraded or unknown; `as_of` None and no figures when it is unknown."""

    status: str
    as_of: datetime | None
    reasons: tuple[Reason, ...]
    figures: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Status:
    """All parts and their sum; `status` is ok or degraded."""

    as_of: datetime
    parts: Mapping[str, Part]

    @property
    def status(self) -> str:
        """Degraded as soon as one part is not ok."""
        return "ok" if all(part.status == "ok" for part in self.parts.values()) else "degraded"

    @property
    def degraded_reasons(self) -> list[tuple[str, Reason]]:
        """Why, as (part, reason), in the order of the parts."""
        return [(name, reason) for name, part in self.parts.items() for reason in part.reasons]


def status_of(caller: Caller, *, now: datetime, parts: Mapping[str, ReadPart] = PARTS) -> Status:
    """Return the status as far as it can be read at `now`, in at most 22 queries."""
    return Status(now, {name: _read(name, read, caller, now) for name, read in parts.items()})


def _read(name: str, read: ReadPart, caller: Caller, now: datetime) -> Part:
    try:
        # A savepoint where there is a transaction: one failed statement would spoil the rest.
        with transaction.atomic():
            figures = read(caller, now)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("status.part_failed part=%s error=%s", name, error)
        detail = f"The {name} could not be read ({type(error).__name__}); the log has more."
        return Part("unknown", None, (Reason(f"{name}_unknown", detail),), None)
    state = "degraded" if figures.reasons else "ok"
    return Part(state, figures.as_of or now, figures.reasons, figures.values)
