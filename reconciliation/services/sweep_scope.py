"""What the parts of a sweep share: its scope, turns of tenants, and checks as items."""

from collections.abc import Iterable
from typing import TypeVar, cast

from django.db.models import F, Model, Q, QuerySet, Window
from django.db.models.expressions import OrderBy
from django.db.models.functions import RowNumber

from reconciliation.domain.worklist import WorkItem
from reconciliation.models import TaskKind

_Row = TypeVar("_Row", bound=Model)

PLACE = ("repository__tenant__slug", "repository__workspace__slug", "repository__slug")

StaleRow = tuple[int, str, str, str, str, str, str]
"""Repository id, tenant, workspace, repository, branch, what about, the moment of it."""


def in_scope(scope: str) -> Q:
    """Return the filter of rows with a `repository`.

    `scope` is empty, `tenant`, `tenant/workspace` or `tenant/workspace/repo`.
    """
    parts = scope.split("/") if scope else []
    return Q(**dict(zip(PLACE, parts, strict=False)))


def in_turns(rows: QuerySet[_Row], *order: str | OrderBy) -> QuerySet[_Row]:
    """Order rows so that the first of each tenant comes before the second of any.

    `order` is the order within a tenant, and between tenants in a turn; it must not tie.
    """
    fields = [F(field) if isinstance(field, str) else field for field in order]
    turn = Window(RowNumber(), partition_by=F("repository__tenant_id"), order_by=fields)
    return cast("QuerySet[_Row]", rows.alias(turn=turn).order_by("turn", *fields))


def stale_checks(rows: Iterable[StaleRow]) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    """Return checks of branches for staleness, and the repository ids by (tenant, repository)."""
    items, ids = [], {}
    for pk, tenant, workspace, repo, branch, about, moment in rows:
        ids[tenant, repo] = pk
        items.append(
            WorkItem(
                tenant=tenant,
                workspace=workspace,
                repo=repo,
                branch=branch,
                task_kind=TaskKind.STALE_BRANCH,
                about=about,
                moment=moment,
            )
        )
    return items, ids
