"""What Prometheus scrapes at /metrics: gauges of this moment and totals that never step back.

Labels are bounded: kinds, states, hosts, codes of ours, and at most 50 tenants; never a
repository, a branch or an id. A database that fails gives `reconciler_collector_up 0` and nothing
else: an old number that looks new would be worse than none.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

from reconciliation.domain import measures
from reconciliation.domain.measures import Totals
from reconciliation.selectors.gauges import Gauges, read_gauges
from reconciliation.services.measuring import measured

logger = logging.getLogger("reconciler.metrics")

CACHE_SECONDS = 5.0
MOST_TENANTS = 50
OTHER_TENANTS = "_other"
"""No tenant can be called so: a slug begins with a letter or a digit."""

_MEASURES = (
    measures.ATTEMPTS,
    measures.DELIVERIES,
    measures.DRIFT_BUCKETS,
    measures.DRIFT_SUM,
    measures.RECONCILIATIONS_OF_TENANT,
)
_UP = "reconciler_collector_up"

Numbers = Iterable[tuple[Sequence[str], float]]
"""Label values with their number."""


class ReconcilerCollector(Collector):
    """Measures at most every five seconds, whatever the number of scrapers and threads."""

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:  # noqa: TID251 - a scrape is an edge
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: list[Metric] = []
        self._keep_until = 0.0

    def describe(self) -> Iterable[Metric]:
        """Name what marks us, so that registering needs no database."""
        return [_up(0)]

    def collect(self) -> Iterable[Metric]:
        """Return the families, measured now or less than five seconds ago."""
        with self._lock:
            if time.monotonic() >= self._keep_until:
                self._kept = self._measure()
                self._keep_until = time.monotonic() + CACHE_SECONDS
            return list(self._kept)

    def forget(self) -> None:
        """Measure anew at the next scrape."""
        with self._lock:
            self._keep_until = 0.0

    def _measure(self) -> list[Metric]:
        now = self._clock()
        try:
            gauges, totals = read_gauges(now=now), measured(_MEASURES, now=now)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("metrics.failed error=%s", error)
            return [_up(0)]
        return [
            _up(1),
            *_queue_families(gauges, now=now),
            *_world_families(gauges),
            *_total_families(totals),
            _alert_ratio(gauges, totals),
        ]


COLLECTOR = ReconcilerCollector()


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Have the registry ask our collector; a second time changes nothing."""
    if _UP not in registry._names_to_collectors:
        registry.register(COLLECTOR)


def _up(value: int) -> Metric:
    return GaugeMetricFamily(_UP, "1 when the database could be measured.", value)


def _queue_families(gauges: Gauges, *, now: datetime) -> list[Metric]:
    oldest: dict[str, float] = {}
    for one in gauges.queued:
        age = _age(one.due_since, now)
        oldest[one.task_kind] = max(age, oldest.get(one.task_kind, 0.0))
    return [
        _gauge(
            "reconciler_queue_depth",
            "Tasks that wait, due or not.",
            ("kind", "priority"),
            [((one.task_kind, str(one.priority)), one.number) for one in gauges.queued],
        ),
        _gauge(
            "reconciler_oldest_pending_age_seconds",
            "How long the longest waiting task has been due.",
            ("kind",),
            [((kind,), age) for kind, age in oldest.items()],
        ),
        GaugeMetricFamily(
            "reconciler_oldest_running_age_seconds",
            "How long the longest running task has been running.",
            _age(gauges.running_since, now),
        ),
        _gauge(
            "reconciler_dead_letters",
            "Tasks that gave up and wait for a person.",
            ("kind",),
            [((kind,), number) for kind, number in gauges.dead_letters.items()],
        ),
        _gauge(
            "reconciler_open_circuits",
            "Ways to a host (by tenant and credential) that are shut, by what shut them.",
            ("cause",),
            [((cause,), number) for cause, (number, _) in gauges.open_circuits.items()],
        ),
        GaugeMetricFamily(
            "reconciler_held_tasks",
            "Tasks that wait for a host or a credential that is down.",
            sum(held for _, held in gauges.open_circuits.values()),
        ),
        _gauge(
            "reconciler_heartbeat_timestamp",
            "When a part of the machinery last showed progress, in Unix seconds.",
            ("part",),
            [((name,), at.timestamp()) for name, at in gauges.heartbeats.items()],
        ),
        GaugeMetricFamily(
            "reconciler_last_sweep_timestamp",
            "When the last sweep was planned, in Unix seconds; 0: never.",
            gauges.last_sweep_at.timestamp() if gauges.last_sweep_at else 0,
        ),
    ]


def _world_families(gauges: Gauges) -> list[Metric]:
    return [
        _gauge(
            "reconciler_alerts",
            "Unresolved alerts.",
            ("severity", "state"),
            gauges.alerts.items(),
        ),
        _gauge(
            "reconciler_escalations_due",
            "Open alerts with an escalation that is due; none is sent without a channel.",
            ("severity",),
            [((severity,), number) for severity, number in gauges.escalations_due.items()],
        ),
        GaugeMetricFamily(
            "reconciler_notification_channels", "Channels that messages can be sent through.", 0
        ),
        _gauge(
            "reconciler_leases",
            "Held leases: live, expiring within five minutes, or past their expiry.",
            ("state",),
            [((state,), number) for state, number in gauges.leases.items()],
        ),
        _gauge(
            "reconciler_repositories",
            "Active repositories by whether their heads can be read.",
            ("state",),
            [((state,), number) for state, number in gauges.repositories.items()],
        ),
        _gauge(
            "reconciler_branches",
            "Branches of active repositories; unknown and with_findings are parts of all.",
            ("state",),
            [
                (("all",), gauges.branches.branches),
                (("unknown",), gauges.branches.unknown),
                (("with_findings",), gauges.branches.with_findings),
            ],
        ),
        _counter(
            "reconciler_head_changes",
            "Head changes by what told of them first.",
            ("via",),
            [((via,), number) for via, number in gauges.head_changes.items()],
        ),
        _counter(
            "reconciler_webhook_refusals",
            "Requests refused by the receiver.",
            ("host", "reason"),
            gauges.refusals.items(),
        ),
    ]


def _total_families(totals: Totals) -> list[Metric]:
    attempts = _of(totals, measures.ATTEMPTS)
    retries: dict[str, float] = {}
    for (kind, outcome), number in attempts.items():
        if outcome in {"retry", "lost"}:
            retries[kind] = retries.get(kind, 0) + number
    return [
        _counter(
            "reconciler_tasks",
            "Ended attempts at tasks by result.",
            ("kind", "result"),
            attempts.items(),
        ),
        _counter(
            "reconciler_task_retries",
            "Attempts that failed or were lost and are tried again.",
            ("kind",),
            [((kind,), number) for kind, number in retries.items()],
        ),
        _counter(
            "reconciler_webhook",
            "Verified webhook deliveries by outcome.",
            ("host", "outcome"),
            _of(totals, measures.DELIVERIES).items(),
        ),
        _drift_histogram(totals),
    ]


def _drift_histogram(totals: Totals) -> Metric:
    family = HistogramMetricFamily(
        "reconciler_drift_detection_seconds",
        "From the announcement of a moved head to the decision on it, settling included.",
        labels=("via",),
    )
    counts = _of(totals, measures.DRIFT_BUCKETS)
    sums = _of(totals, measures.DRIFT_SUM)
    bounds = [*map(str, measures.DRIFT_SECONDS), measures.BEYOND]
    for via in ("webhook", "sweep", "other"):
        reached, buckets = 0.0, []
        for bound in bounds:
            reached += counts.get((via, bound), 0)
            buckets.append((bound, reached))
        family.add_metric((via,), buckets=buckets, sum_value=sums.get((via,), 0.0))
    return family


def _alert_ratio(gauges: Gauges, totals: Totals) -> Metric:
    completed = {
        tenant: number
        for (tenant,), number in _of(totals, measures.RECONCILIATIONS_OF_TENANT).items()
    }
    tenants = sorted(completed, key=lambda one: (-gauges.alerts_of_tenant.get(one, 0), one))
    named, rest = tenants[:MOST_TENANTS], tenants[MOST_TENANTS:]
    groups = [(tenant, [tenant]) for tenant in named] + ([(OTHER_TENANTS, rest)] if rest else [])
    return _gauge(
        "reconciler_alert_ratio",
        "Alerts per 100 completed tasks, for the tenants with most alerts; the rest as _other.",
        ("tenant",),
        [
            (
                (name,),
                100
                * sum(gauges.alerts_of_tenant.get(one, 0) for one in members)
                / sum(completed[one] for one in members),
            )
            for name, members in groups
        ],
    )


def _of(totals: Totals, measure: str) -> dict[tuple[str, ...], float]:
    return {labels: value for (name, labels), value in sorted(totals.items()) if name == measure}


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())


def _gauge(name: str, told: str, labels: Sequence[str], numbers: Numbers) -> Metric:
    family = GaugeMetricFamily(name, told, labels=labels)
    for values, number in numbers:
        family.add_metric(values, number)
    return family


def _counter(name: str, told: str, labels: Sequence[str], numbers: Numbers) -> Metric:
    family = CounterMetricFamily(name, told, labels=labels)
    for values, number in numbers:
        family.add_metric(values, number)
    return family
