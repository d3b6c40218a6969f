"""What django-q2 runs: drains and ticks. Both may be lost, doubled or late without harm."""

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from reconciliation.services.execute import drain as run_drain
from reconciliation.services.installation import (
    configured_budget,
    configured_limits,
    worker_name,
)
from reconciliation.services.observe import configured_remote
from reconciliation.services.tick import tick as run_tick


def drain() -> str:
    """Work off what is due; called by every wake-up. A second one at the same time is harmless."""
    done = run_drain(
        worker=worker_name(),
        remote=configured_remote(),
        clock=timezone.now,
        limits=configured_limits(),
    )
    return f"{done.completed} completed, {done.retried} retried, {done.dead} dead"


def tick() -> str:
    """Run the minute tick; called by the one schedule."""
    correlation_id = new_correlation_id()
    with correlated(correlation_id):
        done = run_tick(
            budget=configured_budget() if settings.SCHEDULED_SWEEPS else None,
            body_retention=timedelta(days=settings.DELIVERY_BODY_RETENTION_DAYS),
            correlation_id=correlation_id,
            now=timezone.now(),
        )
    return f"{done.planned} planned, {done.reaped} reaped"
