"""What the reconciler does with leases that are due: renew the living, end the rest.

Each is one UPDATE guarded by state and expiry: a holder's heartbeat, a release or another worker
that was first wins, and the reconciler looks again.

Holders lock a lease, then its runs, then the chain head of the trail. A batch that acts on several
leases must keep that order as a whole, or it can deadlock with a holder: it calls `lock_leases`
before its first act, hands in a list of `entries`, and appends them at its very end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from audit.domain.entries import RECONCILER, Entry
from audit.services import append
from governance.domain.leases import is_over
from governance.models import Lease, LeaseState
from governance.services.leases.endings import (
    abandon_runs,
    end_lease,
    lease_entry,
    running_runs_under,
)

_TASK_KIND = "lease_renewal"


class LeaseMoved(Exception):
    """The lease is no longer as the decision saw it: somebody was first. Look again."""


@dataclass(frozen=True, slots=True)
class ExpiredLease:
    """A lease that was ended, and the ids of the runs that were abandoned with it."""

    lease: Lease
    abandoned_run_ids: tuple[str, ...]


def lock_leases(lease_pks: Iterable[int]) -> None:
    """Lock leases in the order of their ids, until the caller's transaction ends; one statement."""
    rows = Lease.objects.select_for_update().filter(pk__in=set(lease_pks)).order_by("pk")
    list(rows.values_list("pk"))


@transaction.atomic
def renew_lease_by_reconciler(
    lease_pk: int,
    *,
    expected_expires_at: datetime,
    new_expires_at: datetime,
    reason: str,
    correlation_id: str,
    policy_version: str = "",
    entries: list[Entry] | None = None,
    now: datetime,
) -> Lease:
    """Move a held lease's expiry forward for a living operation; its heartbeat stays as it is.

    The audit entry goes to the end of `entries`, when given, for the caller to append.

    Raises:
        ValueError: no later than before, or later than the total-life cap.
        LeaseMoved: not held any more, or its expiry has moved.
    """
    if new_expires_at <= expected_expires_at:
        raise ValueError(f"a renewal moves forward: {expected_expires_at} -> {new_expires_at}")
    lease = _expected(lease_pk, expected_expires_at)
    if new_expires_at > lease.max_expires_at:
        raise ValueError(f"lease {lease.lease_id} may not live beyond {lease.max_expires_at}")
    moved = Lease.objects.filter(
        pk=lease_pk, state=LeaseState.HELD, expires_at=expected_expires_at
    ).update(expires_at=new_expires_at, renewals=F("renewals") + 1)
    if moved != 1:
        raise _moved(lease)
    lease.expires_at, lease.renewals = new_expires_at, lease.renewals + 1
    entry = lease_entry(
        lease,
        action="lease.renew",
        actor=RECONCILER,
        correlation_id=correlation_id,
        reason=reason,
        task_kind=_TASK_KIND,
        policy_version=policy_version,
        now=now,
    )
    _record([entry], entries)
    return lease


@transaction.atomic
def expire_lease(
    lease_pk: int,
    *,
    expected_expires_at: datetime,
    abandon_run: bool,
    reason: str,
    correlation_id: str,
    policy_version: str = "",
    entries: list[Entry] | None = None,
    now: datetime,
) -> ExpiredLease:
    """End a held lease that has run out; with `abandon_run` also the running runs under it.

    The audit entries go to the end of `entries`, when given, for the caller to append.

    Raises:
        ValueError: it has not run out: what was promised to a holder is not taken away.
        LeaseMoved: not held any more, or its expiry has moved.
    """
    if not is_over(expected_expires_at, now=now):
        raise ValueError(f"a lease that runs until {expected_expires_at} cannot expire at {now}")
    lease = _expected(lease_pk, expected_expires_at)
    if not end_lease(lease, state=LeaseState.EXPIRED, reason=reason, now=now):
        raise _moved(lease)
    entry = lease_entry(
        lease,
        action="lease.expire",
        actor=RECONCILER,
        correlation_id=correlation_id,
        reason=reason,
        task_kind=_TASK_KIND,
        policy_version=policy_version,
        now=now,
    )
    abandoned = abandon_runs(
        running_runs_under(lease) if abandon_run else [],
        lease,
        reason=reason,
        actor=RECONCILER,
        correlation_id=correlation_id,
        policy_version=policy_version,
        now=now,
    )
    _record([entry, *abandoned], entries)
    return ExpiredLease(lease, tuple(one.object_id for one in abandoned))


def _record(new: list[Entry], entries: list[Entry] | None) -> None:
    if entries is None:
        append(new)
    else:
        entries += new


def _expected(lease_pk: int, expected_expires_at: datetime) -> Lease:
    lease = Lease.objects.select_related("repository__tenant", "repository__workspace").get(
        pk=lease_pk
    )
    if lease.state != LeaseState.HELD or lease.expires_at != expected_expires_at:
        raise _moved(lease)
    return lease


def _moved(lease: Lease) -> LeaseMoved:
    return LeaseMoved(
        f"lease {lease.lease_id} was to be held until the expiry seen; it has changed since"
    )
