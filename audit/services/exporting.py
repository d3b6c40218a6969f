"""Chains as they leave the house: lines to write, and a promise to check later; changes nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from audit.domain.canonical import canonical_json
from audit.domain.chain import GENESIS, Break
from audit.models import AuditEntry, ChainHead

EXPORT_FORMAT = "audit-export-v1"
_PAGE = 2000


class NothingToExport(ValueError):
    """The tenant has no entries behind the one that was named."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Entries `first` to `last` of one chain; `prev_hash` is the hash before the first."""

    tenant: str
    first: int
    last: int
    prev_hash: str
    last_hash: str


def stretch_to_export(tenant: str, *, after: int = 0) -> Stretch:
    """Return everything behind entry `after`, as far as the chain reaches now.

    Raises:
        NothingToExport: there is nothing behind it, or no entry `after`.
    """
    head = ChainHead.objects.filter(tenant=tenant).values_list("seq", "hash").first()
    before = AuditEntry.objects.filter(tenant=tenant, seq=after).values_list("hash", flat=True)
    prev_hash = before.first() if after else GENESIS
    if head is None or head[0] <= after or prev_hash is None:
        raise NothingToExport(f"{tenant or 'The site'} has no entries behind entry {after}.")
    return Stretch(tenant, after + 1, head[0], prev_hash, head[1])


def exported_lines(stretch: Stretch) -> Iterator[str]:
    """Yield one canonical JSON line per entry, as stored: a broken chain is exported broken."""
    rows = AuditEntry.objects.filter(tenant=stretch.tenant, seq__lte=stretch.last).order_by("seq")
    last = stretch.first - 1
    while page := list(
        rows.filter(seq__gt=last).values("seq", "prev_hash", "body", "hash")[:_PAGE]
    ):
        for row in page:
            yield canonical_json(row) + "\n"
        last = page[-1]["seq"]


def manifest_of(stretch: Stretch, *, sha256: str, entries: int, exported_at: str) -> str:
    """Return what belongs beside the lines, and above all somewhere else: the end of the chain."""
    return json.dumps(
        {
            "format": EXPORT_FORMAT,
            "tenant": stretch.tenant,
            "first": stretch.first,
            "last": stretch.last,
            "entries": entries,
            "prev_hash": stretch.prev_hash,
            "last_hash": stretch.last_hash,
            "sha256": sha256,
            "exported_at": exported_at,
        },
        indent=1,
        sort_keys=True,
    )


def contradiction(*, tenant: str, last: int, last_hash: str) -> Break | None:
    """Return how the chain of today contradicts one that was exported, or None.

    This is what a chain cannot tell by itself: that its end was cut off and its head moved back.
    """
    rows = AuditEntry.objects.filter(tenant=tenant, seq=last)
    stored = rows.values_list("hash", flat=True).first()
    if stored is None:
        return Break(tenant, last, f"entry {last} was exported and is gone")
    if stored != last_hash:
        return Break(tenant, last, f"entry {last} is not the one that was exported")
    return None
