"""The trail refuses DELETE by trigger; transactional tests must still start with empty tables."""

import pytest
from django.db import DatabaseError, connection, transaction

from audit.domain.entries import RECONCILER, Entry
from audit.models import AuditEntry
from audit.services import append_one
from tests.factories.governance import CORRELATION_ID, NOON

pytestmark = pytest.mark.django_db(transaction=True)


def entry_in_the_trail() -> None:
    with transaction.atomic():
        append_one(
            Entry(
                tenant="acme",
                at=NOON,
                actor=RECONCILER,
                action="test.act",
                object_kind="test",
                object_id="1",
                correlation_id=CORRELATION_ID,
            )
        )


@pytest.mark.parametrize("turn", [1, 2])
def test_each_transactional_test_starts_with_an_empty_trail_that_still_refuses_changes(
    turn: int,
) -> None:
    assert AuditEntry.objects.count() == 0
    entry_in_the_trail()

    with pytest.raises(DatabaseError, match="append-only"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_auditentry")

    assert AuditEntry.objects.count() == 1
