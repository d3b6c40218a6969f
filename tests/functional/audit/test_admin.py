"""The trail in the admin: read-only, scoped to the person's tenants, searchable, verifiable."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit.admin import read_only
from audit.models import AuditEntry
from governance.models import Membership, Role
from tests.conftest import World
from tests.integration.audit.trail import record, tamper

ENTRIES = "admin:audit_auditentry_changelist"
CHAINS = "admin:audit_chainhead_changelist"


def logged_in(**fields: Any) -> Client:
    user = User.objects.create_user("alice", is_staff=True, **fields)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(is_superuser=True)


@pytest.fixture
def operator(tenant_world: World) -> Client:
    """A staff member who is an operator of acme."""
    client = logged_in()
    Membership.objects.create(
        user=User.objects.get(), tenant=tenant_world.tenant, role=Role.OPERATOR
    )
    return client


def shown(client: Client, **query: str) -> list[tuple[str, int]]:
    answer = client.get(reverse(ENTRIES), query)
    assert answer.status_code == 200
    return [(row.tenant, row.seq) for row in answer.context["cl"].result_list]


def test_entries_are_listed_newest_first(superuser: Client) -> None:
    record(2)
    record(1, tenant="rival")

    assert shown(superuser) == [("rival", 1), ("acme", 2), ("acme", 1)]
    assert shown(superuser, tenant="acme") == [("acme", 2), ("acme", 1)]
    assert shown(superuser, actor_kind="user") == []


def test_instants_are_shown_to_the_second_and_in_utc(superuser: Client) -> None:
    record(1)

    page = superuser.get(reverse(ENTRIES)).content.decode()

    assert "2026-03-02 12:00:00 UTC" in page


def test_a_member_sees_only_entries_of_the_own_tenants(operator: Client) -> None:
    record(1)
    record(1, tenant="rival")
    foreign = AuditEntry.objects.get(tenant="rival")

    assert shown(operator) == [("acme", 1)]
    assert shown(operator, tenant="rival") == []
    page = operator.get(reverse("admin:audit_auditentry_change", args=[foreign.pk]))
    assert page.status_code == 302


def test_staff_without_the_scope_see_nothing_of_the_trail(db: None) -> None:
    client = logged_in()
    record(1)

    assert client.get(reverse(ENTRIES)).status_code == 403
    assert client.get(reverse(CHAINS)).status_code == 403
    assert "audit" not in client.get(reverse("admin:index")).content.decode().lower()


def test_a_person_who_is_not_staff_is_sent_to_the_login(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob"))

    assert client.get(reverse(ENTRIES)).status_code == 302


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("web", [2]),
        ("feature/x", [2]),
        ("test-correlation-id", [1]),
        ("other-correlation", [2]),
        ("acme/web", [2]),
        ("web main", []),
        ("api main", [1]),
        ("we", []),
    ],
)
def test_the_search_is_exact_by_trace_repository_and_branch(
    superuser: Client, search: str, found: list[int]
) -> None:
    record(1)
    record(1, repo="web", branch="feature/x", correlation_id="other-correlation")

    assert [seq for _, seq in shown(superuser, q=search)] == found


def test_the_page_of_an_entry_shows_reason_and_data_and_no_way_to_save(superuser: Client) -> None:
    record(1, reason="known <rebase>", data={"heads": 3})

    page = superuser.get(
        reverse("admin:audit_auditentry_change", args=[AuditEntry.objects.get().pk])
    )

    text = page.content.decode()
    assert "known &lt;rebase&gt;" in text
    assert "&quot;heads&quot;: 3" in text
    assert 'name="_save"' not in text


def test_nothing_can_be_added_changed_or_deleted(superuser: Client) -> None:
    record(1)
    pk = AuditEntry.objects.get().pk

    refused = [
        superuser.get(reverse("admin:audit_auditentry_add")),
        superuser.post(reverse("admin:audit_auditentry_add"), {}),
        superuser.post(reverse("admin:audit_auditentry_change", args=[pk]), {"action": "x"}),
        superuser.post(reverse("admin:audit_auditentry_delete", args=[pk]), {"post": "yes"}),
    ]

    assert [answer.status_code for answer in refused] == [403] * 4
    assert AuditEntry.objects.count() == 1


def test_the_list_costs_the_same_number_of_statements_however_long_it_is(
    superuser: Client,
) -> None:
    record(1)
    counts = []
    for more in (1, 40):
        record(more)
        with CaptureQueriesContext(connection) as statements:
            shown(superuser)
        counts.append(len(statements))

    assert counts[0] == counts[1]


def test_counting_stops_at_the_cap(superuser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_only, "MOST_ROWS_COUNTED", 5)
    record(8)

    assert superuser.get(reverse(ENTRIES)).context["cl"].result_count == 5


def verify(client: Client, *tenants: str) -> list[str]:
    """Send what a browser would send with these boxes ticked."""
    page = client.get(reverse(CHAINS)).content.decode()
    boxes = re.findall(r'<input type="checkbox" name="_selected_action" value="([^"]+)"', page)
    chosen = [box for box in boxes if box in tenants]
    answer = client.post(
        reverse(CHAINS), {"action": "verify", "_selected_action": chosen}, follow=True
    )
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.django_db(transaction=True)
def test_chains_are_verified_from_their_list(superuser: Client) -> None:
    record(2)
    record(3, tenant="rival")
    record(1, tenant="")
    tamper("DELETE FROM audit_auditentry WHERE tenant = 'rival' AND seq = 2")

    assert verify(superuser, "(site)", "acme", "rival") == [
        "(site): intact, 1 entries.",
        "acme: intact, 2 entries.",
        "rival: BROKEN at entry 2: entry 2 is missing, next is 3.",
    ]


def test_a_member_can_neither_see_nor_verify_foreign_chains(operator: Client) -> None:
    record(1)
    record(1, tenant="rival")

    page = operator.get(reverse(CHAINS)).content.decode()

    assert "acme" in page
    assert "rival" not in page
    answer = operator.post(
        reverse(CHAINS), {"action": "verify", "_selected_action": ["acme", "rival"]}, follow=True
    )
    assert [str(message) for message in answer.context["messages"]] == ["acme: intact, 1 entries."]
