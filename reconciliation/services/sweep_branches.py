"""Finds the branches whose stale check is due; plans nothing.

Repositories have their turn: each is looked through once in an interval, and as soon as a head of
it moved. So a run with nothing due reads no branch, and every idle branch is reached, however many
there are. The filter (idle, not checked for a day) is part of the statement, before its limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from audit.domain.canonical import utc_text
from audit.setwise import rows_source
from governance.selectors.branch_facts import idle_branches
from governance.selectors.policies import shortest_idle_days
from governance.selectors.visible import Branch
from reconciliation.domain.sweep_plan import next_due
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import ReconciliationTask, RepositoryWatch, TaskKind
from reconciliation.services.left_behind import left_behind_items
from reconciliation.services.sweep_scope import PLACE, in_scope, in_turns, stale_checks

_WATCH = RepositoryWatch._meta.db_table
_RECHECK_STALE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class BranchLook:
    """What looking through repositories found: checks, their repository ids, and who is done.

    `done` are repositories of which nothing is left, with their names; the others stay due.
    """

    items: list[WorkItem]
    repository_ids: dict[tuple[str, str], int]
    done: list[tuple[int, str]]


def look_through_branches(
    *, scope: str, repositories: int, limit: int, slot: datetime, now: datetime
) -> BranchLook:
    """Return at most `limit` checks of each kind in at most so many repositories, in turns.

    Both turns go by tenant: the first of each, then the second of each. Seven statements at most.
    """
    names = _whose_turn(scope, most=repositories, now=now)
    if not names:
        return BranchLook([], {}, [])
    ids = sorted(names)
    idle_since = now - timedelta(days=shortest_idle_days())
    idle = _idle_unchecked(ids, idle_since=idle_since, now=now)
    items, found = _stale_items(idle, limit=limit, slot=slot)
    behind, behind_ids = left_behind_items(
        repository_ids=ids, active_since=idle_since, limit=limit, slot=slot, now=now
    )
    left: set[int] = set()
    if len(items) >= limit:
        left |= set(idle.order_by().values_list("repository_id", flat=True).distinct())
    if len(behind) >= limit:
        # All are looked through again: what is planned now is not found a second time.
        left.update(ids)
    return BranchLook(
        items=[*items, *behind],
        repository_ids={**found, **behind_ids},
        done=[(pk, names[pk]) for pk in ids if pk not in left],
    )


def set_branches_due(
    done: Sequence[tuple[int, str]], *, interval: timedelta, now: datetime
) -> None:
    """Store when the branches of these repositories are looked through again."""
    if not done:
        return
    rows = [
        (pk, next_due(f"branches of {name}", swept_at=now, interval=interval)) for pk, name in done
    ]
    source, params = rows_source(connection, {"pk": "bigint", "due": "timestamptz"}, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_WATCH} SET branches_due_at = v.due FROM {source} AS v"
            f" WHERE {_WATCH}.repository_id = v.pk",
            params,
        )


def _whose_turn(scope: str, *, most: int, now: datetime) -> dict[int, str]:
    """Return the repositories whose branches are looked through now, with their names."""
    longest_due = (F("branches_due_at").asc(nulls_first=True), "repository_id")
    rows = RepositoryWatch.objects.filter(
        Q(branches_due_at__isnull=True) | Q(branches_due_at__lte=now),
        in_scope(scope),
        repository__is_active=True,
    )
    names = in_turns(rows, *longest_due).values_list(
        "repository_id", "repository__tenant__slug", "repository__slug"
    )
    return {pk: f"{tenant}/{repo}" for pk, tenant, repo in names[:most]}


def _idle_unchecked(
    repository_ids: Sequence[int], *, idle_since: datetime, now: datetime
) -> QuerySet[Branch]:
    checked = ReconciliationTask.objects.filter(
        repository=OuterRef("repository"),
        branch=OuterRef("name"),
        task_kind=TaskKind.STALE_BRANCH,
        created_at__gt=now - _RECHECK_STALE,
    )
    # The default branch is never even asked about: the rule would refuse.
    return (
        idle_branches(idle_since=idle_since, repository_ids=repository_ids)
        .exclude(name=F("repository__default_branch"))
        .filter(~Exists(checked))
    )


def _stale_items(
    idle: QuerySet[Branch], *, limit: int, slot: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    longest_idle = F("last_activity_at").asc(nulls_last=True)
    rows = in_turns(idle, longest_idle, "repository_id", "name").values_list(
        "repository_id", *PLACE, "name", "observed_head"
    )
    return stale_checks(
        (pk, tenant, workspace, repo, branch, f"idle at {head}", utc_text(slot))
        for pk, tenant, workspace, repo, branch, head in rows[:limit]
    )
