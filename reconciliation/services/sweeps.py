"""Plans bounded sweeps: a deterministic worklist, stored with its digest and its tasks.

A sweep reads no remote. It plans observations of the repositories that are due, and the checks that
time alone makes due: leases, idle branches, alerts. Observing costs one exchange per repository;
rows are made for what changed, never for what exists.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from audit.domain.canonical import utc_text
from audit.domain.entries import RECONCILER, Entry
from audit.services import append
from reconciliation.domain.sweep_plan import LEAST_DERIVED, Choice, DueRepository
from reconciliation.domain.worklist import WorkItem, Worklist, canonical_worklist
from reconciliation.models import Origin, Sweep, TaskKind
from reconciliation.services.queue import PRIORITY_EVENT, PRIORITY_SWEEP, Planned, enqueue
from reconciliation.services.sweep_branches import look_through_branches, set_branches_due
from reconciliation.services.sweep_checks import timed_items
from reconciliation.services.sweep_repositories import (
    Budget,
    budget_in_force,
    choose_due,
    fill_in_hosts,
    set_next_due,
)
from reconciliation.services.wake import wake

__all__ = ["Budget", "PlannedSweep", "draft_sweep", "plan_sweep"]


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    """What a sweep would do, or did: its choice and its worklist; `row` once it is stored."""

    slot: datetime
    scope: str
    considered: int
    choice: Choice
    worklist: Worklist
    repository_ids: dict[tuple[str, str], int]
    budget: int
    looked_through: tuple[tuple[int, str], ...]
    row: Sweep | None = None


def draft_sweep(
    *, slot: datetime, scope: str, everything: bool, budget: Budget, now: datetime
) -> PlannedSweep:
    """Return what a sweep at `slot` would plan, storing nothing.

    `scope` is empty, `tenant`, `tenant/workspace` or `tenant/workspace/repo`. With `everything`
    repositories count as due whatever their age.
    """
    taken, per_tenant = budget_in_force(budget, everything=everything)
    considered, choice = choose_due(
        scope=scope,
        everything=everything,
        budget=replace(budget, repositories=taken, per_tenant=per_tenant),
        now=now,
    )
    ids = {(one.tenant, one.repo): one.repository_id for one in choice.taken}
    items = [_observation(one, slot) for one in choice.taken]
    timed, timed_ids = timed_items(scope=scope, limit=budget.checks, now=now)
    look = look_through_branches(
        scope=scope,
        repositories=max(taken, LEAST_DERIVED),
        limit=budget.checks,
        slot=slot,
        now=now,
    )
    return PlannedSweep(
        slot=slot,
        scope=scope,
        considered=considered,
        choice=choice,
        worklist=canonical_worklist([*items, *timed, *look.items]),
        repository_ids={**ids, **timed_ids, **look.repository_ids},
        budget=taken,
        looked_through=tuple(look.done),
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
    is no sweep: then `row` is None, and no more was stored than whose branches were looked through.
    """
    with transaction.atomic():
        fill_in_hosts()
        draft = draft_sweep(slot=slot, scope=scope, everything=everything, budget=budget, now=now)
        if not draft.worklist.items:
            set_branches_due(draft.looked_through, interval=budget.interval, now=now)
            return draft
        row, created = Sweep.objects.get_or_create(
            slot=slot,
            scope=scope,
            defaults={
                "trigger": trigger,
                "budget_repositories": draft.budget,
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
            set_branches_due(draft.looked_through, interval=budget.interval, now=now)
            set_next_due(draft.choice.taken, interval=budget.interval, now=now)
            append(_entries(draft, row, now=now))
            wake(now)
    return replace(draft, row=row)


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
