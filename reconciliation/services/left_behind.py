"""Finds the branches in use whose default branch may have left them behind; plans nothing.

How far a branch is behind changes only when it or its default branch moves, so a pair of heads is
looked at once, and a branch at most once a day however often its default branch moves.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Concat

from audit.domain.canonical import utc_text
from governance.selectors.branches_in_use import branches_in_use
from governance.selectors.policies import shortest_idle_days
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Finding, FindingState, ReconciliationTask, TaskKind

_AGAIN_AFTER = timedelta(hours=24)
_PLACE = ("repository__tenant__slug", "repository__workspace__slug", "repository__slug")


def left_behind_items(
    *, scope: str, limit: int, slot: datetime, now: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    """Return checks of branches in use against a moved base, and the repository ids.

    Also branches with an open `stale_base` finding that had no check for a day: nobody announces
    that a branch is no longer in use. Two statements, whatever there is. `scope` is empty,
    `tenant`, `tenant/workspace` or `tenant/workspace/repo`.
    """
    items, ids = [], {}
    for pk, tenant, workspace, repo, branch, about, moment in [
        *_moved_apart(scope=scope, limit=limit, now=now),
        *_still_told(scope=scope, limit=limit, slot=slot, now=now),
    ]:
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
    return items[:limit], ids


_Row = tuple[int, str, str, str, str, str, str]


def _moved_apart(*, scope: str, limit: int, now: datetime) -> Iterable[_Row]:
    about = Concat(Value("behind "), F("default_head"), Value(" at "), F("observed_head"))
    checked = ReconciliationTask.objects.filter(
        Q(created_at__gt=now - _AGAIN_AFTER) | Q(subject=OuterRef("about")),
        repository=OuterRef("repository"),
        branch=OuterRef("name"),
        task_kind=TaskKind.STALE_BRANCH,
    )
    rows = (
        branches_in_use(active_since=now - timedelta(days=shortest_idle_days()), now=now)
        .annotate(about=about)
        .filter(~Exists(checked), **_in_scope(scope))
    )
    for pk, tenant, workspace, repo, branch, text in rows.values_list(
        "repository_id", *_PLACE, "name", "about"
    )[:limit]:
        yield pk, tenant, workspace, repo, branch, text, ""


def _still_told(*, scope: str, limit: int, slot: datetime, now: datetime) -> Iterable[_Row]:
    checked = ReconciliationTask.objects.filter(
        repository=OuterRef("repository"),
        branch=OuterRef("branch"),
        task_kind=TaskKind.STALE_BRANCH,
        created_at__gt=now - _AGAIN_AFTER,
    )
    rows = Finding.objects.filter(
        ~Exists(checked),
        check_kind=TaskKind.STALE_BRANCH,
        stable_class="stale_base",
        state=FindingState.OPEN,
        repository__is_active=True,
        **_in_scope(scope),
    ).order_by("repository_id", "branch")
    for pk, tenant, workspace, repo, branch in rows.values_list("repository_id", *_PLACE, "branch")[
        :limit
    ]:
        yield pk, tenant, workspace, repo, branch, "stale_base", utc_text(slot)


def _in_scope(scope: str) -> dict[str, str]:
    parts = scope.split("/") if scope else []
    return dict(zip(_PLACE, parts, strict=False))
