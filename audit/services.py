"""The one writer of the trail: appends entries in the caller's transaction; decides nothing."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from django.db import connection

from audit.domain.chain import Break, Head, Link, extend, first_break
from audit.domain.entries import Entry
from audit.models import AuditEntry, ChainHead
from audit.setwise import Columns, insert_rows, rows_source

_ENTRY_COLUMNS: Columns = {
    "tenant": "text",
    "seq": "bigint",
    "at": "timestamptz",
    "actor_kind": "text",
    "actor_name": "text",
    "action": "text",
    "object_kind": "text",
    "object_id": "text",
    "outcome": "text",
    "workspace": "text",
    "repo": "text",
    "branch": "text",
    "task_kind": "text",
    "correlation_id": "text",
    "policy_version": "text",
    "body": "text",
    "prev_hash": "text",
    "hash": "text",
}


class NotInTransaction(Exception):
    """Entries were appended outside a transaction: the act and its entry could part ways."""


def append(entries: Sequence[Entry]) -> list[Link]:
    """Append entries to their tenants' chains and return the links, in the order given.

    One lock, one insert and one update whatever the number of entries and tenants. The chain head
    is locked rather than the last entry: under READ COMMITTED a waiter on the last entry would
    wake with an outdated place. Heads are locked in tenant order, so batches cannot deadlock.

    Raises:
        NotInTransaction: call it inside the `atomic()` block of the act that it records.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction("audit entries belong in the transaction of the act they record")
    if not entries:
        return []
    order = sorted(range(len(entries)), key=lambda index: (entries[index].tenant, index))
    tenants = sorted({entry.tenant for entry in entries})
    heads = _lock_heads(tenants)
    links: dict[int, Link] = {}
    for tenant, indexes in groupby(order, key=lambda index: entries[index].tenant):
        places = list(indexes)
        chained = extend(heads[tenant], [entries[index] for index in places])
        links.update(zip(places, chained, strict=True))
        heads[tenant] = Head(tenant, chained[-1].seq, chained[-1].hash)
    insert_rows(
        connection,
        AuditEntry._meta.db_table,
        _ENTRY_COLUMNS,
        [_row(links[index]) for index in order],
    )
    _move_heads([heads[tenant] for tenant in tenants])
    return [links[index] for index in range(len(entries))]


def append_one(entry: Entry) -> Link:
    """Append a single entry; see `append`."""
    return append([entry])[0]


def verify(tenant: str) -> Break | None:
    """Recompute one tenant's chain from its first entry and return its first break, or None.

    Reads in one snapshot with the head, in chunks, so memory does not grow with the chain.
    """
    row = ChainHead.objects.filter(tenant=tenant).values_list("seq", "hash").first()
    head = Head(tenant, *row) if row else Head(tenant)
    broken = first_break(tenant, _chain_rows(tenant, up_to=head.seq), head=head)
    if broken is not None:
        return broken
    beyond = AuditEntry.objects.filter(tenant=tenant, seq__gt=head.seq).order_by("seq")
    # Entries may be appended while we read: only one that the head row does not know *now* is bad.
    newest = ChainHead.objects.filter(tenant=tenant).values_list("seq", flat=True).first() or 0
    stray = beyond.filter(seq__gt=newest).values_list("seq", flat=True).first()
    if stray is not None:
        return Break(tenant, stray, f"entry {stray} lies beyond the head at {newest}")
    return None


def _chain_rows(tenant: str, *, up_to: int) -> Iterator[tuple[int, str, str, str]]:
    rows = AuditEntry.objects.filter(tenant=tenant, seq__lte=up_to).order_by("seq")
    yield from rows.values_list("seq", "prev_hash", "body", "hash").iterator(chunk_size=5000)


def _lock_heads(tenants: Sequence[str]) -> dict[str, Head]:
    found = _read_heads(tenants)
    missing = [tenant for tenant in tenants if tenant not in found]
    if missing:
        ChainHead.objects.bulk_create(
            [ChainHead(tenant=tenant, seq=0, hash=Head(tenant).hash) for tenant in missing],
            ignore_conflicts=True,
        )
        found |= _read_heads(missing)
    return found


def _read_heads(tenants: Sequence[str]) -> dict[str, Head]:
    rows = ChainHead.objects.select_for_update().filter(tenant__in=tenants).order_by("tenant")
    return {head[0]: Head(*head) for head in rows.values_list("tenant", "seq", "hash")}


def _move_heads(heads: Sequence[Head]) -> None:
    columns = {"tenant": "text", "seq": "bigint", "hash": "text"}
    source, params = rows_source(
        connection, columns, [(head.tenant, head.seq, head.hash) for head in heads]
    )
    table = ChainHead._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET seq = v.seq, hash = v.hash"
            f" FROM {source} AS v WHERE {table}.tenant = v.tenant",
            params,
        )


def _row(link: Link) -> tuple[object, ...]:
    entry = link.entry
    return (
        entry.tenant,
        link.seq,
        entry.at,
        entry.actor.kind.value,
        entry.actor.name,
        entry.action,
        entry.object_kind,
        entry.object_id,
        entry.outcome,
        entry.workspace,
        entry.repo,
        entry.branch,
        entry.task_kind,
        entry.correlation_id,
        entry.policy_version,
        link.body,
        link.prev_hash,
        link.hash,
    )
