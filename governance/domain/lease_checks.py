"""Decides whether a push or a job may go ahead under a lease, and why not; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from governance.domain.lease_scopes import PATH_PREFIX, LeaseClaim, overlaps, paths_outside
from governance.domain.leases import Owner, is_over
from governance.domain.refs import is_null_sha

HELD = "held"


class Reason(StrEnum):
    """Why a check was answered as it was; stable words for programs."""

    ALLOWED = "allowed"
    NO_LEASE = "no_lease"
    OTHER_HOLDER = "other_holder"
    STALE_FENCING_TOKEN = "stale_fencing_token"  # noqa: S105 - a reason, not a secret
    EXPIRED = "expired"
    ENDED = "ended"
    PATHS_UNKNOWN = "paths_unknown"
    PATH_OUTSIDE = "path_outside"
    SHA_MISMATCH = "sha_mismatch"


@dataclass(frozen=True, slots=True)
class CheckedLease:
    """A lease over the branch, as far as a check needs it. `token_matches`: None if none given."""

    lease_id: str
    state: str
    owner: Owner
    claim: LeaseClaim
    fencing_token: int
    expires_at: datetime
    token_matches: bool | None = None


@dataclass(frozen=True, slots=True)
class KnownHeads:
    """The head we last saw on a branch (empty: gone), and heads we know it to have left behind."""

    observed: str
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseCheck:
    """A question: may the holder of `fencing_token` write `branch` now?

    `sha` is the head that the caller believes the remote branch has, null or empty for none;
    `paths` are those that the push changes. None of either means that the caller cannot say.
    `heads` is None when we never saw the branch.
    """

    branch: str
    fencing_token: int | None
    sha: str | None
    paths: tuple[str, ...] | None
    heads: KnownHeads | None
    leases: tuple[CheckedLease, ...]


@dataclass(frozen=True, slots=True)
class CheckDecision:
    """The answer. `lease` is the one it rests on: the caller's own, or the one in the way."""

    reason: Reason
    detail: str
    lease: CheckedLease | None = None

    @property
    def allowed(self) -> bool:
        """Return whether the caller may go ahead."""
        return self.reason is Reason.ALLOWED


def check(question: LeaseCheck, *, now: datetime) -> CheckDecision:
    """Return whether to go ahead, or the first reason not to.

    A lease runs out at its `expires_at`, whether or not anybody has written so already. Other
    leases on other branches raise the repository's fencing token without fencing this holder off.
    """
    own = _own(question)
    if own is None:
        return _without_own_lease(question, now=now)
    if own.token_matches is False:
        detail = f"Lease {own.lease_id} is held by {own.owner}, and not with this holder token."
        return CheckDecision(Reason.OTHER_HOLDER, detail, own)
    if own.state != HELD:
        return _fenced_off(own, question, now=now)
    if is_over(own.expires_at, now=now):
        detail = f"Lease {own.lease_id} ran out: acquire a new one, then push with its token."
        return CheckDecision(Reason.EXPIRED, detail, own)
    return _within_own_lease(own, question)


def _own(question: LeaseCheck) -> CheckedLease | None:
    # Every grant of a repository has a fencing token of its own, so the token names the lease.
    same = [one for one in question.leases if one.fencing_token == question.fencing_token]
    return same[0] if same else None


def _live(leases: Sequence[CheckedLease], *, now: datetime) -> list[CheckedLease]:
    return sorted(
        (one for one in leases if one.state == HELD and not is_over(one.expires_at, now=now)),
        key=lambda one: -one.fencing_token,
    )


def _fenced_off(own: CheckedLease, question: LeaseCheck, *, now: datetime) -> CheckDecision:
    newer = [
        one
        for one in _live(question.leases, now=now)
        if one.fencing_token > own.fencing_token and overlaps(one.claim, own.claim)
    ]
    if newer:
        return _outdated(own.fencing_token, newer[0])
    detail = f"Lease {own.lease_id} is {own.state}: acquire a new one, then push with its token."
    reason = Reason.EXPIRED if own.state == "expired" else Reason.ENDED
    return CheckDecision(reason, detail, own)


def _outdated(token: int, newer: CheckedLease) -> CheckDecision:
    detail = (
        f"Fencing token {token} is older than {newer.fencing_token} of lease {newer.lease_id},"
        f" which {newer.owner} holds now."
    )
    return CheckDecision(Reason.STALE_FENCING_TOKEN, detail, newer)


def _without_own_lease(question: LeaseCheck, *, now: datetime) -> CheckDecision:
    live = _live(question.leases, now=now)
    if not live:
        detail = f"Nobody holds a lease on {question.branch}: acquire one before you push."
        return CheckDecision(Reason.NO_LEASE, detail)
    token, newest = question.fencing_token, live[0]
    if token is not None and token < newest.fencing_token:
        return _outdated(token, newest)
    detail = f"{newest.owner} holds lease {newest.lease_id} on {question.branch}."
    return CheckDecision(Reason.OTHER_HOLDER, detail, newest)


def _within_own_lease(own: CheckedLease, question: LeaseCheck) -> CheckDecision:
    if own.claim.scope == PATH_PREFIX and question.paths is None:
        detail = f"Lease {own.lease_id} covers paths only: say which paths the push changes."
        return CheckDecision(Reason.PATHS_UNKNOWN, detail, own)
    outside = paths_outside(own.claim, question.paths or ())
    if outside:
        more = f" and {len(outside) - 3} more" if len(outside) > 3 else ""
        detail = f"Lease {own.lease_id} does not cover {', '.join(outside[:3])}{more}."
        return CheckDecision(Reason.PATH_OUTSIDE, detail, own)
    moved_to = _moved_to(question)
    if moved_to is not None:
        detail = (
            f"{question.branch} has moved on from {question.sha or 'nothing'} to"
            f" {moved_to or 'nothing'}: fetch, look at what came in, then push again."
        )
        return CheckDecision(Reason.SHA_MISMATCH, detail, own)
    return CheckDecision(Reason.ALLOWED, f"Lease {own.lease_id} covers this.", own)


def _moved_to(question: LeaseCheck) -> str | None:
    """Return where the branch went from the head that the caller believes in; None if nowhere.

    A head that we do not know is no proof: whoever pushed a moment ago has seen more than we have,
    since our own observation comes with a webhook or a sweep. Only one known to be left behind is.
    """
    if question.sha is None or question.heads is None:
        return None
    believed = "" if is_null_sha(question.sha) else question.sha
    return question.heads.observed if believed in question.heads.outdated else None
