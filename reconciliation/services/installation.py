"""How this installation is set up to work: bounds of drains and sweeps, and who works here."""

import os
import socket
from datetime import timedelta

from django.conf import settings

from reconciliation.services.execute import Limits
from reconciliation.services.sweeps import Budget


def configured_limits() -> Limits:
    """Return the bounds of one drain."""
    return Limits(
        batch=settings.CLAIM_BATCH,
        claim_seconds=settings.CLAIM_SECONDS,
        total_seconds=settings.DRAIN_SECONDS,
    )


def configured_budget() -> Budget:
    """Return the bounds of one sweep."""
    return Budget(
        repositories=settings.SWEEP_REPOSITORIES_PER_TICK,
        per_tenant=settings.SWEEP_REPOSITORIES_PER_TENANT,
        interval=timedelta(seconds=settings.SWEEP_INTERVAL_SECONDS),
    )


def worker_name() -> str:
    """Return who works here: host and process, for claims and attempts."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}"
