"""What a holder does with a lease (heartbeat, release), and how an admin breaks one."""

import hashlib
import hmac
from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from audit.services import append, append_one
from governance.domain.leases import MIN_BREAK_REASON, is_expiring, is_over, renewed_expiry
from governance.domain.policy import LeaseRules
from governance.models import Lease, LeaseState, Repository, Scope
from governance.services.leases.endings import (
    abandon_runs,
    end_lease,
    lease_entry,
    running_runs_under,
)


class LeaseNotFound(Exception):
    """The repository has no lease of this id."""


class NotTheHolder(Exception):
    """The holder token is not that of the lease; only its holder, or an admin, may do this."""


class MayNotBreak(Exception):
    """Only admins break leases."""


class ReasonTooShort(ValueError):
    """Breaking a lease needs a reason of at least 10 characters: its holder will read it."""


class LeaseEnded(Exception):
    """The lease has run out, or was released, expired or broken: acquire a new one."""

    def __init__(self, lease: Lease) -> None:
        self.lease_id = lease.lease_id
        self.state = "expired" if lease.state == LeaseState.HELD else str(lease.state)
        when = lease.ended_at or lease.expires_at
        why = f" ({lease.end_reason})" if lease.end_reason else ""
        super().__init__(
            f"Lease {lease.lease_id} is {self.state} since {when:%Y-%m-%d %H:%M:%S} UTC{why}:"
            " acquire a new one."
        )


@transaction.atomic
def heartbeat_lease(
    repository: Repository,
    lease_id: str,
    *,
    token: str,
    rules: LeaseRules,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> Lease:
    """Prove that the holder lives, and extend the lease to a full TTL, up to its life cap.

    This is the holder's renewal: there is no other. The fencing token stays. Routine heartbeats
    leave no audit entry; one that came when renewal was due (1/n of the TTL left) is a renewal,
    and is counted and recorded as such. A lease that has run out cannot be revived, even before
    the reconciler has ended it: somebody else may be about to get its place.

    Raises:
        LeaseNotFound: no such lease in the repository.
        NotTheHolder: the token is not the holder's.
        LeaseEnded: too late.
    """
    lease = _locked(repository, lease_id)
    if not is_holder(lease, token):
        raise NotTheHolder(f"This is not the holder token of lease {lease_id}.")
    if lease.state != LeaseState.HELD or is_over(lease.expires_at, now=now):
        raise LeaseEnded(lease)
    was_due = is_expiring(
        lease.expires_at,
        ttl_seconds=lease.ttl_seconds,
        renew_at_ttl_fraction=rules.renew_at_ttl_fraction,
        now=now,
    )
    until = renewed_expiry(
        now=now, ttl_seconds=lease.ttl_seconds, max_expires_at=lease.max_expires_at
    )
    renewed = was_due and until > lease.expires_at
    # Two heartbeats may arrive in the wrong order: neither the proof nor the expiry moves back.
    lease.expires_at = max(until, lease.expires_at)
    lease.last_heartbeat_at = max(now, lease.last_heartbeat_at)
    lease.renewals += int(renewed)
    lease.save(update_fields=["expires_at", "last_heartbeat_at", "renewals"])
    if renewed:
        append_one(
            lease_entry(
                lease,
                action="lease.renew",
                actor=caller.actor,
                correlation_id=correlation_id,
                reason="heartbeat",
                now=now,
            )
        )
    return lease


@transaction.atomic
def release_lease(
    repository: Repository,
    lease_id: str,
    *,
    token: str,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> Lease:
    """Give a lease back: its holder is done, so the next one need not wait for a lock-delay.

    Also after it has run out, as long as nobody has ended it. An admin may leave the token empty,
    to release for a holder who is done but lost it; while the holder may still be pushing, break
    the lease instead. Releasing what is released already changes nothing.

    Raises:
        LeaseNotFound: no such lease in the repository.
        NotTheHolder: a wrong token, also from an admin; or none, from anybody else.
        LeaseEnded: it expired or was broken.
    """
    lease = _locked(repository, lease_id)
    by_admin = not token and caller.has_scope(Scope.ADMIN)
    if not by_admin and not is_holder(lease, token):
        raise NotTheHolder(f"This is not the holder token of lease {lease_id}.")
    if lease.state == LeaseState.RELEASED:
        return lease
    reason = "released by an admin" if by_admin else "released by its holder"
    if not end_lease(lease, state=LeaseState.RELEASED, reason=reason, now=now):
        raise LeaseEnded(lease)
    append_one(
        lease_entry(
            lease,
            action="lease.release",
            actor=caller.actor,
            correlation_id=correlation_id,
            reason=reason,
            now=now,
        )
    )
    return lease


@transaction.atomic
def break_lease(
    repository: Repository,
    lease_id: str,
    *,
    reason: str,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> Lease:
    """End a lease against its holder's will, and abandon the runs under it.

    Nobody gets the place for a lock-delay, since the holder may be in the middle of a push. Its
    next heartbeat tells the holder who broke the lease and why.

    Raises:
        MayNotBreak: the caller is no admin.
        ReasonTooShort: fewer than 10 characters.
        LeaseNotFound: no such lease in the repository.
        LeaseEnded: it has ended already.
    """
    if not caller.has_scope(Scope.ADMIN):
        raise MayNotBreak("Breaking a lease needs the admin scope.")
    said = reason.strip()
    if len(said) < MIN_BREAK_REASON:
        raise ReasonTooShort(f"Give a reason of at least {MIN_BREAK_REASON} characters.")
    lease = _locked(repository, lease_id)
    told = f"broken by {caller.actor.name}: {said}"[:500]
    if not end_lease(lease, state=LeaseState.BROKEN, reason=told, now=now):
        raise LeaseEnded(lease)
    entry = lease_entry(
        lease,
        action="lease.break",
        actor=caller.actor,
        correlation_id=correlation_id,
        reason=said,
        now=now,
    )
    abandoned = abandon_runs(
        running_runs_under(lease),
        lease,
        reason=told,
        actor=caller.actor,
        correlation_id=correlation_id,
        now=now,
    )
    append([entry, *abandoned])
    return lease


def token_digest(token: str) -> str:
    """Return what we keep of a holder's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_holder(lease: Lease, token: str) -> bool:
    """Return whether this is the holder's token. Imported leases have none, so nobody's is."""
    return hmac.compare_digest(lease.token_digest, token_digest(token))


def _locked(repository: Repository, lease_id: str) -> Lease:
    row = (
        Lease.objects.select_for_update(of=("self",))
        .select_related("repository__tenant", "repository__workspace")
        .filter(repository=repository, lease_id=lease_id)
        .first()
    )
    if row is None:
        raise LeaseNotFound(f"There is no lease {lease_id} in {repository.slug}.")
    return row
