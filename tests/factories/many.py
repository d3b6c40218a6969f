"""Makes very many rows by few statements: copies of one row, with some columns computed."""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Model

from governance.models import Branch, Repository
from reconciliation.models import RepositoryWatch
from tests.factories.governance import BranchFactory, RepositoryFactory, TenantFactory


def copies(row: Model, times: int, *, source: str = "", **columns: str) -> None:
    """Store `times` copies of a row, per row of `source` (alias `s`) where one is named.

    Values of `columns` are SQL in which `n` counts from 1.
    """
    table = row._meta.db_table
    names = [
        field.column
        for field in row._meta.concrete_fields
        if field.column and not field.primary_key
    ]
    picked = ", ".join(columns.get(name, f't."{name}"') for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    numbers = "WITH RECURSIVE v(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM v WHERE n < %s)"
    every = f", {source} AS s" if source else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({quoted}) {numbers}"  # noqa: S608 - names of ours
            f" SELECT {picked} FROM v, {table} AS t{every} WHERE t.id = %s",
            [times, row.pk],
        )


def govern_many(
    repositories: int,
    *,
    tenant: str,
    branches: int = 0,
    now: datetime,
    due: bool = False,
    host: str = "git.example",
) -> None:
    """Govern so many repositories of one tenant, each with so many branches idle for a year."""
    owner = TenantFactory.create(slug=tenant)
    first = RepositoryFactory.create(tenant=owner, slug=f"{tenant}-0", host_repository_id="0")
    watch = RepositoryWatch.objects.create(
        repository=first,
        host=host,
        next_due_at=now - timedelta(minutes=1) if due else now + timedelta(minutes=59),
    )
    topic = None
    if branches:
        topic = BranchFactory.create(
            repository=first, name="topic-0", last_activity_at=now - timedelta(days=365)
        )
    if repositories > 1:
        copies(first, repositories - 1, slug=f"'{tenant}-' || n", host_repository_id="'' || n")
    others = f"(SELECT id FROM {Repository._meta.db_table} WHERE tenant_id = {owner.pk}"  # noqa: S608
    copies(watch, 1, source=f"{others} AND id <> {first.pk})", repository_id="s.id")
    if topic is not None:
        copies(topic, branches, source=f"{others})", repository_id="s.id", name="'topic-' || n")
        Branch.objects.filter(pk=topic.pk).delete()
    with connection.cursor() as cursor:
        for table in (Repository, RepositoryWatch, Branch):
            cursor.execute(f"ANALYZE {table._meta.db_table}")
