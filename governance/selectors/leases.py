"""Reads leases: those a caller may see, and those that the reconciler should look at."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Max, Q, QuerySet

from audit.domain.caller import Caller
from governance.domain.lease_scopes import REPO_WIDE
from governance.domain.leases import is_expiring
from governance.domain.policy import DEFAULT_DOCUMENT
from governance.models import Lease, LeaseState, Repository, RunRecord, RunStatus
from governance.selectors.visible import scoped

_COLUMNS = {
    "lease_pk": "pk",
    "repository_id": "repository_id",
    "tenant": "repository__tenant__slug",
    "workspace": "repository__workspace__slug",
    "repo": "repository__slug",
    "branch": "branch",
    "lease_id": "lease_id",
    "scope": "scope",
    "holder": "user_id",
    "run_id": "run_id",
    "fencing_token": "fencing_token",
    "ttl_seconds": "ttl_seconds",
    "acquired_at": "acquired_at",
    "expires_at": "expires_at",
    "max_expires_at": "max_expires_at",
    "last_heartbeat_at": "last_heartbeat_at",
}
_DEFAULT_FRACTION: int = DEFAULT_DOCUMENT["lease"]["renew_at_ttl_fraction"]


@dataclass(frozen=True, slots=True)
class DueLease:
    """A held lease that is expiring or past its expiry, with its operation's newest sign of life.

    `run_status` is `running` when any run under the lease runs, else that of the run it names,
    else empty. `run_heartbeat_at` is the newest of its running runs, None without any.
    """

    lease_pk: int
    repository_id: int
    tenant: str
    workspace: str
    repo: str
    branch: str
    lease_id: str
    scope: str
    holder: str
    run_id: str
    fencing_token: int
    ttl_seconds: int
    acquired_at: datetime
    expires_at: datetime
    max_expires_at: datetime
    last_heartbeat_at: datetime
    run_status: str
    run_heartbeat_at: datetime | None


def leases_for(caller: Caller) -> QuerySet[Lease]:
    """Return the caller's leases with repository and tenant, newest first."""
    rows = Lease.objects.select_related("repository__tenant", "repository__workspace")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by("-id")


def lease_named(caller: Caller, repository: Repository, *, lease_id: str) -> Lease | None:
    """Return one of the caller's leases, or None."""
    return leases_for(caller).filter(repository=repository, lease_id=lease_id).first()


def leases_due(
    *, now: datetime, limit: int, renew_at_ttl_fraction: int = _DEFAULT_FRACTION
) -> list[DueLease]:
    """Return held leases with at most 1/n of their TTL left, or past expiry, by (tenant, repo,
    branch, lease id).

    At most `limit`, those that run out soonest, so that a few stuck ones cannot hide the others.
    Three statements, whatever their number. What is due is for the rule alone to say; the database
    only leaves out what cannot be.
    """
    held = Lease.objects.filter(state=LeaseState.HELD)
    longest = held.aggregate(longest=Max("ttl_seconds"))["longest"]
    if longest is None:
        return []
    possible = held.filter(
        expires_at__lte=now + timedelta(seconds=longest) / renew_at_ttl_fraction
    ).order_by("expires_at", "id")
    candidates = (
        DueLease(**dict(zip(_COLUMNS, row, strict=True)), run_status="", run_heartbeat_at=None)
        for row in possible.values_list(*_COLUMNS.values()).iterator(chunk_size=1000)
    )
    expiring = (
        one
        for one in candidates
        if is_expiring(
            one.expires_at,
            ttl_seconds=one.ttl_seconds,
            renew_at_ttl_fraction=renew_at_ttl_fraction,
            now=now,
        )
    )
    chosen = list(islice(expiring, limit))
    runs = _runs_under(chosen)
    due = [_with_sign_of_life(one, runs[one.repository_id]) for one in chosen]
    return sorted(due, key=lambda one: (one.tenant, one.repo, one.branch, one.lease_id))


_Run = tuple[str, str, str, str, datetime]
"""Run id, lease id, branch, status, last heartbeat."""


def _runs_under(leases: Iterable[DueLease]) -> dict[int, list[_Run]]:
    """Return, by repository, the running runs that name a lease, and the runs that leases name."""
    named = list(leases)
    rows = RunRecord.objects.filter(
        Q(status=RunStatus.RUNNING, lease_id__in={one.lease_id for one in named})
        | Q(run_id__in={one.run_id for one in named if one.run_id}),
        repository_id__in={one.repository_id for one in named},
    ).order_by("repository_id", "run_id")
    found: dict[int, list[_Run]] = defaultdict(list)
    for pk, run_id, lease_id, branch, status, heartbeat_at in rows.values_list(
        "repository_id", "run_id", "lease_id", "branch", "status", "last_heartbeat_at"
    ):
        found[pk].append((run_id, lease_id, branch, status, heartbeat_at))
    return found


def _with_sign_of_life(lease: DueLease, runs: Iterable[_Run]) -> DueLease:
    mine = [
        run
        for run in runs
        if (run[1] == lease.lease_id or (lease.run_id and run[0] == lease.run_id))
        and lease.branch in ("", run[2])
    ]
    heartbeats = [run[4] for run in mine if run[3] == RunStatus.RUNNING]
    if heartbeats:
        return replace(lease, run_status=RunStatus.RUNNING.value, run_heartbeat_at=max(heartbeats))
    ended = [run[3] for run in mine if run[0] == lease.run_id]
    return replace(lease, run_status=ended[0]) if ended else lease


def held_leases_over(repository: Repository, *, branch: str) -> QuerySet[Lease]:
    """Return the held leases that cover some of a branch, by lease id; expired ones included."""
    return Lease.objects.filter(
        Q(scope=REPO_WIDE) | Q(branch=branch), repository=repository, state=LeaseState.HELD
    ).order_by("lease_id", "pk")
