"""Checks chains against themselves and their heads; reads only, and holds no lock."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q, Subquery
from django.db.models.functions import Coalesce

from audit.domain.chain import Break, Head
from audit.domain.verification import SEARCHABLE, StoredEntry, follow
from audit.models import AuditEntry, ChainHead

_STORED = (*SEARCHABLE, "prev_hash", "body", "hash")
_PAGE = 2000
# A chain of one entry costs a few queries, as much as checking so many entries.
_LEAST_COST_OF_A_CHAIN = 50


class BeyondHead(ValueError):
    """Asked to verify behind an entry that the chain does not have yet."""


def verify(tenant: str) -> Break | None:
    """Recompute one tenant's chain from its first entry and return its first break, or None."""
    return verify_stretch(tenant).broken


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at one chain showed: `entries` were checked, from the one behind `after` on."""

    tenant: str
    after: int
    reached: Head
    head: Head
    broken: Break | None

    @property
    def entries(self) -> int:
        """How many entries were checked and found good."""
        return self.reached.seq - self.after

    @property
    def is_complete(self) -> bool:
        """Whether the look ended at the head, or at a break before it."""
        return self.broken is not None or self.reached.seq >= self.head.seq


def verify_stretch(tenant: str, *, after: int = 0, at_most: int | None = None) -> Verification:
    """Check up to `at_most` entries behind entry `after`, and at the end the head itself.

    Nothing is locked and memory does not grow with the chain. Appends may go on meanwhile: what is
    behind the head that was read first is left to the next look, and whether an entry lies beyond
    its head is asked in one statement, which sees both at one instant.

    Raises:
        BeyondHead: there is no entry `after`, and by the head there never was.
    """
    row = ChainHead.objects.filter(tenant=tenant).values_list("seq", "hash").first()
    head = Head(tenant, *row) if row else Head(tenant)
    if after > head.seq:
        raise BeyondHead(f"the chain of {tenant or 'the site'} ends at entry {head.seq}")
    start = _place_of(tenant, seq=after) if after else Head(tenant)
    if start is None:
        gone = Break(tenant, after, f"entry {after} is missing, the head says {head.seq}")
        return Verification(tenant, after, Head(tenant, after), head, gone)
    last = head.seq if at_most is None else min(head.seq, after + at_most)
    walk = follow(start, _stored_entries(tenant, after=after, last=last))
    reached = walk.reached
    if walk.broken is not None:
        return Verification(tenant, after, reached, head, walk.broken)
    if reached.seq < last:
        problem = f"entry {reached.seq + 1} is missing, the head says {head.seq}"
        return _broken(tenant, after, head, reached, problem)
    if reached.seq == head.seq and reached.hash != head.hash:
        return _broken(tenant, after, head, reached, "the head holds another hash")
    stray = _first_stray(tenant) if reached.seq >= head.seq else None
    if stray is not None:
        named = f"the head says {head.seq}" if row else "the chain has no head"
        problem = f"entry {stray} lies outside of the chain: {named}"
        return Verification(tenant, after, reached, head, Break(tenant, stray, problem))
    return Verification(tenant, after, reached, head, None)


@dataclass(frozen=True, slots=True)
class Report:
    """What a bounded look at several chains showed; `not_reached` are tenants left for later."""

    chains: tuple[Verification, ...]
    not_reached: tuple[str, ...]

    @property
    def status(self) -> str:
        """`broken` if any chain is; else `incomplete` if anything was left; else `intact`."""
        if any(chain.broken for chain in self.chains):
            return "broken"
        if self.not_reached or not all(chain.is_complete for chain in self.chains):
            return "incomplete"
        return "intact"


def verify_chains(tenants: Sequence[str], *, after: int = 0, at_most: int) -> Report:
    """Verify chains in the order given until about `at_most` entries were checked.

    Raises:
        BeyondHead: see `verify_stretch`; `after` is for a single chain.
    """
    chains: list[Verification] = []
    budget = at_most
    for tenant in tenants:
        if budget <= 0:
            break
        chains.append(verify_stretch(tenant, after=after, at_most=budget))
        budget -= max(chains[-1].entries, _LEAST_COST_OF_A_CHAIN)
    return Report(tuple(chains), tuple(tenants[len(chains) :]))


def _broken(tenant: str, after: int, head: Head, reached: Head, problem: str) -> Verification:
    return Verification(tenant, after, reached, head, Break(tenant, reached.seq + 1, problem))


def _place_of(tenant: str, *, seq: int) -> Head | None:
    row = AuditEntry.objects.filter(tenant=tenant, seq=seq).values_list("seq", "hash").first()
    return Head(tenant, *row) if row else None


def _stored_entries(tenant: str, *, after: int, last: int) -> Iterator[StoredEntry]:
    """Yield entries by pages of the unique index: no cursor, no snapshot is held open."""
    rows = AuditEntry.objects.filter(tenant=tenant, seq__lte=last).order_by("seq")
    while page := list(rows.filter(seq__gt=after).values(*_STORED)[:_PAGE]):
        for row in page:
            yield StoredEntry(row["seq"], row["prev_hash"], row["body"], row["hash"], row)
        after = page[-1]["seq"]


def _first_stray(tenant: str) -> int | None:
    head = ChainHead.objects.filter(tenant=tenant).values("seq")
    outside = Q(seq__lt=1) | Q(seq__gt=Coalesce(Subquery(head), 0))
    entries = AuditEntry.objects.filter(outside, tenant=tenant).order_by("seq")
    return entries.values_list("seq", flat=True).first()
