"""The one writer of the trail: appends entries in the caller's transaction; decides nothing."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from django.db import connection

from audit.domain.chain import GENESIS, Head, Link, extend
from audit.domain.entries import Entry
from audit.models import AuditEntry, ChainHead
from audit.setwise import Columns, insert_rows, insert_statement, rows_source, run_together

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
_HEADS = ChainHead._meta.db_table
_HEAD_COLUMNS: Columns = {"tenant": "text", "seq": "bigint", "hash": "text"}


class NotInTransaction(Exception):
    """Entries were appended outside a transaction: the act and its entry could part ways."""


def append(entries: Sequence[Entry]) -> list[Link]:
    """Append entries to their tenants' chains and return the links, in the order given.

    Two statements on PostgreSQL (lock; insert and move the heads), whatever the number of entries
    and tenants. The chain head
    is locked rather than the last entry: under READ COMMITTED a waiter on the last entry would
    wake with an outdated place. Heads are locked in tenant order, so batches cannot deadlock; a
    transaction that calls this twice should do so in tenant order, too.

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
    run_together(
        connection,
        insert_statement(
            connection,
            AuditEntry._meta.db_table,
            _ENTRY_COLUMNS,
            [_row(links[index]) for index in order],
        ),
        _move_heads([heads[tenant] for tenant in tenants]),
    )
    return [links[index] for index in range(len(entries))]


def append_one(entry: Entry) -> Link:
    """Append a single entry; see `append`."""
    return append([entry])[0]


def _lock_heads(tenants: Sequence[str]) -> dict[str, Head]:
    """Lock the heads of `tenants`, sorted, making those that are new; one statement for both.

    An upsert that changes nothing, because "lock what is there, then make the rest" takes the
    locks of a new tenant out of order, and two such batches can deadlock.
    """
    rows = insert_rows(
        connection,
        _HEADS,
        _HEAD_COLUMNS,
        [(tenant, 0, GENESIS) for tenant in tenants],
        on_conflict=f"(tenant) DO UPDATE SET seq = {_HEADS}.seq",
        returning="tenant, seq, hash",
    )
    return {tenant: Head(tenant, seq, digest) for tenant, seq, digest in rows}


def _move_heads(heads: Sequence[Head]) -> tuple[str, list[Any]]:
    source, params = rows_source(
        connection, _HEAD_COLUMNS, [(head.tenant, head.seq, head.hash) for head in heads]
    )
    move = f"UPDATE {_HEADS} SET seq = v.seq, hash = v.hash FROM {source} AS v"
    return f"{move} WHERE {_HEADS}.tenant = v.tenant", params


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
