"""Plans bounded sweeps: a deterministic worklist, stored with its digest and its tasks.

A sweep reads no remote. It plans observations of the repositories that are due, and the checks that
time alone makes due: leases, idle branches, alerts. Observing costs one exchange per repository;
rows are made for what changed, never for what exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q

from audit.domain.canonical import utc_text
from audit.domain.entries import RECONCILER, Entry
from audit.services import append
from audit.setwise import rows_source
from governance.selectors.branch_facts import (
    idle_branches,
    leases_due,
    repositories_by_id,
)
from governance.selectors.policies import shortest_idle_days
from reconciliation.domain.sweep_plan import Choice, DueRepository, choose, next_due
from reconciliation.domain.worklist import WorkItem, Worklist, canonical_worklist
from reconciliation.models import (
    Alert,
    AlertState,
    Origin,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    TaskKind,
)
from reconciliation.services.left_behind import left_behind_items
from reconciliation.services.queue import PRIORITY_EVENT, PRIORITY_SWEEP, Planned, enqueue
from reconciliation.services.wake import wake

_WATCH = RepositoryWatch._meta.db_table
_RECHECK_STALE = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Budget:
    """The bounds of one sweep: repositories in all and per tenant, leases, branches, alerts."""

    repositories: int
    per_tenant: int
    checks: int = 1000
    interval: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """What a sweep would do, or did: its choice and its worklist; `row` once it is stored."""

    slot: datetime
    scope: str
    considered: int
    choice: Choice
    worklist: Worklist
    repository_ids: dict[tuple[str, str], int]
    row: Sweep | None = None


def draft_sweep(
    *, slot: datetime, scope: str, everything: bool, budget: Budget, now: datetime
) -> PlannedSweep:
    """Return what a sweep at `slot` would plan, storing nothing.

    `scope` is empty, `tenant`, `tenant/workspace` or `tenant/workspace/repo`. With `everything`
    repositories count as due whatever their age.
    """
    due = _due_repositories(scope=scope, everything=everything, budget=budget, now=now)
    choice = choose(due, budget=budget.repositories, per_tenant=budget.per_tenant)
    ids = {(one.tenant, one.repo): one.repository_id for one in choice.taken}
    items = [_observation(one, slot) for one in choice.taken]
    timed, timed_ids = _timed_items(scope=scope, budget=budget, now=now)
    stale, stale_ids = _stale_items(scope=scope, budget=budget, slot=slot, now=now)
    behind, behind_ids = left_behind_items(scope=scope, limit=budget.checks, slot=slot, now=now)
    return PlannedSweep(
        slot=slot,
        scope=scope,
        considered=len(due),
        choice=choice,
        worklist=canonical_worklist([*items, *timed, *stale, *behind]),
        repository_ids={**ids, **timed_ids, **stale_ids, **behind_ids},
    )


def plan_sweep(
    *,
    slot: datetime,
    scope: str,
    everything: bool,
    trigger: str,
    budget: Budget,
    correlation_id: str,
    now: datetime,
) -> PlannedSweep:
    """Plan a sweep and queue its tasks in one transaction; the same slot twice adds nothing.

    Safe to run in many workers at once: the slot is unique, the first one plans it. Nothing due
    is no sweep: then `row` is None and nothing was stored.
    """
    with transaction.atomic():
        draft = draft_sweep(slot=slot, scope=scope, everything=everything, budget=budget, now=now)
        if not draft.worklist.items:
            return draft
        row, created = Sweep.objects.get_or_create(
            slot=slot,
            scope=scope,
            defaults={
                "trigger": trigger,
                "budget_repositories": budget.repositories,
                "worklist_digest": draft.worklist.digest,
                "worklist": draft.worklist.text,
                "considered": draft.considered,
                "planned": len(draft.worklist.items),
                "skipped": dict(draft.choice.skipped),
                "correlation_id": correlation_id,
                "started_at": now,
                "planned_at": now,
            },
        )
        if created:
            _queue(draft, row, now=now)
            _set_next_due(draft.choice.taken, interval=budget.interval, now=now)
            append(_entries(draft, row, now=now))
            wake(now)
    return PlannedSweep(
        slot=draft.slot,
        scope=draft.scope,
        considered=draft.considered,
        choice=draft.choice,
        worklist=draft.worklist,
        repository_ids=draft.repository_ids,
        row=row,
    )


def _queue(draft: PlannedSweep, row: Sweep, *, now: datetime) -> None:
    urgent = {TaskKind.LEASE_RENEWAL, TaskKind.DIVERGENCE_ALERT}
    enqueue(
        [
            Planned(
                item=item,
                repository_id=draft.repository_ids[item.tenant, item.repo],
                correlation_id=row.correlation_id,
                origin=Origin.SWEEP,
                # A lease that runs out does not wait behind a lap of observations.
                priority=PRIORITY_EVENT if item.task_kind in urgent else PRIORITY_SWEEP,
                run_after=now,
                announced_at=now,
                sweep_id=row.pk,
                ordinal=ordinal,
            )
            for ordinal, item in enumerate(draft.worklist.items)
        ],
        now=now,
        revive=False,
    )


def _due_repositories(
    *, scope: str, everything: bool, budget: Budget, now: datetime
) -> list[DueRepository]:
    rows = RepositoryWatch.objects.filter(
        _in_scope(scope, "repository__"), repository__is_active=True
    )
    if not everything:
        rows = rows.filter(next_due_at__lte=now)
    # Enough to be fair with: what lies beyond is counted by the next sweep.
    window = max(budget.repositories * 10, 1000)
    return [
        DueRepository(pk, tenant, workspace, repo, due_at)
        for pk, tenant, workspace, repo, due_at in rows.order_by(
            "next_due_at", "repository_id"
        ).values_list(
            "repository_id",
            "repository__tenant__slug",
            "repository__workspace__slug",
            "repository__slug",
            "next_due_at",
        )[:window]
    ]


def _observation(one: DueRepository, slot: datetime) -> WorkItem:
    return WorkItem(
        tenant=one.tenant,
        workspace=one.workspace,
        repo=one.repo,
        branch="",
        task_kind=TaskKind.OBSERVE_REFS,
        about="sweep",
        moment=utc_text(slot),
    )


def _timed_items(
    *, scope: str, budget: Budget, now: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    leases = leases_due(now=now, limit=budget.checks)
    alerts = _alerts_due(now=now, limit=budget.checks)
    rows = repositories_by_id([one[0] for one in leases] + [one[0] for one in alerts])
    items, ids = [], {}
    for repository_id, branch, lease_id, expires_at in leases:
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
                task_kind=TaskKind.LEASE_RENEWAL,
                about=lease_id,
                moment=utc_text(expires_at),
                lease_id=lease_id,
            )
        )
    for repository_id, branch, about, moment in alerts:
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
                task_kind=TaskKind.DIVERGENCE_ALERT,
                about=about,
                moment=utc_text(moment),
            )
        )
    return items, ids


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
    return due


def _stale_items(
    *, scope: str, budget: Budget, slot: datetime, now: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    idle = idle_branches(
        idle_since=now - timedelta(days=shortest_idle_days()),
        repository_ids=None,
        limit=budget.checks * 10,
    )
    checked = set(
        ReconciliationTask.objects.filter(
            task_kind=TaskKind.STALE_BRANCH,
            created_at__gt=now - _RECHECK_STALE,
            repository_id__in={pk for pk, _, _ in idle},
        ).values_list("repository_id", "branch")
    )
    rows = repositories_by_id({pk for pk, _, _ in idle})
    items, ids = [], {}
    for repository_id, branch, head in idle:
        place = rows[repository_id]
        # Never even asked about: the rule would refuse, and asking would cost a task each lap.
        if branch == place.default_branch or (repository_id, branch) in checked:
            continue
        if not _covers(scope, place.tenant, place.workspace, place.slug):
            continue
        ids[place.tenant, place.slug] = repository_id
        items.append(
            WorkItem(
                tenant=place.tenant,
                workspace=place.workspace,
                repo=place.slug,
                branch=branch,
                task_kind=TaskKind.STALE_BRANCH,
                about=f"idle at {head}",
                moment=utc_text(slot),
            )
        )
    return items[: budget.checks], ids


def _set_next_due(taken: Sequence[DueRepository], *, interval: timedelta, now: datetime) -> None:
    if not taken:
        return
    columns = {"repository_id": "bigint", "next_due_at": "timestamptz", "at": "timestamptz"}
    rows = [
        (
            one.repository_id,
            next_due(f"{one.tenant}/{one.repo}", swept_at=now, interval=interval),
            now,
        )
        for one in taken
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_WATCH} SET next_due_at = v.next_due_at, last_swept_at = v.at"
            f" FROM {source} AS v WHERE {_WATCH}.repository_id = v.repository_id",
            params,
        )


def _entries(draft: PlannedSweep, row: Sweep, *, now: datetime) -> list[Entry]:
    tenants = sorted({item.tenant for item in draft.worklist.items})
    return [
        Entry(
            tenant=tenant,
            at=now,
            actor=RECONCILER,
            action="sweep.plan",
            object_kind="sweep",
            object_id=str(row.pk),
            correlation_id=row.correlation_id,
            data={
                "items": sum(item.tenant == tenant for item in draft.worklist.items),
                "scope": draft.scope,
                "slot": draft.slot,
                "worklist_digest": draft.worklist.digest,
            },
        )
        for tenant in tenants
    ]


def _in_scope(scope: str, prefix: str) -> Q:
    fields = ("tenant__slug", "workspace__slug", "slug")
    parts = scope.split("/") if scope else []
    return Q(**{f"{prefix}{field}": part for field, part in zip(fields, parts, strict=False)})


def _covers(scope: str, *place: str) -> bool:
    parts = tuple(scope.split("/")) if scope else ()
    return place[: len(parts)] == parts
