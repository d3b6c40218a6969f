"""The hash chain over entries: each hash covers the one before it; pure."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from audit.domain.canonical import canonical_json, utc_text
from audit.domain.entries import Entry

GENESIS = "0" * 64
CHAIN_FORMAT = "v1"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one tenant's chain: the last sequence number (0 = empty) and its hash."""

    tenant: str
    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Link:
    """An entry in its place: `body` is the exact text that was hashed."""

    entry: Entry
    seq: int
    prev_hash: str
    body: str
    hash: str


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where a chain does not hold, and what is wrong there."""

    tenant: str
    seq: int
    problem: str


def entry_body(entry: Entry, *, seq: int) -> str:
    """Return the text that is hashed for `entry` at `seq`: every field, canonically."""
    return canonical_json(
        {
            "action": entry.action,
            "actor_kind": entry.actor.kind.value,
            "actor_name": entry.actor.name,
            "at": utc_text(entry.at),
            "branch": entry.branch,
            "correlation_id": entry.correlation_id,
            "data": dict(entry.data),
            "format": CHAIN_FORMAT,
            "object_id": entry.object_id,
            "object_kind": entry.object_kind,
            "outcome": entry.outcome,
            "policy_version": entry.policy_version,
            "reason": entry.reason,
            "repo": entry.repo,
            "seq": seq,
            "task_kind": entry.task_kind,
            "tenant": entry.tenant,
            "workspace": entry.workspace,
        }
    )


def link_hash(prev_hash: str, body: str) -> str:
    """Return SHA-256 over the previous hash, a line feed, and the body."""
    return hashlib.sha256(f"{prev_hash}\n{body}".encode()).hexdigest()


def extend(head: Head, entries: Sequence[Entry]) -> list[Link]:
    """Return the links that put `entries`, in their order, behind `head`.

    Raises:
        ValueError: an entry of another tenant; chains never mix tenants.
    """
    links: list[Link] = []
    seq, prev_hash = head.seq, head.hash
    for entry in entries:
        if entry.tenant != head.tenant:
            raise ValueError(f"entry of {entry.tenant!r} on the chain of {head.tenant!r}")
        seq += 1
        body = entry_body(entry, seq=seq)
        digest = link_hash(prev_hash, body)
        links.append(Link(entry=entry, seq=seq, prev_hash=prev_hash, body=body, hash=digest))
        prev_hash = digest
    return links


def first_break(
    tenant: str, rows: Iterable[tuple[int, str, str, str]], *, head: Head
) -> Break | None:
    """Return the first broken place of a chain, or None when it holds up to its head.

    `rows` are `(seq, prev_hash, body, hash)` in ascending order. Comparing with the head row is
    what shows entries cut off at the end; a gap shows entries cut out of the middle.
    """
    place = Head(tenant)
    for row in rows:
        problem = problem_at(place, row)
        if problem:
            return Break(tenant, place.seq + 1, problem)
        place = Head(tenant, row[0], row[3])
    if (place.seq, place.hash) != (head.seq, head.hash):
        return Break(tenant, place.seq + 1, f"chain ends at {place.seq}, its head says {head.seq}")
    return None


def problem_at(place: Head, row: tuple[int, str, str, str]) -> str:
    """Return why `row` cannot follow `place`, or the empty string when it does."""
    seq, prev_hash, body, digest = row
    if seq != place.seq + 1:
        return f"entry {place.seq + 1} is missing, next is {seq}"
    if prev_hash != place.hash:
        return "does not continue the entry before it"
    if link_hash(prev_hash, body) != digest:
        return "content does not match its hash"
    return ""
