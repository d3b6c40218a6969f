"""What django-q2 runs: drains and ticks. Both may be lost, doubled or late without harm."""

import os
import socket
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from audit.correlation import correlated, new_correlation_id
from reconciliation.services.execute import Drained, Limits
from reconciliation.services.execute import drain as run_drain
from reconciliation.services.observe import configured_remote
from reconciliation.services.sweeps import Budget
from reconciliation.services.tick import tick as run_tick


def drain() -> str:
    """Work off what is due; called by every wake-up. A second one at the same time is harmless."""
    done = drain_here()
    return f"{done.completed} completed, {done.retried} retried, {done.dead} dead"


def drain_here() -> Drained:
    """Drain in this process with the configured remote and limits."""
    return run_drain(
        worker=worker_name(),
        remote=configured_remote(),
        clock=timezone.now,
        limits=Limits(
            batch=settings.CLAIM_BATCH,
            claim_seconds=settings.CLAIM_SECONDS,
            total_seconds=settings.DRAIN_SECONDS,
        ),
    )


def tick() -> str:
    """Run the minute tick; called by the one schedule."""
    correlation_id = new_correlation_id()
    with correlated(correlation_id):
        done = run_tick(
            budget=configured_budget(),
            body_retention=timedelta(days=settings.DELIVERY_BODY_RETENTION_DAYS),
            correlation_id=correlation_id,
            now=timezone.now(),
        )
    return f"{done.planned} planned, {done.reaped} reaped"


def configured_budget() -> Budget:
    """Return the bounds of one sweep as this installation sets them."""
    return Budget(
        repositories=settings.SWEEP_REPOSITORIES_PER_TICK,
        per_tenant=settings.SWEEP_REPOSITORIES_PER_TENANT,
        interval=timedelta(seconds=settings.SWEEP_INTERVAL_SECONDS),
    )


def worker_name() -> str:
    """Return who works here: host and process, for claims and attempts."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}"
