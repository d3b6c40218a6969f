"""Stores the leases of a Reach file that nothing speaks against; reports the rest, changes none."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from audit.domain.entries import Actor
from audit.services import append
from governance.domain.lease_scopes import overlaps
from governance.domain.leases import is_over, life_cap
from governance.domain.policy import LeaseRules
from governance.domain.reach_leases import (
    BrokenInvariant,
    ReachLease,
    read_reach_leases,
)
from governance.models import Lease, LeaseState, Repository
from governance.services.leases.endings import claim_of, lease_entry

# Nothing has this SHA-256: an imported lease has no holder token, so only an admin may end it.
NO_HOLDER = ""


@dataclass(frozen=True, slots=True)
class LeaseImport:
    """What an import did, or would do: ids by outcome, and the broken invariants."""

    stored: tuple[str, ...]
    known: tuple[str, ...]
    refused: tuple[str, ...]
    broken: tuple[BrokenInvariant, ...]
    dry_run: bool


class _OnlyLooking(Exception):
    """Ends a dry run's transaction."""


def import_reach_leases(
    repository: Repository,
    document: Any,
    *,
    repo_id: str = "",
    dry_run: bool = False,
    rules: LeaseRules,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> LeaseImport:
    """Store the leases of a Reach file in one repository, each once, in order of acquisition.

    A lease that has run out by `now` is stored as expired, for the history of the branch; one that
    still runs is held, without a holder token: it ends by itself or by an admin. Leases that
    contradict one another, or a lease that is held here, are reported and not stored. A dry run
    does everything and takes it back.

    Raises:
        NotALeaseFile: the document is none; see `read_reach_leases`.
    """
    read = read_reach_leases(document, repo_id=repo_id)
    outcome: list[LeaseImport] = []
    try:
        with transaction.atomic():
            last_token = (
                Repository.objects.select_for_update(no_key=True)
                .values_list("last_fencing_token", flat=True)
                .get(pk=repository.pk)
            )
            known = _known_ids(repository, read.leases)
            fresh = [one for one in read.storable() if one.lease_id not in known]
            broken = read.broken + tuple(_against_held(repository, fresh, now=now))
            storable = replace(read, leases=tuple(fresh), broken=broken).storable()
            rows = [
                _row(one, repository, token=last_token + place, rules=rules, now=now)
                for place, one in enumerate(storable, start=1)
            ]
            for row in rows:
                row.correlation_id = correlation_id
            Lease.objects.bulk_create(rows)
            Repository.objects.filter(pk=repository.pk).update(
                last_fencing_token=F("last_fencing_token") + len(rows)
            )
            append(
                [
                    lease_entry(
                        row,
                        action="lease.import",
                        actor=actor,
                        correlation_id=correlation_id,
                        reason="from a Reach lease file",
                        now=now,
                    )
                    for row in rows
                ]
            )
            stored = tuple(row.lease_id for row in rows)
            refused = {name for one in broken if one.stops for name in one.lease_ids} - known
            outcome.append(
                LeaseImport(stored, tuple(sorted(known)), tuple(sorted(refused)), broken, dry_run)
            )
            if dry_run:
                raise _OnlyLooking
    except _OnlyLooking:
        pass
    return outcome[0]


def _known_ids(repository: Repository, leases: Sequence[ReachLease]) -> set[str]:
    names = [one.lease_id for one in leases]
    return set(
        Lease.objects.filter(repository=repository, lease_id__in=names).values_list(
            "lease_id", flat=True
        )
    )


def _against_held(
    repository: Repository, leases: Sequence[ReachLease], *, now: datetime
) -> list[BrokenInvariant]:
    """Return the leases of the file that still run against one that is held here."""
    held = list(
        Lease.objects.filter(repository=repository, state=LeaseState.HELD).order_by("lease_id")
    )
    return [
        BrokenInvariant(
            "held_here",
            (one.lease_id,),
            f"lease {other.lease_id} is held here on {other.branch or 'the repository'}",
        )
        for one in leases
        for other in held
        if not is_over(one.expires_at, now=now) and overlaps(one.claim, claim_of(other))
    ]


def _row(
    lease: ReachLease, repository: Repository, *, token: int, rules: LeaseRules, now: datetime
) -> Lease:
    over = is_over(lease.expires_at, now=now)
    return Lease(
        repository=repository,
        lease_id=lease.lease_id,
        scope=lease.claim.scope,
        branch=lease.claim.branch,
        paths=list(lease.claim.paths),
        user_id=lease.owner.user_id,
        device_id=lease.owner.device_id,
        agent_id=lease.owner.agent_id,
        fencing_token=token,
        token_digest=NO_HOLDER,
        ttl_seconds=lease.ttl_seconds,
        acquired_at=lease.acquired_at,
        expires_at=lease.expires_at,
        max_expires_at=max(lease.expires_at, life_cap(rules, acquired_at=lease.acquired_at)),
        last_heartbeat_at=lease.acquired_at,
        state=LeaseState.EXPIRED if over else LeaseState.HELD,
        ended_at=lease.expires_at if over else None,
        end_reason="had run out when it was imported" if over else "",
    )
