"""Answers gates: may this holder write this branch now? Refusals are decisions, so recorded."""

import hmac
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append_one
from governance.domain.lease_checks import (
    CheckDecision,
    CheckedLease,
    KnownHeads,
    LeaseCheck,
    check,
)
from governance.domain.lease_scopes import BRANCH_LEVEL, LeaseClaim, overlaps
from governance.domain.push_commands import safe_push_command
from governance.models import Branch, Lease, LeaseState, Repository
from governance.services.leases.endings import OBJECT_KIND, claim_of, owner_of
from governance.services.leases.holding import token_digest


@transaction.atomic
def check_lease(
    repository: Repository,
    *,
    branch: str,
    fencing_token: int | None,
    token: str = "",
    sha: str | None = None,
    paths: Sequence[str] | None = None,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> CheckDecision:
    """Return whether the holder of `fencing_token` may write `branch` now, and if not, why.

    `sha` is the head that the caller believes the remote branch has (zeros or empty: none), and
    `paths` what the push changes; None when the caller cannot say. `token`, the holder's secret,
    is compared when given. Only refusals leave an audit entry.
    """
    question = LeaseCheck(
        branch=branch,
        fencing_token=fencing_token,
        sha=sha,
        paths=None if paths is None else tuple(paths),
        heads=_heads(repository, branch),
        leases=_leases_asked_about(repository, branch, fencing_token=fencing_token, token=token),
    )
    decision = check(question, now=now)
    if not decision.allowed:
        append_one(
            _refusal(
                repository,
                question,
                decision,
                caller=caller,
                correlation_id=correlation_id,
                now=now,
            )
        )
    return decision


def safe_push_for(repository: Repository, branch: str) -> str:
    """Return the command that pushes HEAD to `branch` without overwriting what nobody looked at."""
    heads = _heads(repository, branch)
    if heads is not None:
        return safe_push_command(branch, remote_sha=heads.observed)
    # All heads were read and this was not among them: then the push must find no such branch.
    never_seen = None if repository.observed_at is None else ""
    return safe_push_command(branch, remote_sha=never_seen)


def _heads(repository: Repository, branch: str) -> KnownHeads | None:
    row = (
        Branch.objects.filter(repository=repository, name=branch)
        .values_list("observed_head", "previous_head", "governed_head", "gone_at")
        .first()
    )
    if row is None:
        return None
    observed, previous, governed, gone_at = row
    if observed is None and gone_at is None:
        return None
    # No governed head means no snapshot, not "the branch did not exist".
    older = {previous or ""} | ({governed} if governed else set())
    return KnownHeads(observed or "", tuple(sorted(older - {observed or ""})))


def _leases_asked_about(
    repository: Repository, branch: str, *, fencing_token: int | None, token: str
) -> tuple[CheckedLease, ...]:
    """Return the held leases over the branch, and the one that the fencing token names."""
    whole = LeaseClaim(BRANCH_LEVEL, branch)
    rows = Lease.objects.filter(
        Q(state=LeaseState.HELD) | Q(fencing_token=fencing_token),
        repository=repository,
        branch__in=("", branch),
    ).order_by("pk")
    digest = token_digest(token) if token else ""
    return tuple(
        CheckedLease(
            lease_id=row.lease_id,
            state=row.state,
            owner=owner_of(row),
            claim=claim_of(row),
            fencing_token=row.fencing_token,
            expires_at=row.expires_at,
            token_matches=hmac.compare_digest(row.token_digest, digest) if token else None,
        )
        for row in rows
        if overlaps(claim_of(row), whole)
    )


def _refusal(
    repository: Repository,
    question: LeaseCheck,
    decision: CheckDecision,
    *,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> Entry:
    return Entry(
        tenant=repository.tenant.slug,
        workspace=repository.workspace.slug,
        repo=repository.slug,
        branch=question.branch,
        at=now,
        actor=caller.actor,
        action="lease.check",
        object_kind=OBJECT_KIND,
        object_id=decision.lease.lease_id if decision.lease else "",
        correlation_id=correlation_id,
        outcome=f"refused:{decision.reason}",
        reason=decision.detail[:500],
        data={
            "fencing_token": question.fencing_token,
            "sha": question.sha,
            "observed_sha": question.heads.observed if question.heads else None,
            "paths": len(question.paths or ()),
        },
    )
