"""A small tenant's lists are found by an index, not by walking through everybody's rows."""

from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from reconciliation.selectors.visible import visible_deliveries, visible_tasks
from tests.conftest import World
from tests.factories.reconciliation import DeliveryFactory, SourceFactory, TaskFactory

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

SMALL = Caller(Actor(ActorKind.USER, "ada"), frozenset({"rival"}), frozenset({"read"}))
MANY = 20_000


def copies(table: str, *, unique: str) -> None:
    """Store many more rows like the newest one of a table, but for its unique column."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = %s AND column_name NOT IN ('id', %s)",
            [table, unique],
        )
        columns = ", ".join(row[0] for row in cursor.fetchall())
        cursor.execute(
            f"INSERT INTO {table} ({unique}, {columns}) SELECT 'copy-' || n, {columns}"  # noqa: S608
            f" FROM generate_series(1, {MANY}) n,"
            f" (SELECT * FROM {table} ORDER BY id DESC LIMIT 1) one"
        )
        cursor.execute(f"ANALYZE {table}")


def plan_of(rows: QuerySet[Any, Any]) -> str:
    return str(rows.explain())


def test_the_tasks_of_a_small_tenant_are_found_by_tenant(tenant_world: World) -> None:
    TaskFactory.create(repository=tenant_world.strange_repository)
    TaskFactory.create(repository=tenant_world.repository)
    copies("reconciliation_reconciliationtask", unique="idempotency_key")

    plan = plan_of(visible_tasks(SMALL).values("id")[:51])

    assert "task_of_tenant" in plan, plan


def test_the_deliveries_of_a_small_tenant_are_found_by_their_sources(tenant_world: World) -> None:
    for repository in (tenant_world.strange_repository, tenant_world.repository):
        DeliveryFactory.create(source=SourceFactory.create(repository=repository))
    copies("reconciliation_webhookdelivery", unique="delivery_id")

    plan = plan_of(visible_deliveries(SMALL).values("id", "event")[:51])

    assert "delivery_once" in plan, plan
