"""Liveness and readiness: each part is told apart, with its age, and never by an error page."""

from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext

from reconciliation.models import Heartbeat, RepositoryWatch
from reconciliation.selectors.heartbeats import heartbeats
from tests.conftest import World

pytestmark = pytest.mark.django_db


def beat(**seconds_ago: int) -> None:
    now = datetime.now(UTC)
    for name, seconds in seconds_ago.items():
        Heartbeat.objects.update_or_create(
            name=name, defaults={"at": now - timedelta(seconds=seconds)}
        )


def ready(query: str = "") -> tuple[int, dict[str, Any]]:
    answer = Client().get(f"/readyz{query}")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.status_code, answer.json()


def parts(body: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["status"] for part in body["parts"]}


def part(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in body["parts"] if part["name"] == name)
    return found


def test_liveness_asks_nobody() -> None:
    with CaptureQueriesContext(connection) as statements:
        answer = Client().get("/healthz")

    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    assert "no-cache" in answer.headers["Cache-Control"]
    assert len(statements) == 0


def test_a_site_whose_parts_all_move_is_ready() -> None:
    beat(worker=20, tick=20)

    status, body = ready()

    assert (status, body["status"], body["degraded_reasons"]) == (200, "ready", [])
    assert parts(body) == {
        "web": "ok",
        "database_disk": "ok",
        "mirrors_disk": "ok",
        "database": "ok",
        "migrations": "ok",
        "worker": "ok",
        "sweeps": "ok",
    }
    assert all(part["as_of"] and part["reason"] for part in body["parts"])


def test_a_worker_that_never_reported_degrades_but_requests_are_served() -> None:
    status, body = ready()

    assert (status, body["status"]) == (200, "degraded")
    assert parts(body)["worker"] == parts(body)["sweeps"] == "failing"
    assert "start `manage.py run_site`" in part(body, "worker")["reason"]
    assert body["degraded_reasons"][0].startswith("worker: It never reported")


@pytest.mark.parametrize(("seconds", "status"), [(175, "ok"), (185, "failing")])
def test_a_worker_is_silent_after_three_minutes(seconds: int, status: str) -> None:
    beat(worker=seconds, tick=seconds)

    assert parts(ready()[1])["worker"] == status


def test_an_idle_worker_shows_life_by_ticking() -> None:
    beat(worker=3600, tick=30)

    body = ready()[1]

    assert parts(body)["worker"] == "ok"


def test_a_tick_that_stopped_is_told_apart_from_a_worker_that_moves() -> None:
    beat(worker=10, tick=3600)

    body = ready()[1]

    assert (parts(body)["worker"], parts(body)["sweeps"]) == ("ok", "failing")
    assert part(body, "sweeps")["reason"] == "They were last planned 60 min ago."


@pytest.mark.parametrize(("minutes", "status"), [(14, "ok"), (16, "failing")])
def test_a_repository_that_waits_too_long_for_its_sweep_is_told(
    tenant_world: World, minutes: int, status: str
) -> None:
    beat(worker=10, tick=10)
    due = datetime.now(UTC) - timedelta(minutes=minutes)
    RepositoryWatch.objects.create(repository=tenant_world.repository, next_due_at=due)

    body = ready()[1]

    assert parts(body)["sweeps"] == status


def test_a_repository_that_is_no_longer_governed_waits_for_nothing(tenant_world: World) -> None:
    beat(worker=10, tick=10)
    tenant_world.repository.is_active = False
    tenant_world.repository.save()
    RepositoryWatch.objects.create(
        repository=tenant_world.repository, next_due_at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    assert parts(ready()[1])["sweeps"] == "ok"


@pytest.mark.parametrize("query", ["?require=all", "?require=worker", "?require=sweeps,worker"])
def test_a_monitor_may_require_more_than_serving_needs(query: str) -> None:
    beat(tick=3600)

    status, body = ready(query)

    assert (status, body["status"]) == (503, "not_ready")


def test_a_missing_migration_is_named_and_takes_the_site_out_of_service() -> None:
    beat(worker=10, tick=10)
    MigrationRecorder(connection).record_unapplied("audit", "0002_append_only")

    status, body = ready()

    assert (status, body["status"]) == (503, "not_ready")
    assert "audit.0002_append_only" in part(body, "migrations")["reason"]
    assert parts(body)["worker"] == "ok"


def test_a_database_that_does_not_answer_is_told_without_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OperationalError("connection to server at db.internal failed")

    monkeypatch.setattr("reconciler_site.health.connection.cursor", refuse)

    status, body = ready()

    assert (status, body["status"]) == (503, "not_ready")
    assert parts(body) == {
        "web": "ok",
        "database_disk": "ok",
        "mirrors_disk": "ok",
        "database": "failing",
        "migrations": "unknown",
        "worker": "unknown",
        "sweeps": "unknown",
    }
    assert "db.internal" not in str(body)


def test_readiness_costs_a_fixed_and_small_number_of_statements(tenant_world: World) -> None:
    beat(worker=10, tick=10, canary=10)
    ready()

    with CaptureQueriesContext(connection) as statements:
        ready()

    # Alive, are migrations recorded, which, heartbeats, oldest due repository.
    assert len(statements) <= 5


def test_heartbeats_are_given_by_name_and_the_newest_is_that_of_the_worker() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    Heartbeat.objects.create(name="tick", at=at)
    Heartbeat.objects.create(name="canary", at=at - timedelta(minutes=1))

    assert heartbeats() == {"canary": at - timedelta(minutes=1), "tick": at, "worker": at}
