"""Finds the branches in use whose default branch may have left them behind; plans nothing.

How far a branch is behind changes only when it or its default branch moves, so a pair of heads is
looked at once, and a branch at most once a day however often its default branch moves.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Concat

from audit.domain.canonical import utc_text
from governance.selectors.branches_in_use import branches_in_use
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Finding, FindingState, ReconciliationTask, TaskKind
from reconciliation.services.sweep_scope import PLACE, StaleRow, in_turns, stale_checks

_AGAIN_AFTER = timedelta(hours=24)


def left_behind_items(
    *,
    repository_ids: Sequence[int],
    active_since: datetime,
    limit: int,
    slot: datetime,
    now: datetime,
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    """Return checks of branches in use against a moved base, and the repository ids.

    Also branches with an open `stale_base` finding that had no check for a day: nobody announces
    that a branch is no longer in use. Two statements, whatever there is; tenants take turns.
    """
    items, ids = stale_checks(
        [
            *_moved_apart(repository_ids, active_since=active_since, limit=limit, now=now),
            *_still_behind(repository_ids, limit=limit, slot=slot, now=now),
        ]
    )
    return items[:limit], ids


def _moved_apart(
    repository_ids: Sequence[int], *, active_since: datetime, limit: int, now: datetime
) -> Iterable[StaleRow]:
    about = Concat(Value("behind "), F("default_head"), Value(" at "), F("observed_head"))
    checked = ReconciliationTask.objects.filter(
        Q(created_at__gt=now - _AGAIN_AFTER) | Q(subject=OuterRef("about")),
        repository=OuterRef("repository"),
        branch=OuterRef("name"),
        task_kind=TaskKind.STALE_BRANCH,
    )
    rows = (
        branches_in_use(active_since=active_since, repository_ids=repository_ids, now=now)
        .annotate(about=about)
        .filter(~Exists(checked))
    )
    for pk, tenant, workspace, repo, branch, text in in_turns(
        rows, "repository_id", "name"
    ).values_list("repository_id", *PLACE, "name", "about")[:limit]:
        yield pk, tenant, workspace, repo, branch, text, ""


def _still_behind(
    repository_ids: Sequence[int], *, limit: int, slot: datetime, now: datetime
) -> Iterable[StaleRow]:
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
        repository__in=repository_ids,
    )
    for pk, tenant, workspace, repo, branch in in_turns(
        rows, "repository_id", "branch"
    ).values_list("repository_id", *PLACE, "branch")[:limit]:
        yield pk, tenant, workspace, repo, branch, "stale_base", utc_text(slot)
