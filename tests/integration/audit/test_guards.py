"""The database itself refuses to change the trail, and says so when it no longer does."""

import pytest
from django.db import DatabaseError, connection, transaction

from audit.models import AuditEntry, ChainHead
from audit.selectors import missing_triggers
from tests.integration.audit.trail import record, triggers_off

REFUSED = [
    "UPDATE audit_auditentry SET actor_name = 'mallory'",
    "DELETE FROM audit_auditentry",
    "DELETE FROM audit_chainhead",
    "UPDATE audit_chainhead SET seq = seq - 1",
    "UPDATE audit_chainhead SET hash = 'x'",
    "UPDATE audit_chainhead SET tenant = 'other'",
]
TRUNCATIONS = [
    "TRUNCATE audit_auditentry",
    "TRUNCATE audit_chainhead",
    "TRUNCATE audit_auditentry, audit_chainhead",
]


def refuses(statement: str) -> None:
    record(2)
    before = list(AuditEntry.objects.values()), list(ChainHead.objects.values())

    with (
        pytest.raises(DatabaseError, match=r"append-only|only move forward"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)

    assert (list(AuditEntry.objects.values()), list(ChainHead.objects.values())) == before


@pytest.mark.django_db
@pytest.mark.parametrize("statement", REFUSED)
def test_changes_are_refused(statement: str) -> None:
    refuses(statement)


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize("statement", TRUNCATIONS)
def test_truncation_is_refused(statement: str) -> None:
    refuses(statement)


@pytest.mark.django_db
def test_all_guards_are_in_place_after_the_migrations() -> None:
    assert missing_triggers() == []


@pytest.mark.django_db(transaction=True)
def test_guards_that_were_switched_off_are_named() -> None:
    with triggers_off():
        named = missing_triggers()

    assert "audit_head_only_forward" in named
    assert len(named) == 4
    assert missing_triggers() == []
