"""Reads a Reach lease file as it is, and says which of its invariants are broken; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from governance.domain.lease_scopes import (
    REPO_WIDE,
    InvalidLease,
    LeaseClaim,
    lease_claim,
    overlaps,
)
from governance.domain.leases import Owner, lease_id
from reconciler_site.base.times import InvalidMoment, moment_of

MAX_NAME = 200
SCHEMA_VERSIONS = frozenset({"", "1.0"})


class NotALeaseFile(ValueError):
    """The document has no list of leases, or a schema version that we do not know."""


@dataclass(frozen=True, slots=True)
class ReachLease:
    """One lease of the file that makes sense by itself. Times are UTC, the TTL in seconds."""

    lease_id: str
    repo_id: str
    claim: LeaseClaim
    owner: Owner
    acquired_at: datetime
    expires_at: datetime
    ttl_seconds: int


@dataclass(frozen=True, slots=True)
class BrokenInvariant:
    """Something that cannot be true together. `stops`: the leases named are not stored."""

    code: str
    lease_ids: tuple[str, ...]
    detail: str
    stops: bool = True


@dataclass(frozen=True, slots=True)
class ReachLeases:
    """What the file says: leases in the order of their acquisition, and what is wrong."""

    leases: tuple[ReachLease, ...]
    broken: tuple[BrokenInvariant, ...]

    def storable(self) -> tuple[ReachLease, ...]:
        """Return the leases that nothing speaks against."""
        stopped = {name for one in self.broken if one.stops for name in one.lease_ids}
        return tuple(one for one in self.leases if one.lease_id not in stopped)


def read_reach_leases(document: Any, *, repo_id: str = "") -> ReachLeases:
    """Return the leases of one repository of the file, and its broken invariants, sorted.

    `repo_id` picks the repository by the file's own name for it; empty takes the only one.
    Two leases were live at once when they overlap in place and in time: which of the two holders
    was right cannot be told from the file, so neither may be stored.

    Raises:
        NotALeaseFile: no list of leases, an unknown schema version, or several repositories and no
            `repo_id`.
    """
    rows = [row for row in _rows(document) if not repo_id or _text(row, "repo_id") == repo_id]
    names = sorted({_text(row, "repo_id") for row in rows})
    if len(names) > 1:
        raise NotALeaseFile(f"the file speaks of {', '.join(names)}: say which one is meant")
    leases: list[ReachLease] = []
    broken: list[BrokenInvariant] = []
    for index, row in enumerate(rows):
        shown = _text(row, "lease_id") or f"#{index + 1}"
        try:
            leases.append(_lease(row))
        except InvalidLease as error:
            broken.append(BrokenInvariant(f"bad_{error.field}", (shown,), str(error)))
    broken += _repeated(leases)
    broken += _outlived(leases)
    broken += live_at_once(leases)
    leases.sort(key=lambda one: (one.acquired_at, one.lease_id))
    broken.sort(key=lambda one: (one.code, one.lease_ids, one.detail))
    return ReachLeases(tuple(leases), tuple(broken))


def live_at_once(leases: Sequence[ReachLease]) -> list[BrokenInvariant]:
    """Return every pair that covered some same place at some same time."""
    broken = []
    running: list[ReachLease] = []
    for one in sorted(leases, key=lambda lease: (lease.acquired_at, lease.lease_id)):
        running = [other for other in running if other.expires_at > one.acquired_at]
        broken += [_both_held(other, one) for other in running if overlaps(other.claim, one.claim)]
        running.append(one)
    return broken


def _both_held(a: ReachLease, b: ReachLease) -> BrokenInvariant:
    until = min(a.expires_at, b.expires_at)
    return BrokenInvariant(
        "two_live_leases",
        tuple(sorted((a.lease_id, b.lease_id))),
        f"{a.owner} and {b.owner} both held {a.claim.branch or 'the whole repository'}"
        f" from {b.acquired_at.isoformat()} to {until.isoformat()}",
    )


def _repeated(leases: Iterable[ReachLease]) -> list[BrokenInvariant]:
    seen: set[str] = set()
    repeated: set[str] = set()
    for one in leases:
        (repeated if one.lease_id in seen else seen).add(one.lease_id)
    return [
        BrokenInvariant("lease_id_twice", (name,), "one id names several leases")
        for name in sorted(repeated)
    ]


def _outlived(leases: Iterable[ReachLease]) -> list[BrokenInvariant]:
    """Return leases whose expiry is not their TTL after their acquisition: odd, but storable."""
    return [
        BrokenInvariant(
            "ttl_mismatch",
            (one.lease_id,),
            f"lives {int((one.expires_at - one.acquired_at).total_seconds())} s,"
            f" though its TTL is {one.ttl_seconds} s",
            stops=False,
        )
        for one in leases
        if one.expires_at - one.acquired_at != timedelta(seconds=one.ttl_seconds)
    ]


def _rows(document: Any) -> list[Mapping[str, Any]]:
    rows = document.get("leases") if isinstance(document, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise NotALeaseFile('a lease file is an object with a list under "leases"')
    version = document.get("schema_version", "")
    if version not in SCHEMA_VERSIONS:
        raise NotALeaseFile(f"schema version {version!r} is not known; we read 1.0")
    return rows


def _lease(row: Mapping[str, Any]) -> ReachLease:
    owner = row.get("owner")
    if not isinstance(owner, Mapping) or not _text(owner, "user_id"):
        raise InvalidLease("owner", "a lease has an owner with a user_id")
    paths = row.get("paths", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidLease("paths", "paths are a list of texts")
    acquired_at, expires_at = _moment(row, "acquired_at"), _moment(row, "expires_at")
    if expires_at <= acquired_at:
        raise InvalidLease("expires_at", "it expires before it was acquired")
    ttl = row.get("ttl_seconds")
    if not isinstance(ttl, int) or isinstance(ttl, bool) or ttl <= 0:
        raise InvalidLease("ttl_seconds", "a TTL is a whole number of seconds")
    scope = _text(row, "scope")
    return ReachLease(
        lease_id=lease_id(_text(row, "lease_id")),
        repo_id=_text(row, "repo_id"),
        # Reach writes a branch into every lease; one on the whole repository covers them all.
        claim=lease_claim(
            scope=scope, branch="" if scope == REPO_WIDE else _text(row, "branch"), paths=paths
        ),
        owner=Owner(*(_name(owner, part) for part in ("user_id", "device_id", "agent_id"))),
        acquired_at=acquired_at,
        expires_at=expires_at,
        ttl_seconds=ttl,
    )


def _moment(row: Mapping[str, Any], field: str) -> datetime:
    try:
        return moment_of(_text(row, field), needs_offset=True)
    except InvalidMoment as error:
        raise InvalidLease(field, f"{field}: {error}") from error


def _name(owner: Mapping[str, Any], part: str) -> str:
    name = _text(owner, part)
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidLease("owner", f"{part} has at most {MAX_NAME} printable characters")
    return name


def _text(row: Mapping[str, Any], field: str) -> str:
    value = row.get(field, "")
    return value if isinstance(value, str) else ""
