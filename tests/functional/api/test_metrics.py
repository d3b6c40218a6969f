"""What Prometheus gets from /metrics: true numbers, bounded labels, and an answer in any case."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from reconciliation import metrics
from reconciliation.metrics import COLLECTOR, ReconcilerCollector
from reconciliation.models import Heartbeat, WebhookRefusal
from tests.conftest import World
from tests.factories.governance import NOON, LeaseFactory, RepositoryFactory, TenantFactory
from tests.factories.reconciliation import (
    AlertFactory,
    AttemptFactory,
    DeliveryFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
    WatchFactory,
)

LATER = NOON + timedelta(minutes=5)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    COLLECTOR.forget()
    yield
    COLLECTOR.forget()


def scraped(now: datetime = LATER) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the samples of a fresh collector, by name and labels."""
    collector = ReconcilerCollector(clock=lambda: now)
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in collector.collect():
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labels(**pairs: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pairs.items()))


@pytest.mark.django_db
def test_the_metrics_page_shows_our_numbers_in_prometheus_text() -> None:
    page = Client().get("/metrics")

    assert page.status_code == 200
    families = {one.name: one for one in text_string_to_metric_families(page.content.decode())}
    assert families["reconciler_collector_up"].samples[0].value == 1
    assert families["reconciler_drift_detection_seconds"].type == "histogram"
    assert families["reconciler_last_sweep_timestamp"].samples[0].value == 0
    assert families["reconciler_tasks"].type == "counter"


def test_the_collector_is_registered_once_and_registering_asks_no_database() -> None:
    registry = CollectorRegistry(auto_describe=True)

    metrics.register(registry)
    metrics.register(registry)

    assert registry._names_to_collectors["reconciler_collector_up"] is COLLECTOR


def test_the_queue_is_told_by_kind_and_priority_with_ages(tenant_world: World) -> None:
    where = {"repository": tenant_world.repository}
    TaskFactory.create(**where, state="queued", branch="a", run_after=NOON)
    TaskFactory.create(**where, state="queued", branch="b", run_after=LATER + timedelta(hours=1))
    TaskFactory.create(**where, state="queued", branch="c", priority=50, task_kind="stale_branch")
    TaskFactory.create(**where, state="running", branch="d")
    TaskFactory.create(**where, state="dead", branch="e", task_kind="missing_run")

    seen = scraped()

    assert seen["reconciler_queue_depth"] == {
        labels(kind="head_drift", priority="10"): 2,
        labels(kind="stale_branch", priority="50"): 1,
    }
    assert seen["reconciler_oldest_pending_age_seconds"] == {
        labels(kind="head_drift"): 300,
        labels(kind="stale_branch"): 300,
    }
    assert seen["reconciler_oldest_running_age_seconds"] == {(): 300}
    assert seen["reconciler_dead_letters"] == {labels(kind="missing_run"): 1}


def test_results_retries_and_detection_times_are_totals(tenant_world: World) -> None:
    task = TaskFactory.create(repository=tenant_world.repository)
    AttemptFactory.create(task=task, outcome="retry", number=1)
    AttemptFactory.create(task=task, outcome="lost", number=2)
    AttemptFactory.create(task=task, number=3, ended_at=NOON + timedelta(seconds=10))

    seen = scraped()

    assert seen["reconciler_tasks_total"] == {
        labels(kind="head_drift", result=result): 1 for result in ("completed", "lost", "retry")
    }
    assert seen["reconciler_task_retries_total"] == {labels(kind="head_drift"): 2}
    assert seen["reconciler_drift_detection_seconds_count"][labels(via="webhook")] == 1
    assert seen["reconciler_drift_detection_seconds_sum"][labels(via="webhook")] == 10
    buckets = seen["reconciler_drift_detection_seconds_bucket"]
    assert buckets[labels(via="webhook", le="5.0")] == 0
    assert buckets[labels(via="webhook", le="15.0")] == 1
    assert buckets[labels(via="webhook", le="+Inf")] == 1


def test_the_world_is_told_by_state(tenant_world: World) -> None:
    repository = tenant_world.repository
    WatchFactory.create(repository=repository, changes_by_webhook=7, changes_by_sweep=2)
    WatchFactory.create(repository=tenant_world.strange_repository, failing_since=NOON)
    AlertFactory.create(finding=FindingFactory.create(repository=repository))
    AlertFactory.create(finding=FindingFactory.create(repository=repository), state="resolved")
    for minutes in (-3, 2, 60):
        LeaseFactory.create(
            repository=repository,
            acquired_at=NOON - timedelta(hours=1),
            expires_at=LATER + timedelta(minutes=minutes),
        )
    LeaseFactory.create(repository=repository, state="expired")
    source = SourceFactory.create(repository=repository)
    DeliveryFactory.create(source=source, task=None)
    WebhookRefusal.objects.create(
        source=source, reason="bad_signature", count=4, first_at=NOON, last_at=NOON
    )
    SweepFactory.create(started_at=NOON)
    Heartbeat.objects.create(name="worker", at=NOON)

    seen = scraped()

    assert seen["reconciler_alerts"] == {labels(severity="high", state="open"): 1}
    assert seen["reconciler_leases"] == {
        labels(state="live"): 1,
        labels(state="expiring"): 1,
        labels(state="overdue"): 1,
    }
    assert seen["reconciler_repositories"] == {
        labels(state="readable"): 1,
        labels(state="unreadable"): 1,
    }
    assert seen["reconciler_head_changes_total"] == {
        labels(via="webhook"): 7,
        labels(via="sweep"): 2,
    }
    assert seen["reconciler_webhook_total"] == {labels(host="github", outcome="accepted"): 1}
    assert seen["reconciler_webhook_refusals_total"] == {
        labels(host="github", reason="bad_signature"): 4
    }
    assert seen["reconciler_last_sweep_timestamp"] == {(): NOON.timestamp()}
    assert seen["reconciler_heartbeat_timestamp"] == {labels(part="worker"): NOON.timestamp()}


def test_alert_ratios_name_a_bounded_number_of_tenants(
    tenant_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_TENANTS", 2)
    for tenant, alerts, completed in (("acme", 3, 6), ("rival", 2, 8), ("b", 1, 4), ("c", 0, 4)):
        repository = RepositoryFactory.create(tenant=TenantFactory.create(slug=tenant))
        for _ in range(alerts):
            AlertFactory.create(finding=FindingFactory.create(repository=repository))
        for _ in range(completed):
            AttemptFactory.create(task=TaskFactory.create(repository=repository))

    ratios = scraped()["reconciler_alert_ratio"]

    assert ratios == {
        labels(tenant="acme"): 50,
        labels(tenant="rival"): 25,
        labels(tenant="_other"): 12.5,
    }


def test_a_scrape_costs_the_same_statements_whatever_there_is(tenant_world: World) -> None:
    costs = []
    for number in (3, 30):
        for _ in range(number):
            task = TaskFactory.create(repository=tenant_world.repository)
            AttemptFactory.create(task=task)
            AlertFactory.create(finding=FindingFactory.create(repository=tenant_world.repository))
        scraped()
        with CaptureQueriesContext(connection) as statements:
            scraped()
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 25


@pytest.mark.django_db
def test_scrapes_within_five_seconds_share_one_measurement() -> None:
    collector = ReconcilerCollector(clock=lambda: NOON)
    collector.collect()

    with CaptureQueriesContext(connection) as statements:
        again = list(collector.collect())

    assert len(statements) == 0
    assert "reconciler_queue_depth" in {family.name for family in again}


@pytest.mark.django_db
def test_a_database_that_fails_gives_a_page_that_says_so_and_no_old_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**_: Any) -> None:
        # A statement that the database itself refuses, as it does when a table is gone.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT gone FROM no_such_table")

    monkeypatch.setattr(metrics, "read_gauges", refuse)

    page = Client().get("/metrics")

    told = page.content.decode()
    assert page.status_code == 200
    assert "reconciler_collector_up 0.0" in told
    assert "reconciler_queue_depth" not in told
    with pytest.raises(DatabaseError):
        refuse()
