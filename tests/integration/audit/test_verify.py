"""Verification finds what was tampered with behind the guards' back, at the right entry."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.domain.chain import Break
from audit.models import AuditEntry
from audit.selectors import tenants_on_record
from audit.services import BeyondHead, append, verify, verify_stretch, verifying
from tests.factories.governance import NOON
from tests.integration.audit.trail import ENTRY, record, tamper

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_tenant_without_entries_verifies() -> None:
    assert verify("acme") is None


def test_a_changed_body_is_found_at_its_entry() -> None:
    record(5)

    tamper(
        "UPDATE audit_auditentry SET body = replace(body, 'reconciler', 'nobody')"
        " WHERE tenant = 'acme' AND seq = 3"
    )

    assert verify("acme") == Break("acme", 3, "content does not match its hash")


@pytest.mark.parametrize(
    ("column", "value"),
    [("actor_name", "nobody"), ("branch", "other"), ("at", NOON - timedelta(seconds=1))],
)
def test_a_column_changed_to_mislead_searches_is_found(column: str, value: object) -> None:
    record(5)

    tamper(
        f"UPDATE audit_auditentry SET {column} = %s"  # noqa: S608 - a column named above
        " WHERE tenant = 'acme' AND seq = 2",
        str(value),
    )

    assert verify("acme") == Break("acme", 2, f"column {column} contradicts the content")


def test_an_entry_moved_to_another_tenant_is_found_in_both() -> None:
    record(3)

    tamper("UPDATE audit_auditentry SET tenant = 'rival' WHERE tenant = 'acme' AND seq = 1")

    assert tenants_on_record() == ["acme", "rival"]
    assert verify("acme") == Break("acme", 1, "entry 1 is missing, next is 2")
    assert verify("rival") == Break(
        "rival", 1, "entry 1 lies outside of the chain: the chain has no head"
    )


def test_an_entry_removed_from_the_middle_is_found() -> None:
    record(5)

    tamper("DELETE FROM audit_auditentry WHERE tenant = 'acme' AND seq = 4")

    assert verify("acme") == Break("acme", 4, "entry 4 is missing, next is 5")


def test_a_truncated_tail_is_found() -> None:
    record(5)

    tamper("DELETE FROM audit_auditentry WHERE tenant = 'acme' AND seq > 3")

    assert verify("acme") == Break("acme", 4, "entry 4 is missing, the head says 5")


def test_a_chain_emptied_of_all_entries_is_found() -> None:
    record(2)

    tamper("DELETE FROM audit_auditentry WHERE tenant = 'acme'")

    assert verify("acme") == Break("acme", 1, "entry 1 is missing, the head says 2")


def test_a_removed_head_is_found() -> None:
    record(2)

    tamper("DELETE FROM audit_chainhead WHERE tenant = 'acme'")

    assert tenants_on_record() == ["acme"]
    assert verify("acme") == Break(
        "acme", 1, "entry 1 lies outside of the chain: the chain has no head"
    )


def test_a_head_moved_back_is_found() -> None:
    record(3)

    tamper(
        "UPDATE audit_chainhead SET seq = 2, hash ="
        " (SELECT hash FROM audit_auditentry WHERE tenant = 'acme' AND seq = 2)"
    )

    assert verify("acme") == Break("acme", 3, "entry 3 lies outside of the chain: the head says 2")


def test_a_head_with_another_hash_is_found() -> None:
    record(3)

    tamper("UPDATE audit_chainhead SET hash = %s", "f" * 64)

    assert verify("acme") == Break("acme", 4, "the head holds another hash")


def test_an_entry_put_in_before_the_first_is_found() -> None:
    record(2)

    with connection.cursor() as cursor:
        columns = "tenant, at, actor_kind, actor_name, action, object_kind, object_id, outcome"
        columns += ", workspace, repo, branch, task_kind, correlation_id, policy_version, body"
        columns += ", prev_hash, hash"
        cursor.execute(
            f"INSERT INTO audit_auditentry (seq, {columns})"  # noqa: S608 - columns named above
            f" SELECT 0, {columns} FROM audit_auditentry WHERE seq = 1"
        )

    assert verify("acme") == Break("acme", 0, "entry 0 lies outside of the chain: the head says 2")


def test_other_tenants_are_not_touched_by_one_tenants_break() -> None:
    record(2)
    record(2, tenant="rival")

    tamper("DELETE FROM audit_auditentry WHERE tenant = 'rival' AND seq = 1")

    assert verify("acme") is None
    assert verify("rival") is not None


def test_a_long_chain_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    record(10)
    monkeypatch.setattr(verifying, "_PAGE", 4)

    with CaptureQueriesContext(connection) as statements:
        assert verify("acme") is None

    # Head, three pages of entries and the empty one behind them, and the look beyond the head.
    assert len(statements) == 6


def test_a_chain_may_be_verified_in_stretches() -> None:
    links = record(10)

    first = verify_stretch("acme", at_most=4)
    second = verify_stretch("acme", after=first.reached.seq, at_most=100)

    assert (first.entries, first.reached.hash, first.is_complete) == (4, links[3].hash, False)
    assert (second.entries, second.reached.seq, second.is_complete) == (6, 10, True)
    assert second.broken is None


def test_a_stretch_behind_an_entry_that_is_gone_is_a_break() -> None:
    record(3)
    tamper("DELETE FROM audit_auditentry WHERE tenant = 'acme' AND seq = 2")

    assert verify_stretch("acme", after=2).broken == Break(
        "acme", 2, "entry 2 is missing, the head says 3"
    )


def test_a_stretch_behind_an_entry_that_never_was_is_a_mistake_of_the_caller() -> None:
    record(3)

    with pytest.raises(BeyondHead, match="ends at entry 3"):
        verify_stretch("acme", after=4)


def test_a_stretch_that_ends_before_the_tampering_holds_and_the_next_does_not() -> None:
    record(6)
    tamper("UPDATE audit_auditentry SET prev_hash = hash WHERE tenant = 'acme' AND seq = 5")

    assert verify_stretch("acme", at_most=4).broken is None
    assert verify_stretch("acme", after=4).broken == Break(
        "acme", 5, "does not continue the entry before it"
    )


def test_appends_during_a_verification_are_no_break() -> None:
    record(50)
    stop = threading.Event()

    def keep_appending() -> None:
        try:
            while not stop.is_set():
                with transaction.atomic():
                    append([replace(ENTRY, object_id="meanwhile")] * 3)
        finally:
            connection.close()

    writer = threading.Thread(target=keep_appending)
    writer.start()
    try:
        found = [verify("acme") for _ in range(25)]
    finally:
        stop.set()
        writer.join(timeout=30)

    assert found == [None] * 25
    assert AuditEntry.objects.count() > 50
