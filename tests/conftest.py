"""Fixtures that every test may use: a fixed noon, a small world, and flushes that work."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations

from governance.models import Branch, Repository, Tenant, Workspace
from tests.factories.governance import (
    NOON,
    BranchFactory,
    RepositoryFactory,
    TenantFactory,
    WorkspaceFactory,
)


@dataclass(frozen=True, slots=True)
class World:
    """The tenant `acme` with one repository and branch, and a stranger that must see none of it."""

    tenant: Tenant
    workspace: Workspace
    repository: Repository
    branch: Branch
    stranger: Tenant
    strange_repository: Repository


@pytest.fixture
def now() -> datetime:
    """Return the instant at which tests take place: 2 March 2026, 12:00 UTC."""
    return NOON


@pytest.fixture
def tenant_world(db: None) -> World:
    """Return acme/main/api with the coherent branch `main`, and the tenant `rival` with its `api`.

    For tests with threads, ask for `transactional_db` too.
    """
    tenant = TenantFactory.create(slug="acme")
    workspace = WorkspaceFactory.create(tenant=tenant, slug="main")
    repository = RepositoryFactory.create(tenant=tenant, workspace=workspace, slug="api")
    stranger = TenantFactory.create(slug="rival")
    return World(
        tenant=tenant,
        workspace=workspace,
        repository=repository,
        branch=BranchFactory.create(repository=repository, name="main", branch_class="default"),
        stranger=stranger,
        strange_repository=RepositoryFactory.create(tenant=stranger, slug="api"),
    )


@pytest.fixture(autouse=True, scope="session")
def _flushes_get_past_triggers() -> Iterator[None]:
    """Let Django empty the tables after a transactional test, and only then.

    The append-only trail refuses DELETE by trigger, also to the flush. Its triggers are taken away
    and put back in the transaction of the flush, so that during tests they always hold.
    """
    plain_flush = BaseDatabaseOperations.execute_sql_flush

    def flush_without_triggers(self: BaseDatabaseOperations, sql_list: Sequence[str]) -> None:
        connection = connections[self.connection.alias]
        off, on = _trigger_switches(connection)
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for statement in off:
                cursor.execute(statement)
            plain_flush(self, sql_list)
            for statement in on:
                cursor.execute(statement)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_without_triggers)
        yield


def _trigger_switches(connection: BaseDatabaseWrapper) -> tuple[list[str], list[str]]:
    """Return the statements that switch all triggers of our own off, and on again."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
            )
            tables = [row[0] for row in cursor.fetchall()]
            return (
                [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables],
                [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables],
            )
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers: list[tuple[str, Any]] = cursor.fetchall()
    return [f'DROP TRIGGER "{name}"' for name, _ in triggers], [sql for _, sql in triggers]
