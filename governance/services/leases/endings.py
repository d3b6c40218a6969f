"""How a lease ends, whoever ends it: one guarded UPDATE, its runs abandoned, its audit entry."""

from datetime import datetime

from django.db.models import Q

from audit.domain.entries import Actor, Entry
from governance.domain.lease_scopes import REPO_WIDE, LeaseClaim
from governance.domain.leases import Owner
from governance.models import Lease, LeaseState, RunRecord, RunStatus

OBJECT_KIND = "lease"


def claim_of(lease: Lease) -> LeaseClaim:
    """Return what a stored lease covers."""
    return LeaseClaim(lease.scope, lease.branch, tuple(lease.paths))


def owner_of(lease: Lease) -> Owner:
    """Return who holds, or held, a stored lease."""
    return Owner(lease.user_id, lease.device_id, lease.agent_id)


def end_lease(lease: Lease, *, state: LeaseState, reason: str, now: datetime) -> bool:
    """Move a held lease, unchanged since it was read, to an end; False if it changed meanwhile."""
    moved = Lease.objects.filter(
        pk=lease.pk, state=LeaseState.HELD, expires_at=lease.expires_at
    ).update(state=state, ended_at=now, end_reason=reason)
    if moved:
        lease.state, lease.ended_at, lease.end_reason = state, now, reason
    return moved == 1


def running_runs_under(lease: Lease) -> list[RunRecord]:
    """Return the running runs that a lease protects, by run id.

    A run belongs to a lease when either names the other and the lease covers the run's branch.
    """
    linked = Q(lease_id=lease.lease_id)
    if lease.run_id:
        linked |= Q(run_id=lease.run_id)
    runs = RunRecord.objects.filter(
        linked, repository_id=lease.repository_id, status=RunStatus.RUNNING
    )
    if lease.scope != REPO_WIDE:
        runs = runs.filter(branch=lease.branch)
    return list(runs.order_by("run_id", "pk"))


def abandon_runs(
    runs: list[RunRecord],
    lease: Lease,
    *,
    reason: str,
    actor: Actor,
    correlation_id: str,
    policy_version: str = "",
    now: datetime,
) -> list[Entry]:
    """Mark runs abandoned; return the entries of those that still ran, for the caller to append."""
    entries = []
    for run in runs:
        moved = RunRecord.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(
            status=RunStatus.ABANDONED, ended_at=now
        )
        if moved:
            entries.append(
                Entry(
                    tenant=lease.repository.tenant.slug,
                    workspace=lease.repository.workspace.slug,
                    repo=lease.repository.slug,
                    branch=run.branch,
                    at=now,
                    actor=actor,
                    action="run.abandon",
                    object_kind="run",
                    object_id=run.run_id,
                    correlation_id=correlation_id,
                    reason=reason,
                    policy_version=policy_version,
                    data={"lease_id": lease.lease_id, "base_sha": run.base_sha},
                )
            )
    return entries


def lease_entry(
    lease: Lease,
    *,
    action: str,
    actor: Actor,
    correlation_id: str,
    now: datetime,
    outcome: str = "ok",
    reason: str = "",
    task_kind: str = "",
    policy_version: str = "",
) -> Entry:
    """Return the audit entry of an act on a lease, with the lease as it is after the act."""
    return Entry(
        tenant=lease.repository.tenant.slug,
        workspace=lease.repository.workspace.slug,
        repo=lease.repository.slug,
        branch=lease.branch,
        at=now,
        actor=actor,
        action=action,
        object_kind=OBJECT_KIND,
        object_id=lease.lease_id,
        correlation_id=correlation_id,
        outcome=outcome,
        reason=reason,
        task_kind=task_kind,
        policy_version=policy_version,
        data={
            "scope": lease.scope,
            "paths": list(lease.paths),
            "owner": str(owner_of(lease)),
            "fencing_token": lease.fencing_token,
            "expires_at": lease.expires_at,
            "state": str(lease.state),
            "run_id": lease.run_id,
        },
    )
