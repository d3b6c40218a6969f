"""The admin: no secret is shown, the engine cannot be steered, acts leave an entry."""

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.selectors import visible_entries
from governance.models import ApiToken, Membership, RemoteCredential, Tenant
from reconciliation.models import Alert, AlertState, WebhookSecret, WebhookSource
from tests.factories.governance import ApiTokenFactory, LeaseFactory
from tests.factories.story import Story
from tests.functional.pages.conftest import AsPerson

EVERYBODY = Caller(Actor(ActorKind.SYSTEM, "test"), None, frozenset({"admin"}))
SECRET = "correct-horse-battery-staple"


@pytest.fixture
def root(as_person: AsPerson) -> Client:
    return as_person("root")


def change_page(row: Any) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=(row.pk,))


def actions_on_record(kind: str) -> list[tuple[str, str, str]]:
    rows = visible_entries(EVERYBODY).filter(object_kind=kind).order_by("id")
    return [(row.tenant, row.actor_name, row.action) for row in rows]


@pytest.mark.parametrize("model", [model._meta.label for model in admin.site._registry])
def test_every_record_list_opens(root: Client, model: str) -> None:
    app, name = model.lower().split(".")

    assert root.get(reverse(f"admin:{app}_{name}_changelist")).status_code == 200


def test_a_credentials_secret_can_be_set_but_never_read(root: Client) -> None:
    acme = Tenant.objects.get(slug="acme")
    asked = {"tenant": acme.pk, "name": "reader", "username": "bot", "new_secret": SECRET}

    added = root.post(reverse("admin:governance_remotecredential_add"), asked)
    row = RemoteCredential.objects.get()
    page = root.get(change_page(row)).content.decode()

    assert added.status_code == 302
    assert row.secret == SECRET
    assert SECRET not in page
    assert "fingerprint" in page
    assert actions_on_record("remotecredential") == [("acme", "root", "remotecredential.add")]


def test_an_empty_secret_keeps_the_one_that_is_stored(root: Client, story: Story) -> None:
    acme = Tenant.objects.get(slug="acme")
    row = RemoteCredential.objects.create(
        tenant=acme, name="reader", secret=SECRET, created_at=story.now
    )

    asked = {"tenant": acme.pk, "name": "renamed", "username": "", "new_secret": ""}
    root.post(change_page(row), asked)

    row = RemoteCredential.objects.get()
    assert (row.name, row.secret, row.renewed_at) == ("renamed", SECRET, None)


def test_a_new_credential_needs_a_secret(root: Client) -> None:
    asked = {"tenant": Tenant.objects.get(slug="acme").pk, "name": "reader", "new_secret": ""}

    page = root.post(reverse("admin:governance_remotecredential_add"), asked)

    assert "needs a secret" in page.content.decode()
    assert not RemoteCredential.objects.exists()


def test_tokens_and_digests_are_not_shown(root: Client, story: Story) -> None:
    source = WebhookSource.objects.filter(secrets__isnull=False).first()
    assert source is not None
    secret = WebhookSecret.objects.filter(source=source).first()
    assert secret is not None
    token = ApiTokenFactory.create()
    lease = LeaseFactory.create(repository=story.repositories["acme/ledger"])

    for row, hidden in (
        (source, secret.value),
        (source, source.token),
        (token, token.digest),
        (lease, lease.token_digest),
    ):
        page = root.get(change_page(row)).content.decode()
        assert hidden not in page, row
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize("model", ["schedule", "ormq", "success", "failure"])
@pytest.mark.parametrize("may", ["has_add_permission", "has_change_permission"])
def test_nobody_steers_the_engine_from_here(rf: Any, story: Story, model: str, may: str) -> None:
    request = rf.get("/")
    request.user = story.people["root"]
    page = next(
        page
        for registered, page in admin.site._registry.items()
        if registered._meta.label_lower == f"django_q.{model}"
    )

    assert getattr(page, may)(request) is False
    assert page.has_delete_permission(request) is False
    assert page.get_actions(request) == {}


def test_a_membership_given_and_taken_leaves_entries(root: Client, story: Story) -> None:
    asked = {
        "user": story.people["nina"].pk,
        "tenant": Tenant.objects.get(slug="acme").pk,
        "role": "viewer",
    }

    root.post(reverse("admin:governance_membership_add"), asked)
    given = Membership.objects.get(user=story.people["nina"])
    root.post(reverse("admin:governance_membership_delete", args=(given.pk,)), {"post": "yes"})

    assert not Membership.objects.filter(user=story.people["nina"]).exists()
    assert actions_on_record("membership") == [
        ("acme", "root", "membership.add"),
        ("acme", "root", "membership.delete"),
    ]


@pytest.mark.parametrize("model", ["membership", "tenant", "workspace", "remotecredential"])
def test_members_look_at_records_but_change_none(as_person: AsPerson, model: str) -> None:
    adam = as_person("adam")

    assert adam.get(reverse(f"admin:governance_{model}_changelist")).status_code == 200
    assert adam.get(reverse(f"admin:governance_{model}_add")).status_code == 403


def acknowledge(client: Client, alerts: list[Alert], **asked: Any) -> Any:
    return client.post(
        reverse("admin:reconciliation_alert_changelist"),
        {"action": "acknowledge", "_selected_action": [row.pk for row in alerts], **asked},
        follow=True,
    )


def test_several_alerts_are_acknowledged_with_one_reason(as_person: AsPerson, story: Story) -> None:
    alerts = [story.alerts["open"], story.alerts["open-5"]]
    olga = as_person("olga")
    states = {f"state_{row.pk}": row.state_digest for row in alerts}

    asked = acknowledge(olga, alerts)
    refused = acknowledge(olga, alerts, apply="1", reason="short", hours="24", **states)
    done = acknowledge(
        olga, alerts, apply="1", reason="Both are being restored.", hours="24", **states
    )

    assert all(value in asked.content.decode() for value in states.values())
    assert "short" in refused.content.decode()
    assert "is acknowledged" in done.content.decode()
    kept = Alert.objects.filter(pk__in=[row.pk for row in alerts])
    assert {(row.state, row.acknowledged_as) for row in kept} == {("acknowledged", "olga")}


def test_an_alert_that_moved_meanwhile_stays_open(as_person: AsPerson, story: Story) -> None:
    alert = story.alerts["open"]
    states = {f"state_{alert.pk}": "0" * 64}

    done = acknowledge(
        as_person("olga"), [alert], apply="1", reason="It is being restored.", hours="24", **states
    )

    alert.refresh_from_db()
    assert alert.state == AlertState.OPEN
    assert "moved since you looked" in done.content.decode()


def test_viewers_are_not_offered_the_action(as_person: AsPerson, story: Story) -> None:
    vera = as_person("vera")
    page = vera.get(reverse("admin:reconciliation_alert_changelist")).content.decode()

    acknowledge(vera, [story.alerts["open"]], apply="1", reason="I only read here.", hours="24")

    assert 'value="acknowledge"' not in page
    assert Alert.objects.get(pk=story.alerts["open"].pk).state == AlertState.OPEN
