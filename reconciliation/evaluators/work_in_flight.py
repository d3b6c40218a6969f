"""Says whether a running run may still record what was seen; reads facts only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from governance.domain.leases import alive_until
from governance.domain.policy import Policy
from reconciliation.domain.facts import RunFact


@dataclass(frozen=True, slots=True)
class InFlight:
    """A running run and the instant until which its last heartbeat proves that it lives."""

    run_id: str
    alive_until: datetime


def in_flight(runs: Iterable[RunFact], policy: Policy) -> InFlight | None:
    """Return the running run that was heard of last, or None without any.

    A run that stopped sending heartbeats is dead, however long it counts as running: whoever
    waits for it must look again at `alive_until`, and wait no longer without another heartbeat.
    """
    running = [run for run in runs if run.status == "running"]
    if not running:
        return None
    last = max(running, key=lambda run: (run.last_heartbeat_at, run.run_id))
    until = alive_until(last.last_heartbeat_at, heartbeat_seconds=policy.lease.heartbeat_seconds)
    return InFlight(last.run_id, until)
