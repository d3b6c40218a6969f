"""Finds the checks that time alone makes due: leases, alerts, idle branches; plans nothing."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db.models import Q

from audit.domain.canonical import utc_text
from governance.selectors.branch_facts import (
    RepositoryRow,
    idle_branches,
    leases_due,
    repositories_by_id,
)
from governance.selectors.policies import shortest_idle_days
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import (
    Alert,
    AlertState,
    FindingState,
    ReconciliationTask,
    TaskKind,
)

_RECHECK_STALE = timedelta(hours=24)


def timed_items(
    *, scope: str, limit: int, now: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    """Return renewals and alerts whose moment has come, and the repository id of each place."""
    leases = leases_due(now=now, limit=limit)
    alerts = _alerts_due(now=now, limit=limit)
    rows = repositories_by_id([one[0] for one in leases] + [one[0] for one in alerts])
    return _worklist(
        [
            *(
                (pk, branch, TaskKind.LEASE_RENEWAL, lease_id, expires_at, lease_id)
                for pk, branch, lease_id, expires_at in leases
            ),
            *(
                (pk, branch, TaskKind.DIVERGENCE_ALERT, about, moment, None)
                for pk, branch, about, moment in alerts
            ),
        ],
        rows,
        scope=scope,
    )


def _alerts_due(*, now: datetime, limit: int) -> list[tuple[int, str, str, datetime]]:
    rows = (
        Alert.objects.filter(
            Q(state=AlertState.OPEN, next_escalation_at__lte=now)
            | Q(state=AlertState.ACKNOWLEDGED, acknowledge_expires_at__lte=now)
            | Q(state=AlertState.SNOOZED, snoozed_until__lte=now),
            repository__is_active=True,
        )
        .select_related("finding")
        .order_by("id")[:limit]
    )
    due = []
    for row in rows:
        moment = {
            AlertState.OPEN: row.next_escalation_at,
            AlertState.ACKNOWLEDGED: row.acknowledge_expires_at,
            AlertState.SNOOZED: row.snoozed_until,
        }[AlertState(row.state)]
        about = f"{row.state} {row.finding.fingerprint[:16]} step {row.escalation_step}"
        due.append((row.repository_id, row.branch, about, moment or now))
    return due + _quiet_again(now=now, limit=limit)


def _quiet_again(*, now: datetime, limit: int) -> list[tuple[int, str, str, datetime]]:
    """Return the flapping alerts whose finding has been gone for long enough."""
    rows = (
        Alert.objects.filter(
            flapping_until__lte=now,
            finding__state=FindingState.RESOLVED,
            repository__is_active=True,
        )
        .order_by("id")
        .values_list("repository_id", "branch", "finding__fingerprint", "flapping_until")[:limit]
    )
    return [
        (pk, branch, f"quiet {fingerprint[:16]}", until or now)
        for pk, branch, fingerprint, until in rows
    ]


def stale_items(
    *, scope: str, limit: int, slot: datetime, now: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    """Return checks of idle branches that had none for a day, and the repository ids."""
    idle = idle_branches(
        idle_since=now - timedelta(days=shortest_idle_days()),
        repository_ids=None,
        limit=limit * 10,
    )
    checked = set(
        ReconciliationTask.objects.filter(
            task_kind=TaskKind.STALE_BRANCH,
            created_at__gt=now - _RECHECK_STALE,
            repository_id__in={pk for pk, _, _ in idle},
        ).values_list("repository_id", "branch")
    )
    rows = repositories_by_id({pk for pk, _, _ in idle})
    items, ids = _worklist(
        [
            (pk, branch, TaskKind.STALE_BRANCH, f"idle at {head}", slot, None)
            for pk, branch, head in idle
            # Never even asked about: the rule would refuse, and asking would cost a task each lap.
            if branch != rows[pk].default_branch and (pk, branch) not in checked
        ],
        rows,
        scope=scope,
    )
    return items[:limit], ids


_Due = tuple[int, str, str, str, datetime, str | None]
"""Repository id, branch, kind, what about, the moment of it, the lease's id."""


def _worklist(
    due: Iterable[_Due], rows: Mapping[int, RepositoryRow], *, scope: str
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    items, ids = [], {}
    for repository_id, branch, kind, about, moment, lease_id in due:
        place = rows[repository_id]
        if not _covers(scope, place.tenant, place.workspace, place.slug):
            continue
        ids[place.tenant, place.slug] = repository_id
        items.append(
            WorkItem(
                tenant=place.tenant,
                workspace=place.workspace,
                repo=place.slug,
                branch=branch,
                task_kind=kind,
                about=about,
                moment=utc_text(moment),
                lease_id=lease_id,
            )
        )
    return items, ids


def _covers(scope: str, *place: str) -> bool:
    parts = tuple(scope.split("/")) if scope else ()
    return place[: len(parts)] == parts
