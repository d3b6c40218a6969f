"""Writes run records: starts, heartbeats, ends and abandons them; an ended run never changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from audit.domain.caller import Caller
from audit.domain.entries import Actor, Entry
from audit.services import append_one
from governance.domain.identities import is_among
from governance.domain.lease_scopes import BRANCH_LEVEL, LeaseClaim, overlaps
from governance.domain.leases import is_over
from governance.domain.runs import InvalidRun, RunEnd, RunStart, ends_in_same_format
from governance.models import Lease, LeaseState, Repository, RunRecord, RunStatus
from governance.selectors.aliases import aliases_among
from governance.services.leases.endings import claim_of, owner_of


class RunNotFound(Exception):
    """The repository has no run of this id."""


class RunConflict(Exception):
    """The run id was used for another run; every run has an id of its own."""


class ActorNotGranted(Exception):
    """The caller may not record runs of this actor: an admin grants actors to tokens."""


class RunEnded(Exception):
    """The run has ended, and ended runs never change; start a new one."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run, and whether this very call changed it (False: a repetition of an earlier one)."""

    run: RunRecord
    is_new: bool


@transaction.atomic
def create_run(
    repository: Repository,
    start: RunStart,
    *,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> RunOutcome:
    """Start a run. The same start again gives the same run, whatever became of it since.

    A run that names a lease becomes the lease's current operation: its heartbeats keep the lease.

    Raises:
        ActorNotGranted: the caller records no runs of this actor.
        RunConflict: the id names a run that started differently.
        InvalidRun: the lease named is not held, does not cover the run's branch, or is another's.
    """
    _check_actor(repository, start.actor, caller)
    known = RunRecord.objects.filter(repository=repository, run_id=start.run_id).first()
    if known is not None:
        return _same_start(known, start)
    lease = _lease_of(repository, start, now=now)
    run = RunRecord(
        repository=repository,
        run_id=start.run_id,
        branch=start.branch,
        base_sha=start.base_sha,
        context_hash=start.context_hash,
        actor=start.actor,
        lease_id=start.lease_id,
        started_at=now,
        last_heartbeat_at=now,
        correlation_id=correlation_id,
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
    except IntegrityError:
        # Somebody with the same id was faster by a hair; the unique constraint told us.
        rival = RunRecord.objects.filter(repository=repository, run_id=start.run_id).first()
        if rival is None:
            raise
        return _same_start(rival, start)
    if lease is not None:
        lease.run_id = run.run_id
        lease.save(update_fields=["run_id"])
    append_one(
        _entry(run, action="run.start", actor=caller.actor, correlation_id=correlation_id, now=now)
    )
    return RunOutcome(run=run, is_new=True)


@transaction.atomic
def heartbeat_run(
    repository: Repository, run_id: str, *, caller: Caller, now: datetime
) -> RunRecord:
    """Say that a run is still at work; this is proof of life for its lease. Leaves no audit entry.

    Raises:
        RunNotFound: no such run in the repository.
        ActorNotGranted: the caller records no runs of its actor.
        RunEnded: too late, for example because its lease expired and it was abandoned.
    """
    run = _locked(repository, run_id)
    _check_actor(repository, run.actor, caller)
    if run.status != RunStatus.RUNNING:
        raise _ended(run)
    run.last_heartbeat_at = max(now, run.last_heartbeat_at)
    run.save(update_fields=["last_heartbeat_at"])
    return run


@transaction.atomic
def finish_run(
    repository: Repository,
    run_id: str,
    end: RunEnd,
    *,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> RunOutcome:
    """End a running run as succeeded or failed. The same end again changes nothing.

    Raises:
        RunNotFound: no such run in the repository.
        ActorNotGranted: the caller records no runs of its actor.
        InvalidRun: a head that cannot be in the repository of the run's base.
        RunEnded: it was abandoned, or ended differently.
    """
    run = _locked(repository, run_id)
    _check_actor(repository, run.actor, caller)
    ends_in_same_format(run.base_sha, end)
    if run.status != RunStatus.RUNNING:
        if _end_of(run) == end:
            return RunOutcome(run=run, is_new=False)
        raise _ended(run)
    _end(
        run,
        status=RunStatus(end.status),
        head_sha=end.head_sha,
        patch_hash=end.patch_hash,
        gate_results=dict(end.gate_results),
        conflict_classes=list(end.conflict_classes),
        ended_at=now,
        last_heartbeat_at=now,
    )
    append_one(
        _entry(
            run,
            action="run.finish",
            actor=caller.actor,
            correlation_id=correlation_id,
            outcome=end.status,
            data={
                "head_sha": end.head_sha,
                "patch_hash": end.patch_hash,
                "gate_results": dict(end.gate_results),
                "conflict_classes": list(end.conflict_classes),
            },
            now=now,
        )
    )
    return RunOutcome(run=run, is_new=True)


@transaction.atomic
def abandon_run(
    repository: Repository,
    run_id: str,
    *,
    reason: str,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> RunOutcome:
    """Mark a running run abandoned: nobody will finish it. Doing so again changes nothing.

    Raises:
        RunNotFound: no such run in the repository.
        RunEnded: it succeeded or failed.
    """
    run = _locked(repository, run_id)
    if run.status == RunStatus.ABANDONED:
        return RunOutcome(run=run, is_new=False)
    if run.status != RunStatus.RUNNING:
        raise _ended(run)
    _end(run, status=RunStatus.ABANDONED, ended_at=now)
    append_one(
        _entry(
            run,
            action="run.abandon",
            actor=actor,
            correlation_id=correlation_id,
            reason=reason,
            now=now,
        )
    )
    return RunOutcome(run=run, is_new=True)


def _check_actor(repository: Repository, actor: str, caller: Caller) -> None:
    if caller.has_scope("admin") or actor in caller.run_actors:
        return
    aliases = aliases_among(repository.tenant_id, {actor, *caller.run_actors})
    if not is_among(actor, caller.run_actors, aliases):
        own = ", ".join(sorted(caller.run_actors)) or "nobody"
        raise ActorNotGranted(
            f"{caller.actor.name} records runs of {own}, not of {actor}: issue a token with"
            " `manage.py api_token create --actor` or `--grant-actor`, or join the names with"
            " `manage.py alias add`."
        )


def _same_start(known: RunRecord, start: RunStart) -> RunOutcome:
    told = RunStart(
        run_id=known.run_id,
        branch=known.branch,
        base_sha=known.base_sha,
        actor=known.actor,
        lease_id=known.lease_id,
        context_hash=known.context_hash,
    )
    if told != start:
        raise RunConflict(f"Run id {start.run_id} is taken by a run that started differently.")
    return RunOutcome(run=known, is_new=False)


def _lease_of(repository: Repository, start: RunStart, *, now: datetime) -> Lease | None:
    if not start.lease_id:
        return None
    lease = (
        Lease.objects.select_for_update()
        .filter(repository=repository, lease_id=start.lease_id, state=LeaseState.HELD)
        .first()
    )
    if lease is None or is_over(lease.expires_at, now=now):
        raise InvalidRun("lease_id", f"lease {start.lease_id} is not held: acquire one first")
    names = {start.actor, lease.user_id, lease.agent_id}
    aliases = aliases_among(repository.tenant_id, names)
    if not is_among(start.actor, (lease.user_id, lease.agent_id), aliases):
        raise InvalidRun(
            "lease_id", f"lease {start.lease_id} is held by {owner_of(lease)}, not by {start.actor}"
        )
    if not overlaps(claim_of(lease), LeaseClaim(BRANCH_LEVEL, start.branch)):
        raise InvalidRun("lease_id", f"lease {start.lease_id} does not cover {start.branch}")
    return lease


def _end(run: RunRecord, **fields: Any) -> None:
    """Move a running run to its end, by one UPDATE that only a running run lets through."""
    if RunRecord.objects.filter(pk=run.pk, status=RunStatus.RUNNING).update(**fields) != 1:
        run.refresh_from_db()
        raise _ended(run)
    for name, value in fields.items():
        setattr(run, name, value)


def _end_of(run: RunRecord) -> RunEnd:
    return RunEnd(
        status=run.status,
        head_sha=run.head_sha,
        patch_hash=run.patch_hash,
        gate_results=tuple(sorted(run.gate_results.items())),
        conflict_classes=tuple(run.conflict_classes),
    )


def _ended(run: RunRecord) -> RunEnded:
    return RunEnded(f"Run {run.run_id} has ended ({run.status}); ended runs never change.")


def _locked(repository: Repository, run_id: str) -> RunRecord:
    row = (
        RunRecord.objects.select_for_update(of=("self",))
        .select_related("repository__tenant", "repository__workspace")
        .filter(repository=repository, run_id=run_id)
        .first()
    )
    if row is None:
        raise RunNotFound(f"There is no run {run_id} in {repository.slug}.")
    return row


def _entry(
    run: RunRecord,
    *,
    action: str,
    actor: Actor,
    correlation_id: str,
    outcome: str = "ok",
    reason: str = "",
    data: dict[str, Any] | None = None,
    now: datetime,
) -> Entry:
    return Entry(
        tenant=run.repository.tenant.slug,
        workspace=run.repository.workspace.slug,
        repo=run.repository.slug,
        branch=run.branch,
        at=now,
        actor=actor,
        action=action,
        object_kind="run",
        object_id=run.run_id,
        correlation_id=correlation_id,
        outcome=outcome,
        reason=reason,
        data={
            "actor": run.actor,
            "base_sha": run.base_sha,
            "lease_id": run.lease_id,
            **(data or {}),
        },
    )
