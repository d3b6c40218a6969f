"""An open circuit is told wherever people look: status, overview, metrics, admin; by tenant."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from reconciliation.metrics import ReconcilerCollector
from reconciliation.models import Circuit, ReconciliationTask
from reconciliation.selectors.overview import overview
from reconciliation.selectors.status import status_of
from tests.conftest import World
from tests.factories.governance import NOON, api_client
from tests.factories.reconciliation import TaskFactory

pytestmark = pytest.mark.django_db

EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))


@pytest.fixture
def circuit(tenant_world: World) -> Circuit:
    """Return an open circuit of acme that holds two tasks, due for an hour."""
    row = Circuit.objects.create(
        tenant=tenant_world.tenant,
        origin="https://git.example",
        key="acme https://git.example anonymous",
        state="open",
        cause="remote_unavailable",
        message="connection refused",
        failing_since=NOON,
        opened_at=NOON,
        next_probe_at=NOON + timedelta(minutes=10),
        held_tasks=2,
        held_repositories=1,
    )
    for _ in range(2):
        TaskFactory.create(
            repository=tenant_world.repository,
            state="queued",
            held_by=row,
            run_after=NOON - timedelta(hours=1),
        )
    return row


def hosts(client: Any) -> Any:
    return client.get("/api/v1/status").json()["parts"]["hosts"]


def test_the_status_names_the_host_the_cause_and_what_waits(
    circuit: Circuit, tenant_world: World
) -> None:
    part = hosts(api_client(tenant=tenant_world.tenant))

    assert (part["status"], part["reasons"]) == ("degraded", ["circuit_open"])
    assert part["figures"] == {
        "open_circuits": 1,
        "held_tasks": 2,
        "open": [
            {
                "tenant": "acme",
                "origin": "https://git.example",
                "credential_name": None,
                "state": "open",
                "cause": "remote_unavailable",
                "message": "connection refused",
                "since": "2026-03-02T12:00:00.000000Z",
                "next_probe_at": "2026-03-02T12:10:00.000000Z",
                "held_tasks": 2,
                "held_repositories": 1,
            }
        ],
    }


def test_another_tenant_is_told_nothing_of_it(circuit: Circuit, tenant_world: World) -> None:
    part = hosts(api_client(tenant=tenant_world.stranger))

    assert (part["status"], part["figures"]["open_circuits"]) == ("ok", 0)


def test_what_waits_for_a_host_is_not_a_queue_that_stalls(circuit: Circuit) -> None:
    now = NOON + timedelta(minutes=1)

    told = [reason.code for _, reason in status_of(EVERYONE, now=now).degraded_reasons]
    assert "queue_stalled" not in told
    ReconciliationTask.objects.update(held_by=None)
    told = [reason.code for _, reason in status_of(EVERYONE, now=now).degraded_reasons]
    assert "queue_stalled" in told


def test_the_overview_says_which_host_and_how_much_waits(circuit: Circuit) -> None:
    seen = overview(EVERYONE, now=NOON + timedelta(minutes=1))

    [reason] = [one for one in seen.degraded_reasons if one.code == "circuit_open"]
    assert (reason.source, reason.since) == ("https://git.example", NOON)
    assert "2 tasks of 1 repository wait" in reason.detail
    assert (seen.held, seen.oldest_waiting_at) == (2, None)
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))
    page = client.get("/").content.decode()
    assert "https://git.example" in page
    assert "2 for a host" in page


def test_metrics_count_open_circuits_and_held_tasks(circuit: Circuit) -> None:
    families = {one.name: one for one in ReconcilerCollector(clock=lambda: NOON).collect()}

    [sample] = families["reconciler_open_circuits"].samples
    assert (sample.labels, sample.value) == ({"cause": "remote_unavailable"}, 1)
    assert families["reconciler_held_tasks"].samples[0].value == 2
    ages = [one.value for one in families["reconciler_oldest_pending_age_seconds"].samples]
    assert ages == [0.0]


def test_the_admin_lists_circuits(circuit: Circuit) -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada"))

    page = client.get("/admin/reconciliation/circuit/")

    assert page.status_code == 200
    assert "https://git.example" in page.content.decode()
    assert client.get(f"/admin/reconciliation/circuit/{circuit.pk}/change/").status_code == 200


def test_many_open_circuits_cost_two_queries_and_ten_are_named(tenant_world: World) -> None:
    Circuit.objects.bulk_create(
        Circuit(
            tenant=tenant_world.tenant,
            origin=f"https://h{number:02}.example",
            key=f"h{number}",
            state="open",
            cause="remote_unavailable",
            failing_since=NOON,
            opened_at=NOON + timedelta(seconds=number),
            next_probe_at=NOON,
            held_tasks=3,
        )
        for number in range(40)
    )

    with CaptureQueriesContext(connection) as seen:
        part = status_of(EVERYONE, now=NOON).parts["hosts"]

    figures = part.figures or {}
    assert (figures["open_circuits"], figures["held_tasks"]) == (40, 120)
    assert [one["origin"] for one in figures["open"]][::9] == [
        "https://h00.example",
        "https://h09.example",
    ]
    assert len([q for q in seen if "reconciliation_circuit" in q["sql"]]) <= 3
