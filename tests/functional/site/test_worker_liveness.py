"""A worker is as alive as its newest sign, on every page and in every answer alike."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from reconciliation.metrics import COLLECTOR
from reconciliation.models import Heartbeat
from tests.conftest import World
from tests.factories.governance import api_client

pytestmark = pytest.mark.usefixtures("tenant_world")


def beat(**minutes_ago: float) -> datetime:
    now = datetime.now(UTC)
    for name, minutes in minutes_ago.items():
        Heartbeat.objects.create(name=name, at=now - timedelta(minutes=minutes))
    return now


def answers() -> tuple[str, dict[str, Any], dict[str, Any], float]:
    """Return what the four places say of the worker: page, status, readiness, metrics."""
    browser = Client()
    browser.force_login(User.objects.create_superuser("root", password="a password of the tests"))
    page = browser.get("/").content.decode()
    status = api_client(["read"]).get("/api/v1/status").json()["parts"]["worker"]
    ready = {part["name"]: part for part in Client().get("/readyz").json()["parts"]}["worker"]
    COLLECTOR.forget()
    families = {family.name: family for family in COLLECTOR.collect()}
    metric = {
        one.labels["part"]: one.value for one in families["reconciler_heartbeat_timestamp"].samples
    }
    return page, status, ready, metric["worker"]


def test_a_worker_that_is_idle_but_ticks_is_nowhere_old(tenant_world: World) -> None:
    now = beat(worker=13, tick=0.5, canary=2)

    page, status, ready, metric = answers()

    assert "13 min" not in page
    assert "worker_silent" not in {reason["code"] for reason in status.get("reasons", [])}
    beats = {one["name"]: one["at"] for one in status["figures"]["heartbeats"]}
    assert beats["worker"] == beats["tick"]
    assert ready["status"] == "ok"
    assert metric == pytest.approx((now - timedelta(minutes=0.5)).timestamp(), abs=1)


def test_a_worker_without_any_sign_for_longer_is_silent_everywhere(tenant_world: World) -> None:
    beat(worker=13, tick=4, canary=5, retention=0)

    page, status, ready, _ = answers()

    assert "no decision is being made" in page
    assert status["status"] == "degraded"
    assert ready["status"] == "failing"
