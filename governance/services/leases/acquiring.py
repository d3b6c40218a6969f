"""Grants leases: exclusively, with a higher fencing token each time, never twice for one request.

Every transaction here locks in this order: repository, leases, runs, chain head of the trail.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import F, Q

from audit.domain.caller import Caller
from audit.domain.entries import RECONCILER, Entry
from audit.services import append
from governance.domain.lease_scopes import REPO_WIDE, LeaseClaim, overlaps
from governance.domain.leases import (
    Owner,
    holder_token,
    is_over,
    life_cap,
    lock_delay_left,
    proof_of_life,
    renewed_expiry,
    ttl_within,
)
from governance.domain.leases import lease_id as well_formed_id
from governance.domain.policy import LeaseRules
from governance.models import Lease, LeaseState, Repository
from governance.services.leases.endings import (
    abandon_runs,
    claim_of,
    end_lease,
    lease_entry,
    owner_of,
    running_runs_under,
)
from governance.services.leases.holding import LeaseEnded, token_digest


class LeaseAlreadyHeld(Exception):
    """A live lease covers some of what was asked for; wait, or ask its holder."""

    def __init__(self, lease: Lease, *, now: datetime) -> None:
        self.lease_id = lease.lease_id
        self.owner = owner_of(lease)
        self.held_until = lease.expires_at
        left = max(timedelta(0), lease.expires_at - now)
        self.retry_after_seconds = -(-left // timedelta(seconds=1))
        what = "the whole repository" if lease.scope == REPO_WIDE else lease.branch
        super().__init__(
            f"{self.owner} holds lease {lease.lease_id} ({lease.scope}) on {what} until"
            f" {lease.expires_at:%Y-%m-%d %H:%M:%S} UTC."
        )


class LockDelayed(Exception):
    """A lease here ended a moment ago, and its holder may still be pushing; try again shortly."""

    def __init__(self, lease: Lease, *, retry_after_seconds: int) -> None:
        self.lease_id = lease.lease_id
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            f"Lease {lease.lease_id} of {owner_of(lease)} has only just ended: this place is"
            f" free in {retry_after_seconds} s."
        )


class LeaseIdTaken(Exception):
    """The lease id was used for something else; choose a new one for every new request."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease, and whether this very call granted it (False: a repetition of an earlier one)."""

    lease: Lease
    is_new: bool


@transaction.atomic
def acquire_lease(
    repository: Repository,
    *,
    claim: LeaseClaim,
    owner: Owner,
    lease_id: str,
    token: str,
    ttl_seconds: int | None,
    run_id: str = "",
    rules: LeaseRules,
    caller: Caller,
    correlation_id: str,
    policy_version: str = "",
    now: datetime,
) -> Grant:
    """Grant a lease, or say who is in the way.

    `token` is the holder's secret; we keep its SHA-256 only. Whoever repeats a request with the
    same `lease_id` and `token` gets the same lease: a client that makes both itself can safely
    repeat a request whose answer was lost. A lease that has run out does not stand in the way,
    even when the reconciler has yet to end it: it is ended here. For `lock_delay_seconds` after an
    expiry only the same owner gets the place again, and after a break nobody.

    Raises:
        InvalidLease: a malformed id or token, or a TTL outside of the policy.
        LeaseAlreadyHeld: with the holder, and until when.
        LockDelayed: with the seconds to wait.
        LeaseIdTaken: the id names another request's lease.
        LeaseEnded: the same request was granted earlier, and that lease has ended.
    """
    well_formed_id(lease_id)
    digest = token_digest(holder_token(token))
    ttl = ttl_within(rules, ttl_seconds)
    last_token = _lock(repository)
    earlier = _repetition(repository, lease_id, digest=digest, claim=claim, owner=owner, now=now)
    if earlier is not None:
        return Grant(lease=earlier, is_new=False)
    entries = _clear_the_place(
        repository, claim, owner=owner, rules=rules, correlation_id=correlation_id, now=now
    )
    Repository.objects.filter(pk=repository.pk).update(
        last_fencing_token=F("last_fencing_token") + 1
    )
    cap = life_cap(rules, acquired_at=now)
    lease = Lease(
        repository=repository,
        lease_id=lease_id,
        scope=claim.scope,
        branch=claim.branch,
        paths=list(claim.paths),
        user_id=owner.user_id,
        device_id=owner.device_id,
        agent_id=owner.agent_id,
        run_id=run_id,
        fencing_token=last_token + 1,
        token_digest=digest,
        ttl_seconds=ttl,
        acquired_at=now,
        expires_at=renewed_expiry(now=now, ttl_seconds=ttl, max_expires_at=cap),
        max_expires_at=cap,
        last_heartbeat_at=now,
        correlation_id=correlation_id,
    )
    _insert(lease, now=now)
    granted = lease_entry(
        lease,
        action="lease.acquire",
        actor=caller.actor,
        correlation_id=correlation_id,
        policy_version=policy_version,
        now=now,
    )
    append([*entries, granted])
    return Grant(lease=lease, is_new=True)


def _lock(repository: Repository) -> int:
    # `no_key`: rows that point to the repository may still be inserted meanwhile.
    return (
        Repository.objects.select_for_update(no_key=True)
        .values_list("last_fencing_token", flat=True)
        .get(pk=repository.pk)
    )


def _repetition(
    repository: Repository,
    lease_id: str,
    *,
    digest: str,
    claim: LeaseClaim,
    owner: Owner,
    now: datetime,
) -> Lease | None:
    known = (
        Lease.objects.select_related("repository__tenant", "repository__workspace")
        .filter(repository=repository, lease_id=lease_id)
        .first()
    )
    if known is None:
        return None
    if not hmac.compare_digest(known.token_digest, digest):
        raise LeaseIdTaken(
            f"Lease id {lease_id} is taken. To repeat a request safely, send its lease_id"
            " together with a holder_token of your own."
        )
    if (claim_of(known), owner_of(known)) != (claim, owner):
        raise LeaseIdTaken(f"Lease id {lease_id} was granted for something else: choose a new one.")
    if not _is_live(known, now=now):
        raise LeaseEnded(known)
    return known


def _clear_the_place(
    repository: Repository,
    claim: LeaseClaim,
    *,
    owner: Owner,
    rules: LeaseRules,
    correlation_id: str,
    now: datetime,
) -> list[Entry]:
    """End what has run out; return the entries. Raise for what is live, or over too recently."""
    run_out = []
    for lease in _in_the_way(repository, claim, rules=rules, now=now):
        if _is_live(lease, now=now):
            raise LeaseAlreadyHeld(lease, now=now)
        left = _delay(lease, owner=owner, rules=rules, now=now)
        if left:
            raise LockDelayed(lease, retry_after_seconds=left)
        if lease.state == LeaseState.HELD:
            run_out.append(lease)
    entries: list[Entry] = []
    for lease in run_out:
        entries += _expire(lease, rules=rules, correlation_id=correlation_id, now=now)
    return entries


def _in_the_way(
    repository: Repository, claim: LeaseClaim, *, rules: LeaseRules, now: datetime
) -> Sequence[Lease]:
    recently = now - timedelta(seconds=rules.lock_delay_seconds)
    rows = Lease.objects.filter(
        Q(state=LeaseState.HELD)
        | Q(state__in=(LeaseState.EXPIRED, LeaseState.BROKEN), ended_at__gt=recently),
        repository=repository,
    )
    if claim.scope != REPO_WIDE:
        rows = rows.filter(branch__in=("", claim.branch))
    # Locked, so that no heartbeat changes them now; live ones first, since they say the most.
    found = (
        rows.select_for_update(of=("self",))
        .select_related("repository__tenant", "repository__workspace")
        .order_by("pk")
    )
    colliding = [lease for lease in found if overlaps(claim_of(lease), claim)]
    return sorted(colliding, key=lambda one: (not _is_live(one, now=now), one.pk))


def _is_live(lease: Lease, *, now: datetime) -> bool:
    return lease.state == LeaseState.HELD and not is_over(lease.expires_at, now=now)


def _delay(lease: Lease, *, owner: Owner, rules: LeaseRules, now: datetime) -> int:
    # A lease counts as over since it ran out, however late somebody wrote it down.
    broken = lease.state == LeaseState.BROKEN
    if not broken and owner_of(lease) == owner:
        return 0
    since = lease.ended_at if broken and lease.ended_at else lease.expires_at
    return lock_delay_left(since, lock_delay_seconds=rules.lock_delay_seconds, now=now)


def _expire(lease: Lease, *, rules: LeaseRules, correlation_id: str, now: datetime) -> list[Entry]:
    reason = "ran out, and its place was asked for"
    if not end_lease(lease, state=LeaseState.EXPIRED, reason=reason, now=now):
        raise LeaseAlreadyHeld(lease, now=now)
    runs = [
        run
        for run in running_runs_under(lease)
        if not proof_of_life(
            lease.last_heartbeat_at,
            run_heartbeats=[run.last_heartbeat_at],
            now=now,
            heartbeat_seconds=rules.heartbeat_seconds,
        )
    ]
    ended = lease_entry(
        lease,
        action="lease.expire",
        actor=RECONCILER,
        correlation_id=correlation_id,
        reason=reason,
        now=now,
    )
    abandoned = abandon_runs(
        runs, lease, reason=reason, actor=RECONCILER, correlation_id=correlation_id, now=now
    )
    return [ended, *abandoned]


def _insert(lease: Lease, *, now: datetime) -> None:
    """Store a lease; the database has the last word on who was first."""
    try:
        with transaction.atomic():
            lease.save(force_insert=True)
    except IntegrityError:
        rival = _rival_of(lease)
        if rival is None:
            raise
        raise LeaseAlreadyHeld(rival, now=now) from None


def _rival_of(lease: Lease) -> Lease | None:
    rivals = Lease.objects.filter(repository_id=lease.repository_id, state=LeaseState.HELD)
    return next(
        (one for one in rivals.order_by("pk") if overlaps(claim_of(one), claim_of(lease))), None
    )
