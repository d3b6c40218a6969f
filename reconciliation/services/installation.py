"""How this installation is set up to work: bounds of drains and sweeps, and who works here."""

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings

from reconciliation.services.execute import Drained, Limits, Stop, drain
from reconciliation.services.observe import configured_remote
from reconciliation.services.sweeps import Budget
from reconciliation.services.tether import tether_of
from reconciliation.services.tick import Ticked, tick


def configured_limits() -> Limits:
    """Return the bounds of one drain."""
    return Limits(
        batch=settings.CLAIM_BATCH,
        claim_seconds=settings.CLAIM_SECONDS,
        total_seconds=settings.DRAIN_SECONDS,
        batch_seconds=settings.BATCH_SECONDS,
    )


def configured_budget() -> Budget:
    """Return the bounds of one sweep."""
    return Budget(
        repositories=settings.SWEEP_REPOSITORIES_PER_TICK or None,
        per_tenant=settings.SWEEP_REPOSITORIES_PER_TENANT or None,
        interval=timedelta(seconds=settings.SWEEP_INTERVAL_SECONDS),
        host_calls_per_minute=settings.HOST_CALLS_PER_MINUTE,
    )


def worker_name() -> str:
    """Return who works here: host and process, and the supervised cluster if it is one's."""
    tether = tether_of(os.environ)
    name = f"{socket.gethostname()[:60]}:{os.getpid()}"
    return f"{name}:{tether.cluster}" if tether else name


def drain_here(
    *,
    worker: str,
    clock: Callable[[], datetime],
    limits: Limits | None = None,
    should_stop: Stop = lambda: False,
    progress: Callable[[], None] = lambda: None,
) -> Drained:
    """Drain in this process, with the configured remote and, unless told otherwise, limits."""
    return drain(
        worker=worker,
        remote=configured_remote(),
        clock=clock,
        limits=limits or configured_limits(),
        should_stop=should_stop,
        progress=progress,
    )


def tick_here(*, correlation_id: str, now: datetime) -> Ticked:
    """Tick in this process, with the configured budget and retention."""
    return tick(
        budget=configured_budget() if settings.SCHEDULED_SWEEPS else None,
        body_retention=timedelta(days=settings.DELIVERY_BODY_RETENTION_DAYS),
        correlation_id=correlation_id,
        now=now,
    )
