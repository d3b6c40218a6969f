"""The status stays valid whatever fails, and says what is therefore not known."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.domain.caller import NOBODY, Caller
from audit.domain.entries import RECONCILER
from reconciliation.models import Heartbeat, WebhookRefusal
from reconciliation.selectors.status import PARTS, status_of
from tests.conftest import World
from tests.factories.governance import NOON, BranchFactory, LeaseFactory, api_client
from tests.factories.reconciliation import (
    AlertFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
    WatchFactory,
)

STATUS = "/api/v1/status"
EVERYBODY = Caller(RECONCILER, None, frozenset({"admin"}))


def beat(*names: str, at: datetime = NOON) -> None:
    for name in names:
        Heartbeat.objects.create(name=name, at=at)


def codes(caller: Caller = EVERYBODY, now: datetime = NOON) -> list[str]:
    return [reason.code for _, reason in status_of(caller, now=now).degraded_reasons]


@pytest.fixture
def healthy(tenant_world: World) -> World:
    """Everything moves, everything can be read."""
    beat("worker", "tick")
    for repository in (tenant_world.repository, tenant_world.strange_repository):
        repository.observed_at = NOON
        repository.heads_count = 1
        repository.save()
        WatchFactory.create(repository=repository, last_delivery_at=NOON)
    return tenant_world


def test_a_healthy_world_is_ok_with_every_part_and_its_age(healthy: World) -> None:
    status = status_of(EVERYBODY, now=NOON)

    assert status.status == "ok"
    assert status.degraded_reasons == []
    assert list(status.parts) == list(PARTS)
    assert {part.status for part in status.parts.values()} == {"ok"}
    assert {part.as_of for part in status.parts.values()} == {NOON}


def test_the_payload_has_the_same_shape_over_the_api(healthy: World) -> None:
    TaskFactory.create(repository=healthy.repository, state="dead")

    body = api_client().get(STATUS).json()

    assert body["status"] == "degraded"
    assert set(body["parts"]) == set(PARTS)
    queue = body["parts"]["queue"]
    assert (queue["status"], queue["reasons"]) == ("degraded", ["dead_letters"])
    assert queue["figures"]["dead_letters"] == 1
    assert {"task_kind": "head_drift", "queued": 0, "running": 0, "dead": 1} in queue["figures"][
        "by_kind"
    ]
    told = next(reason for reason in body["degraded_reasons"] if reason["part"] == "queue")
    assert told["code"] == "dead_letters"
    assert set(told) == {"code", "part", "detail", "since"}


@pytest.mark.django_db
def test_an_empty_installation_says_that_nothing_moves() -> None:
    assert codes() == ["worker_silent", "tick_silent"]
    assert status_of(NOBODY, now=NOON).parts["queue"].status == "ok"


@pytest.mark.parametrize("table", ["reconciliation_alert", "audit_chainhead", "governance_lease"])
def test_a_part_that_cannot_be_read_is_unknown_and_the_others_are_told(
    table: str, healthy: World
) -> None:
    broken = {
        "reconciliation_alert": "alerts",
        "audit_chainhead": "audit",
        "governance_lease": "leases",
    }[table]
    client = api_client()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {table}_gone")

    answer = client.get(STATUS)

    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "degraded"
    assert body["parts"][broken]["status"] == "unknown"
    assert body["parts"][broken]["as_of"] is None
    assert body["parts"][broken]["figures"] is None
    assert f"{broken}_unknown" in [reason["code"] for reason in body["degraded_reasons"]]
    others = [part for name, part in body["parts"].items() if name != broken]
    assert all(part["figures"] is not None for part in others)


def test_a_worker_is_silent_after_three_minutes_and_not_before(healthy: World) -> None:
    assert codes(now=NOON + timedelta(minutes=3)) == []
    assert codes(now=NOON + timedelta(minutes=3, seconds=1)) == ["worker_silent", "tick_silent"]


def test_tasks_that_are_due_for_more_than_five_minutes_mean_a_stalled_queue(
    healthy: World,
) -> None:
    TaskFactory.create(
        repository=healthy.repository, state="queued", run_after=NOON - timedelta(minutes=5)
    )
    waits_on_purpose = NOON + timedelta(hours=1)
    TaskFactory.create(
        repository=healthy.repository, state="queued", branch="b", run_after=waits_on_purpose
    )

    assert codes() == []
    Heartbeat.objects.update(at=NOON + timedelta(seconds=1))
    assert codes(now=NOON + timedelta(seconds=1)) == ["queue_stalled"]


def test_a_repository_that_cannot_be_read_makes_its_branches_unknown(healthy: World) -> None:
    healthy.repository.watch.failing_since = NOON - timedelta(hours=2)
    healthy.repository.watch.last_error_code = "credential_refused"
    healthy.repository.watch.save()

    status = status_of(EVERYBODY, now=NOON)

    [(part, reason)] = status.degraded_reasons
    assert (part, reason.code) == ("repositories", "repositories_unreadable")
    assert reason.since == NOON - timedelta(hours=2)
    assert "acme/api" in reason.detail
    assert "credential_refused" in reason.detail
    figures = status.parts["repositories"].figures or {}
    assert (figures["unreadable_repositories"], figures["unknown_branches"]) == (1, 1)


def test_late_sweeps_refused_webhooks_and_forgotten_leases_are_told(healthy: World) -> None:
    repository = healthy.repository
    repository.watch.next_due_at = NOON - timedelta(minutes=16)
    repository.watch.save()
    source = SourceFactory.create(repository=repository)
    WebhookRefusal.objects.create(
        source=source, reason="mismatch", count=1, first_at=NOON, last_at=NOON
    )
    LeaseFactory.create(repository=repository, acquired_at=NOON - timedelta(hours=1))

    assert codes() == ["sweeps_overdue", "webhooks_refused", "leases_overdue"]


def test_a_trail_that_lost_its_guards_is_told(
    healthy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "reconciliation.selectors.status_machinery.missing_triggers",
        lambda: ["audit_head_only_forward"],
    )

    [(part, reason)] = status_of(EVERYBODY, now=NOON).degraded_reasons

    assert (part, reason.code) == ("audit", "audit_unguarded")
    assert "audit_head_only_forward" in reason.detail


def test_alerts_are_work_and_not_a_failure(healthy: World) -> None:
    AlertFactory.create(finding=FindingFactory.create(repository=healthy.repository))

    status = status_of(EVERYBODY, now=NOON)

    assert status.status == "ok"
    figures = status.parts["alerts"].figures or {}
    assert (figures["unresolved"], figures["oldest_open_at"]) == (1, NOON)


def figures_of(body: Any) -> dict[str, Any]:
    return {name: part["figures"] for name, part in body["parts"].items()}


def test_figures_are_those_of_the_callers_tenants(healthy: World) -> None:
    repository = healthy.strange_repository
    TaskFactory.create(repository=repository, state="dead")
    AlertFactory.create(finding=FindingFactory.create(repository=repository))
    LeaseFactory.create(
        repository=repository,
        acquired_at=datetime.now(UTC),
        expires_at="2100-01-01T00:00:00Z",
        max_expires_at="2100-01-01T00:00:00Z",
    )
    SweepFactory.create(scope="rival")

    figures = figures_of(api_client(tenant=healthy.tenant).get(STATUS).json())

    assert figures["queue"]["dead_letters"] == 0
    assert figures["alerts"]["unresolved"] == 0
    assert figures["leases"]["held"] == 0
    assert figures["repositories"]["repositories"] == 1
    assert figures["sweeps"]["last_sweep"] is None


def test_the_status_costs_the_same_statements_whatever_there_is(healthy: World) -> None:
    costs = []
    for number in (3, 30):
        for _ in range(number):
            branch = BranchFactory.create(repository=healthy.repository)
            finding = FindingFactory.create(repository=healthy.repository, branch=branch.name)
            AlertFactory.create(finding=finding)
            TaskFactory.create(repository=healthy.repository, state="dead", branch=branch.name)
        with CaptureQueriesContext(connection) as statements:
            status_of(EVERYBODY, now=NOON)
        told = [one for one in statements if "SAVEPOINT" not in one["sql"]]
        costs.append(len(told))

    assert costs[0] == costs[1] <= 22
