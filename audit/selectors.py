"""Reads of the trail, scoped to what a caller may see and in an order that cannot tie."""

from django.db import connection
from django.db.models import QuerySet

from audit.domain.caller import Caller
from audit.models import AuditEntry, ChainHead

_TRIGGERS = {
    "postgresql": (
        "audit_entry_append_only",
        "audit_entry_no_truncate",
        "audit_head_no_truncate",
        "audit_head_only_forward",
    ),
    "sqlite": (
        "audit_entry_no_delete",
        "audit_entry_no_update",
        "audit_head_no_delete",
        "audit_head_only_forward",
    ),
}

_TENANTS_OF_ENTRIES = """
WITH RECURSIVE step(tenant) AS (
    SELECT min(tenant) FROM audit_auditentry
    UNION ALL
    SELECT (SELECT min(tenant) FROM audit_auditentry WHERE tenant > step.tenant)
    FROM step WHERE step.tenant IS NOT NULL
)
SELECT tenant FROM step WHERE tenant IS NOT NULL
"""


def visible_entries(caller: Caller) -> QuerySet[AuditEntry]:
    """Return the entries of the caller's tenants, newest first.

    The trail of the site itself has the empty tenant; only who may see every tenant sees it.
    """
    rows = AuditEntry.objects.order_by("-id")
    return rows if caller.tenants is None else rows.filter(tenant__in=sorted(caller.tenants))


def entries_of_tenant(caller: Caller, tenant: str) -> QuerySet[AuditEntry]:
    """Return the entries of one tenant in the reverse order of its chain."""
    return visible_entries(caller).filter(tenant=tenant).order_by("-seq")


def entries_of_trace(caller: Caller, correlation_id: str) -> QuerySet[AuditEntry]:
    """Return everything that was recorded under one correlation id, as it happened."""
    return visible_entries(caller).filter(correlation_id=correlation_id).order_by("id")


def entries_of_object(caller: Caller, *, kind: str, object_id: str) -> QuerySet[AuditEntry]:
    """Return what happened to one thing (an alert, a lease), newest first."""
    return visible_entries(caller).filter(object_kind=kind, object_id=object_id)


def visible_chains(caller: Caller) -> QuerySet[ChainHead]:
    """Return the heads of the caller's chains.

    The order is the database's; sort in Python where it is part of an answer.
    """
    rows = ChainHead.objects.order_by("tenant")
    return rows if caller.tenants is None else rows.filter(tenant__in=sorted(caller.tenants))


def tenants_on_record() -> list[str]:
    """Return every tenant that has a head or an entry, sorted.

    Entries are looked at too: a chain whose head was removed must not escape verification. One
    step along the index per tenant, because DISTINCT reads every entry.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS_OF_ENTRIES)
        with_entry = {row[0] for row in cursor.fetchall()}
    return sorted(with_entry.union(ChainHead.objects.values_list("tenant", flat=True)))


def missing_triggers() -> list[str]:
    """Return the triggers that make the database refuse changes and are gone or switched off.

    A dump restored without them, or a table rebuilt on SQLite, looks the same to everyone else.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        present = {row[0] for row in cursor.fetchall()}
    return [name for name in _TRIGGERS[connection.vendor] if name not in present]
