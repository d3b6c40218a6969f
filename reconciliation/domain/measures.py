"""What is counted for ever: how attempts and deliveries add up to totals by a few labels; pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

ATTEMPTS = "attempts"
DELIVERIES = "deliveries"
DRIFT_BUCKETS = "drift_seconds_bucket"
DRIFT_SUM = "drift_seconds_sum"
RECONCILIATIONS = "reconciliations"
RECONCILIATIONS_OF_TENANT = "reconciliations_of_tenant"

BEYOND = "+Inf"
DRIFT_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 21600.0)

# A drift check of a head that moved is about `before..after@n`; others look again at an old move.
_HEAD_MOVE = re.compile(r"\S+\.\.\S+@\d+")
_VIA = {"webhook": "webhook", "sweep": "sweep"}

Labels = tuple[str, ...]
Totals = Mapping[tuple[str, Labels], float]
"""By measure and label values."""


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt as it is counted. `first_origin` is what asked for the task it follows from."""

    task_kind: str
    tenant: str
    repo: str
    subject: str
    first_origin: str
    outcome: str
    announced_at: datetime
    ended_at: datetime


def totals_of_attempts(attempts: Iterable[EndedAttempt]) -> Totals:
    """Return what attempts add: by kind and outcome, by place, and how fast drift was decided.

    Detection takes from the announcement (the webhook's arrival, the sweep's planning) to the end
    of the check that decided on the moved head, waiting to settle included.
    """
    totals: dict[tuple[str, Labels], float] = defaultdict(float)
    for one in attempts:
        totals[ATTEMPTS, (one.task_kind, one.outcome)] += 1
        if one.outcome != "completed":
            continue
        totals[RECONCILIATIONS_OF_TENANT, (one.tenant,)] += 1
        totals[RECONCILIATIONS, (one.tenant, one.repo)] += 1
        if one.task_kind == "head_drift" and _HEAD_MOVE.fullmatch(one.subject):
            via = _VIA.get(one.first_origin, "other")
            # Announced again after the end: the clock of that detection is gone; count it as none.
            seconds = max(0.0, (one.ended_at - one.announced_at).total_seconds())
            totals[DRIFT_BUCKETS, (via, bucket_of(seconds))] += 1
            totals[DRIFT_SUM, (via,)] += seconds
    return dict(totals)


def totals_of_deliveries(deliveries: Iterable[tuple[str, str]]) -> Totals:
    """Return what deliveries, as (host kind, outcome), add."""
    totals: dict[tuple[str, Labels], float] = defaultdict(float)
    for labels in deliveries:
        totals[DELIVERIES, labels] += 1
    return dict(totals)


def bucket_of(seconds: float) -> str:
    """Return the upper bound of the bucket that a duration falls into, bound included."""
    return next((str(bound) for bound in DRIFT_SECONDS if seconds <= bound), BEYOND)


def added(*several: Totals) -> Totals:
    """Return the sum of totals."""
    together: dict[tuple[str, Labels], float] = defaultdict(float)
    for totals in several:
        for key, value in totals.items():
            together[key] += value
    return dict(together)
