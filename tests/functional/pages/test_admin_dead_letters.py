"""Dead letters in the admin: chosen from the list, shown with what would mend them, dealt with."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from audit.services import verify
from governance.models import Membership
from reconciliation.models import ReconciliationTask
from tests.conftest import World
from tests.factories.reconciliation import TaskFactory

pytestmark = pytest.mark.django_db

REASON = "The credential was renewed."


def person(role: str, world: World) -> Client:
    user = get_user_model().objects.create_user(f"the-{role}", password="x", is_staff=True)
    Membership.objects.create(user=user, tenant=world.tenant, role=role)
    client = Client()
    client.force_login(user)
    return client


def dead(world: World, **fields: Any) -> int:
    row = TaskFactory.create(
        repository=world.repository,
        state="dead",
        last_error_code="remote_auth_failed",
        last_error="401",
        **fields,
    )
    return int(row.pk)


def state_of(pk: int) -> str:
    return ReconciliationTask.objects.get(pk=pk).state


def post(client: Client, act: str, ids: list[int], **more: str) -> str:
    page = reverse("admin:reconciliation_reconciliationtask_changelist")
    asked: dict[str, Any] = {"action": act, "_selected_action": ids, **more}
    return client.post(page, asked, follow=True).content.decode()


@pytest.mark.parametrize(
    ("act", "done", "state"),
    [("requeue", "requeued", "queued"), ("discard", "discarded", "discarded")],
)
def test_dead_letters_are_shown_first_and_dealt_with_for_a_reason(
    tenant_world: World, act: str, done: str, state: str
) -> None:
    olga = person("operator", tenant_world)
    pk = dead(tenant_world)
    alive = int(TaskFactory.create(repository=tenant_world.repository).pk)

    preview = post(olga, act, [pk, alive])
    assert "1 dead letter<" in preview
    assert f"These would be {done}." in preview
    assert "Renew it" in preview
    assert state_of(pk) == "dead"
    refused = post(olga, act, [pk, alive], apply="1", reason="because")
    assert "at least 10 characters" in refused
    assert state_of(pk) == "dead"

    said = post(olga, act, [pk, alive], apply="1", reason=REASON)

    assert f"1 dead letter {done}." in said
    assert (state_of(pk), state_of(alive)) == (state, "completed")
    assert verify("acme") is None


def test_a_viewer_is_not_offered_to_deal_with_dead_letters(tenant_world: World) -> None:
    pk = dead(tenant_world)

    post(person("viewer", tenant_world), "requeue", [pk], apply="1", reason=REASON)

    assert state_of(pk) == "dead"


def test_dead_letters_of_another_tenant_cannot_be_chosen(tenant_world: World) -> None:
    theirs = int(TaskFactory.create(repository=tenant_world.strange_repository, state="dead").pk)

    post(person("operator", tenant_world), "discard", [theirs], apply="1", reason=REASON)

    assert state_of(theirs) == "dead"


def test_what_was_requeued_too_often_is_told(tenant_world: World) -> None:
    pk = dead(tenant_world, requeues=3)

    said = post(person("operator", tenant_world), "requeue", [pk], apply="1", reason=REASON)

    assert "1 were requeued too often already" in said
    assert state_of(pk) == "dead"
