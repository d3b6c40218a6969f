"""What the reconciler asks about leases: set-based reads; changes nothing."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db.models import F, Q

from governance.models import Lease, LeaseState, RunRecord, RunStatus
from governance.selectors.branch_facts import BranchKey, among


def leases_by_branch(keys: Iterable[BranchKey], *, now: datetime) -> dict[BranchKey, list[Lease]]:
    """Return the leases held over each branch, repo-wide ones included, sorted by lease id.

    A lease whose time has run out covers nothing, even before the reconciler has ended it.
    """
    wanted = set(keys)
    repositories = {pk for pk, _ in wanted}
    names = {name for _, name in wanted} | {""}
    rows = Lease.objects.filter(
        repository_id__in=repositories,
        branch__in=names,
        state=LeaseState.HELD,
        expires_at__gt=now,
    ).order_by("lease_id", "pk")
    found: dict[BranchKey, list[Lease]] = defaultdict(list)
    for row in rows:
        if row.branch:
            if (row.repository_id, row.branch) in wanted:
                found[row.repository_id, row.branch].append(row)
            continue
        for key in wanted:
            if key[0] == row.repository_id:
                found[key].append(row)
    return {key: sorted(leases, key=lambda one: one.lease_id) for key, leases in found.items()}


def leases_at(moments: Mapping[BranchKey, Sequence[datetime]]) -> dict[BranchKey, list[Lease]]:
    """Return the leases that covered each branch at one of its moments, ended since or not."""
    every = [moment for some in moments.values() for moment in some]
    if not every:
        return {}
    rows = (
        Lease.objects.filter(
            Q(ended_at__isnull=True) | Q(ended_at__gte=min(every)),
            repository_id__in={pk for pk, _ in moments},
            branch__in={name for _, name in moments} | {""},
            acquired_at__lte=max(every),
        )
        .exclude(expires_at__lte=F("acquired_at"))
        .order_by("lease_id", "pk")
    )
    found: dict[BranchKey, list[Lease]] = defaultdict(list)
    for row in rows:
        over_at = min(row.ended_at or row.expires_at, row.expires_at)
        for key, some in moments.items():
            if row.repository_id != key[0] or row.branch not in ("", key[1]):
                continue
            if any(row.acquired_at <= moment < over_at for moment in some):
                found[key].append(row)
    return dict(found)


def leases_by_id(
    keys: Iterable[tuple[int, str]],
) -> dict[tuple[int, str], tuple[Lease, RunRecord | None]]:
    """Return each `(repository, lease id)` with the run record that it belongs to, if any."""
    wanted = set(keys)
    rows = [
        row
        for row in Lease.objects.filter(**among(wanted, "lease_id")).order_by("pk")
        if (row.repository_id, row.lease_id) in wanted
    ]
    run_ids = {(row.repository_id, row.run_id) for row in rows if row.run_id}
    runs = {
        (run.repository_id, run.run_id): run
        for run in RunRecord.objects.filter(**among(run_ids, "run_id")).order_by("pk")
    }
    return {
        (row.repository_id, row.lease_id): (row, runs.get((row.repository_id, row.run_id)))
        for row in rows
    }


def running_runs_of(leases: Iterable[Lease]) -> dict[tuple[int, str], list[RunRecord]]:
    """Return the running runs of each lease's operation by `(repository, lease id)`, one statement.

    Those are the runs that end with the lease (either names the other) and those of its holder
    that name no lease; each on a branch that the lease covers. Sorted by run id.
    """
    wanted = list(leases)
    rows = RunRecord.objects.filter(
        repository_id__in={lease.repository_id for lease in wanted}, status=RunStatus.RUNNING
    ).order_by("run_id", "pk")
    found: dict[tuple[int, str], list[RunRecord]] = defaultdict(list)
    for run in rows if wanted else ():
        for lease in wanted:
            if lease.repository_id == run.repository_id and _is_of(run, lease):
                found[lease.repository_id, lease.lease_id].append(run)
    return dict(found)


def _is_of(run: RunRecord, lease: Lease) -> bool:
    if lease.branch not in ("", run.branch):
        return False
    if run.run_id == lease.run_id or run.lease_id == lease.lease_id:
        return True
    return not run.lease_id and run.actor in {lease.user_id, lease.agent_id} - {""}
