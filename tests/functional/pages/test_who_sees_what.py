"""Nothing of one tenant is ever shown to, or changed by, people of another."""

from typing import Any

import pytest
from django.test import Client

from reconciliation.models import Alert, AlertState, ReconciliationTask
from tests.factories.story import Story
from tests.functional.pages.conftest import AsPerson

PAGES = (
    "/",
    "/alerts?state=all",
    "/findings",
    "/repositories",
    "/tasks?state=all",
    "/sweeps",
    "/sweeps/planner",
)
RECORDS = (
    "/admin/governance/branch/",
    "/admin/governance/lease/",
    "/admin/governance/membership/",
    "/admin/governance/repository/",
    "/admin/governance/runrecord/",
    "/admin/governance/tenant/",
    "/admin/governance/workspace/",
    "/admin/reconciliation/alert/",
    "/admin/reconciliation/evaluation/",
    "/admin/reconciliation/finding/",
    "/admin/reconciliation/reconciliationtask/",
    "/admin/reconciliation/repositorywatch/",
    "/admin/reconciliation/taskattempt/",
    "/admin/reconciliation/webhookdelivery/",
    "/admin/reconciliation/webhookrefusal/",
    "/admin/reconciliation/webhooksource/",
)
ENGINE = (
    "/admin/django_q/schedule/",
    "/admin/django_q/ormq/",
    "/admin/django_q/success/",
    "/admin/django_q/failure/",
    "/admin/governance/effectivepolicy/",
    "/admin/reconciliation/sweep/",
    "/admin/reconciliation/heartbeat/",
)


def of_tenant(tenant: str) -> dict[str, str]:
    """Return addresses of single things of one tenant."""
    alert = Alert.objects.filter(repository__tenant__slug=tenant).order_by("pk").first()
    task = ReconciliationTask.objects.filter(tenant=tenant).order_by("pk").first()
    assert alert is not None
    assert task is not None
    repo = alert.repository.slug
    return {
        "alert": f"/alerts/{alert.pk}",
        "repository": f"/repositories/{tenant}/{repo}",
        "branch": f"/repositories/{tenant}/{repo}/branches/main",
        "trace": f"/trace/{alert.correlation_id}",
        "task": f"/tasks/{task.pk}",
        "record": f"/admin/reconciliation/alert/{alert.pk}/change/",
    }


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


@pytest.mark.parametrize("address", [*PAGES, *RECORDS])
def test_lists_hold_only_what_is_of_ones_own_tenants(as_person: AsPerson, address: str) -> None:
    seen = text_of(as_person("vera"), address)

    assert "borealis" not in seen
    assert "cinder" not in seen


def test_lists_do_hold_what_is_of_ones_own_tenants(as_person: AsPerson) -> None:
    assert "acme" in text_of(as_person("vera"), "/repositories")
    assert "acme" in text_of(as_person("vera"), "/admin/governance/tenant/")


@pytest.mark.parametrize("what", ["alert", "repository", "branch", "trace", "task"])
def test_a_thing_of_another_tenant_is_not_there(as_person: AsPerson, what: str) -> None:
    assert as_person("vera").get(of_tenant("acme")[what]).status_code == 200
    assert as_person("vera").get(of_tenant("borealis")[what]).status_code == 404


def test_a_record_of_another_tenant_cannot_be_opened(as_person: AsPerson) -> None:
    assert as_person("vera").get(of_tenant("acme")["record"]).status_code == 200
    # The admin sends people who look for what is not there to its index.
    assert as_person("vera").get(of_tenant("borealis")["record"]).status_code == 302


@pytest.mark.parametrize("address", ENGINE)
def test_records_of_no_tenant_are_for_those_who_see_all(as_person: AsPerson, address: str) -> None:
    assert as_person("vera").get(address).status_code == 403
    assert as_person("root").get(address).status_code == 200


@pytest.mark.parametrize("address", PAGES)
def test_without_a_membership_there_is_nothing_to_see(as_person: AsPerson, address: str) -> None:
    seen = text_of(as_person("nina"), address)

    assert not {"acme", "borealis", "cinder", "main was"} & set(seen.split())
    assert "acme" not in seen


def test_without_a_membership_single_things_are_not_there(as_person: AsPerson) -> None:
    answers = {
        name: as_person("nina").get(address).status_code
        for name, address in of_tenant("acme").items()
    }

    assert answers == {**dict.fromkeys(answers, 404), "record": 403}


@pytest.mark.parametrize("address", PAGES)
def test_strangers_are_asked_to_log_in(client: Client, db: None, address: str) -> None:
    response = client.get(address)

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "reopen", "accept"])
def test_viewers_are_offered_nothing_and_may_do_nothing(
    story: Story, as_person: AsPerson, act: str
) -> None:
    alert = story.alerts["open"]
    asked: dict[str, Any] = {
        "reason": "I would like to, but I only read.",
        "hours": 24,
        "expected_state_digest": alert.state_digest,
        "expected_head": alert.finding.actual["observed_head"],
        "confirmed": "on",
    }

    seen = text_of(as_person("vera"), f"/alerts/{alert.pk}")
    response = as_person("vera").post(f"/alerts/{alert.pk}/{act}", asked)

    assert f"/alerts/{alert.pk}/{act}" not in seen
    assert response.status_code == 403
    alert.refresh_from_db()
    assert alert.state == AlertState.OPEN


def test_what_one_may_do_in_one_tenant_is_not_what_one_may_do_in_another(
    story: Story, as_person: AsPerson
) -> None:
    of_acme, of_borealis = story.alerts["open"], story.alerts["open-2"]

    assert "/accept" not in text_of(as_person("adam"), f"/alerts/{of_acme.pk}")
    assert "/accept" in text_of(as_person("adam"), f"/alerts/{of_borealis.pk}")


def test_an_operator_answers_alerts_but_accepts_no_head(story: Story, as_person: AsPerson) -> None:
    alert = story.alerts["open"]

    seen = text_of(as_person("olga"), f"/alerts/{alert.pk}")

    assert f"/alerts/{alert.pk}/acknowledge" in seen
    assert f"/alerts/{alert.pk}/accept" not in seen


def test_answers_are_kept_by_no_cache(as_person: AsPerson) -> None:
    assert as_person("vera").get("/")["Cache-Control"] == "private, no-store"


def test_a_site_wide_sweep_shows_a_member_their_tasks_but_no_totals(
    story: Story, as_person: AsPerson
) -> None:
    sweep = story.sweeps[-1]

    seen = text_of(as_person("vera"), f"/sweeps/{sweep.pk}")

    assert "spans tenants" in seen
    assert sweep.worklist_digest not in seen
