"""Answering alerts over the API: with a reason, for a time, bound to what was looked at."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from audit.domain.caller import Caller
from audit.domain.entries import RECONCILER
from audit.selectors import entries_of_object
from governance.models import Membership
from reconciliation.metrics import COLLECTOR
from reconciliation.models import Alert
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, api_client
from tests.factories.reconciliation import AlertFactory, EvaluationFactory, FindingFactory

REASON = "The release team rewrote it on purpose."
EVERYBODY = Caller(RECONCILER, None, frozenset({"admin"}))


@pytest.fixture
def operator(tenant_world: World) -> APIClient:
    return api_client(["read", "alerts"], tenant=tenant_world.tenant)


@pytest.fixture
def alert(tenant_world: World) -> Alert:
    return AlertFactory.create(finding=FindingFactory.create(repository=tenant_world.repository))


def answer(client: APIClient, alert: Alert, act: str, body: dict[str, Any]) -> Any:
    return client.post(f"/api/v1/alerts/{alert.pk}/{act}", body, format="json")


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def test_an_acknowledgement_records_who_why_and_until_when(
    operator: APIClient, alert: Alert
) -> None:
    body = {
        "reason": REASON,
        "lasts_seconds": 3600,
        "expected_state_digest": alert.state_digest,
    }

    shown = answer(operator, alert, "acknowledge", body)

    assert shown.status_code == 200
    told = shown.json()
    assert (told["state"], told["acknowledge_reason"]) == ("acknowledged", REASON)
    assert told["acknowledged_as"].startswith("client-")
    assert told["acknowledged_state_digest"] == told["state_digest"] == alert.state_digest
    lasts = datetime.fromisoformat(told["acknowledge_expires_at"]) - datetime.fromisoformat(
        told["acknowledged_at"]
    )
    assert lasts == timedelta(hours=1)
    entry = entries_of_object(EVERYBODY, kind="alert", object_id=str(alert.pk)).get()
    assert (entry.action, entry.actor_kind) == ("alert.acknowledge", "token")
    assert entry.correlation_id == shown.headers["X-Correlation-ID"]


def test_an_acknowledgement_without_a_duration_takes_the_policys_day(
    operator: APIClient, alert: Alert
) -> None:
    told = answer(operator, alert, "acknowledge", {"reason": REASON}).json()

    until = datetime.fromisoformat(told["acknowledge_expires_at"])
    assert until - datetime.fromisoformat(told["acknowledged_at"]) == timedelta(hours=24)


def test_an_acknowledgement_of_what_has_moved_since_is_refused(
    operator: APIClient, alert: Alert
) -> None:
    seen = alert.state_digest
    Alert.objects.filter(pk=alert.pk).update(state_digest="moved" * 10)

    refused = answer(
        operator, alert, "acknowledge", {"reason": REASON, "expected_state_digest": seen}
    )

    assert (refused.status_code, refused.json()["code"]) == (409, "state_moved")
    alert.refresh_from_db()
    assert alert.state == "open"


@pytest.mark.parametrize("act", ["acknowledge", "snooze", "unacknowledge"])
def test_a_resolved_alert_needs_no_answer(act: str, operator: APIClient, alert: Alert) -> None:
    Alert.objects.filter(pk=alert.pk).update(state="resolved")
    body = {"reason": REASON} | ({"until": in_days(1)} if act == "snooze" else {})

    refused = answer(operator, alert, act, body)

    assert (refused.status_code, refused.json()["code"]) == (409, "resolved")


@pytest.mark.parametrize(
    ("act", "body", "pointer", "code"),
    [
        ("acknowledge", {}, "/reason", "required"),
        ("acknowledge", {"reason": "too short"}, "/reason", "reason_too_short"),
        ("acknowledge", {"reason": REASON, "lasts_seconds": 0}, "/lasts_seconds", "min_value"),
        (
            "acknowledge",
            {"reason": REASON, "lasts_seconds": 30 * 86_400 + 1},
            "/lasts_seconds",
            "too_long",
        ),
        ("acknowledge", {"reason": REASON, "lasts": 60}, "/lasts", "unknown"),
        ("acknowledge", {"reason": "x" * 1001}, "/reason", "max_length"),
        ("snooze", {"reason": REASON}, "/until", "required"),
        ("snooze", {"reason": REASON, "until": "soon"}, "/until", "invalid"),
        ("snooze", {"reason": REASON, "until": in_days(-1)}, "/until", "too_long"),
        ("snooze", {"reason": REASON, "until": in_days(31)}, "/until", "too_long"),
        ("snooze", {"reason": "no", "until": in_days(1)}, "/reason", "reason_too_short"),
    ],
)
def test_an_answer_that_cannot_be_taken_says_what_is_wrong(
    act: str,
    body: dict[str, Any],
    pointer: str,
    code: str,
    operator: APIClient,
    alert: Alert,
) -> None:
    refused = answer(operator, alert, act, body)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert [(one["pointer"], one["code"]) for one in refused.json()["errors"]] == [(pointer, code)]
    alert.refresh_from_db()
    assert alert.state == "open"


def test_a_snoozed_alert_speaks_again_when_it_is_taken_back(
    operator: APIClient, alert: Alert
) -> None:
    until = in_days(2)
    snoozed = answer(operator, alert, "snooze", {"reason": REASON, "until": until}).json()
    speaking = answer(operator, alert, "unacknowledge", {}).json()

    assert snoozed["state"] == "snoozed"
    assert datetime.fromisoformat(snoozed["snoozed_until"]) == datetime.fromisoformat(until)
    assert (speaking["state"], speaking["snoozed_until"]) == ("open", None)


def test_a_snooze_of_what_has_moved_since_is_refused(operator: APIClient, alert: Alert) -> None:
    seen = alert.state_digest
    Alert.objects.filter(pk=alert.pk).update(state_digest="moved" * 10)
    body = {"reason": REASON, "until": in_days(1), "expected_state_digest": seen}

    refused = answer(operator, alert, "snooze", body)

    assert (refused.status_code, refused.json()["code"]) == (409, "state_moved")
    alert.refresh_from_db()
    assert alert.state == "open"


def test_a_snooze_says_which_state_it_covers(operator: APIClient, alert: Alert) -> None:
    told = answer(operator, alert, "snooze", {"reason": REASON, "until": in_days(1)}).json()

    assert told["snoozed_state_digest"] == told["state_digest"] == alert.state_digest


@pytest.mark.parametrize(
    ("state", "next_at"),
    [("open", "2026-03-02T12:15:00.000000Z"), ("acknowledged", None), ("resolved", None)],
)
def test_an_escalation_is_due_and_not_sent(
    state: str, next_at: str | None, operator: APIClient, alert: Alert
) -> None:
    due_at = "2026-03-02T12:00:00.000000Z"
    ladder = [
        {"role": "maintainer", "after_seconds": 900, "due_at": due_at},
        {"role": "release-manager", "after_seconds": 1800},
    ]
    Alert.objects.filter(pk=alert.pk).update(
        state=state,
        escalation_ladder=ladder,
        escalation_step=1,
        next_escalation_at=datetime(2026, 3, 2, 12, 15, tzinfo=UTC),
    )

    for shown in (
        operator.get(f"/api/v1/alerts/{alert.pk}").json(),
        operator.get("/api/v1/alerts", {"state": state}).json()["results"][0],
    ):
        assert shown["escalation_ladder"] == [
            {
                "role": "maintainer",
                "after_seconds": 900,
                "state": "due",
                "due_at": due_at,
                "sent_at": None,
            },
            {
                "role": "release-manager",
                "after_seconds": 1800,
                "state": "waiting",
                "due_at": None,
                "sent_at": None,
            },
        ]
        assert shown["next_escalation_at"] == next_at


def test_status_and_metrics_count_escalations_that_are_due(
    operator: APIClient, alert: Alert
) -> None:
    Alert.objects.filter(pk=alert.pk).update(escalation_step=1)
    COLLECTOR.forget()

    figures = operator.get("/api/v1/status").json()["parts"]["alerts"]["figures"]
    families = {family.name: family for family in COLLECTOR.collect()}

    assert (figures["escalations_due"], figures["notification_channels"]) == (1, 0)
    due = families["reconciler_escalations_due"].samples
    assert [(one.labels["severity"], one.value) for one in due] == [(alert.severity, 1)]
    assert families["reconciler_notification_channels"].samples[0].value == 0


def test_a_logged_in_person_answers_as_themselves_and_only_with_a_csrf_token(
    alert: Alert, tenant_world: World
) -> None:
    person = User.objects.create_user("olga", password="a password of the tests")
    Membership.objects.create(user=person, tenant=tenant_world.tenant, role="operator")
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(person)
    address = f"/api/v1/alerts/{alert.pk}/acknowledge"

    forged = browser.post(address, {"reason": REASON}, format="json")
    browser.cookies["csrftoken"] = token = "c" * 32
    meant = browser.post(address, {"reason": REASON}, format="json", headers={"X-CSRFToken": token})

    assert (forged.status_code, forged.json()["code"]) == (403, "permission_denied")
    assert meant.json()["acknowledged_as"] == "olga"
    alert.refresh_from_db()
    assert alert.acknowledged_by == person


def test_a_viewer_may_look_and_not_answer(alert: Alert, tenant_world: World) -> None:
    person = User.objects.create_user("vera", password="a password of the tests")
    Membership.objects.create(user=person, tenant=tenant_world.tenant, role="viewer")
    browser = APIClient()
    browser.force_login(person)

    assert browser.get(f"/api/v1/alerts/{alert.pk}").status_code == 200
    refused = answer(browser, alert, "acknowledge", {"reason": REASON})
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")


def test_an_alert_in_full_has_its_finding_and_the_matrix_of_its_branch(
    operator: APIClient, tenant_world: World
) -> None:
    evaluation = EvaluationFactory.create(task__repository=tenant_world.repository)
    finding = FindingFactory.create(repository=tenant_world.repository, evaluation=evaluation)
    alert = AlertFactory.create(finding=finding)
    tenant_world.branch.observed_head = HEAD_B
    tenant_world.branch.save()

    shown = operator.get(f"/api/v1/alerts/{alert.pk}").json()

    assert shown["finding_in_full"]["id"] == shown["finding"] == finding.pk
    assert shown["finding_in_full"]["rule_hits"][0]["rule"] == "protected_rewrite"
    assert shown["coherence"]["coherent"] is False
    assert [row["source"] for row in shown["coherence"]["rows"]] == [
        "remote_ref",
        "governed_snapshot",
        "run_record",
        "lease",
        "webhook",
    ]
    assert [row["value"] for row in shown["coherence"]["rows"]][:2] == [HEAD_B, HEAD_A]
    decision = operator.get(f"/api/v1/findings/{finding.pk}").json()["evaluation"]
    assert decision["decision"] == {"decision": "report"}
    assert decision["facts"] == {"governed_head": HEAD_A, "observed_head": HEAD_B}


def test_an_alert_outlives_its_branch(
    operator: APIClient, alert: Alert, tenant_world: World
) -> None:
    tenant_world.branch.delete()

    assert operator.get(f"/api/v1/alerts/{alert.pk}").json()["coherence"] is None
