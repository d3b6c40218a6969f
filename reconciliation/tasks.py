"""What django-q2 runs: drains, ticks, canaries. All may be lost, doubled or late without harm."""

import os
from datetime import datetime

from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from reconciliation.services.canary import meet_canary
from reconciliation.services.installation import drain_here, tick_here, worker_name
from reconciliation.services.tether import tether_of
from reconciliation.services.wake import wake


def drain() -> str:
    """Work off what is due; called by every wake-up. A second one at the same time is harmless."""
    tether = tether_of(os.environ)
    if tether is None:
        done = drain_here(worker=worker_name(), clock=timezone.now)
    else:
        done = drain_here(
            worker=worker_name(),
            clock=timezone.now,
            should_stop=tether.is_told_to_stop,
            progress=tether.report_progress,
        )
    if done.ran_out_of_time:
        wake(timezone.now())
    return f"{done.completed} completed, {done.retried} retried, {done.dead} dead"


def tick() -> str:
    """Run the minute tick; called by the one schedule."""
    correlation_id = new_correlation_id()
    with correlated(correlation_id):
        done = tick_here(correlation_id=correlation_id, now=timezone.now())
    return f"{done.planned} planned, {done.reaped} reaped"


def canary(cluster: str, sent_at: str) -> str:
    """Prove that messages reach a worker of this cluster."""
    tether = tether_of(os.environ)
    met = meet_canary(
        cluster,
        datetime.fromisoformat(sent_at),
        here=tether.cluster if tether else None,
        worker=worker_name(),
        now=timezone.now(),
    )
    if tether is not None:
        # Also one that was passed on shows that messages reach us.
        tether.report_progress()
    return "met" if met else "passed on"
