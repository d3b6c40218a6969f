"""What people may do on pages: acknowledge, snooze, open again, accept a head."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from governance.models import Branch
from reconciliation.models import Alert, AlertState, ReconciliationTask
from tests.factories.story import Story
from tests.functional.pages.conftest import AsPerson

REASON = "Carol is restoring the branch from her clone."


@pytest.fixture
def alert(story: Story) -> Alert:
    return story.alerts["open"]


@pytest.fixture
def olga(as_person: AsPerson) -> Client:
    return as_person("olga")


def acknowledgement(alert: Alert, **changes: Any) -> dict[str, Any]:
    return {
        "reason": REASON,
        "hours": "24",
        "expected_state_digest": alert.state_digest,
        **changes,
    }


def test_an_acknowledgement_says_who_why_until_when_and_of_which_state(
    alert: Alert, olga: Client
) -> None:
    response = olga.post(f"/alerts/{alert.pk}/acknowledge", acknowledgement(alert), follow=True)

    alert.refresh_from_db()
    assert alert.state == AlertState.ACKNOWLEDGED
    assert (alert.acknowledged_as, alert.acknowledge_reason) == ("olga", REASON)
    assert alert.acknowledged_state_digest == alert.state_digest
    assert alert.acknowledged_at is not None
    assert alert.acknowledge_expires_at == alert.acknowledged_at + timedelta(hours=24)
    text = response.content.decode()
    assert "olga has it" in text
    assert "acknowledged it" in text


@pytest.mark.parametrize("reason", ["", "too short", "  nine.ch  "])
def test_a_short_reason_is_refused_and_kept_in_the_field(
    alert: Alert, olga: Client, reason: str
) -> None:
    response = olga.post(f"/alerts/{alert.pk}/acknowledge", acknowledgement(alert, reason=reason))

    alert.refresh_from_db()
    assert response.status_code == 400
    assert alert.state == AlertState.OPEN
    form = response.context["forms"]["acknowledge"]
    assert "at least 10 characters" in str(form.errors["reason"])
    assert form["reason"].value() == reason
    assert 'aria-invalid="true"' in response.content.decode()


def test_a_reason_of_ten_characters_is_enough(alert: Alert, olga: Client) -> None:
    olga.post(f"/alerts/{alert.pk}/acknowledge", acknowledgement(alert, reason="0123456789"))

    alert.refresh_from_db()
    assert alert.state == AlertState.ACKNOWLEDGED


@pytest.mark.parametrize("hours", ["", "0", "721", "x", "-1"])
def test_only_the_lengths_on_offer_are_taken(alert: Alert, olga: Client, hours: str) -> None:
    response = olga.post(f"/alerts/{alert.pk}/acknowledge", acknowledgement(alert, hours=hours))

    assert response.status_code == 400
    assert REASON in response.content.decode()


def test_an_alert_that_moved_since_it_was_looked_at_is_not_acknowledged(
    alert: Alert, olga: Client
) -> None:
    outdated = acknowledgement(alert)
    Alert.objects.filter(pk=alert.pk).update(state_digest="f" * 64)

    response = olga.post(f"/alerts/{alert.pk}/acknowledge", outdated)

    alert.refresh_from_db()
    assert response.status_code == 400
    assert alert.state == AlertState.OPEN
    assert "moved since you looked" in response.content.decode()
    # The form now carries what is on the screen now, not what was refused.
    assert f'value="{"f" * 64}"' in response.content.decode()


def test_a_snooze_is_bound_to_a_time_and_to_the_state_on_the_screen(
    alert: Alert, olga: Client
) -> None:
    body = acknowledgement(alert, hours="4")

    shown = olga.post(f"/alerts/{alert.pk}/snooze", body, follow=True).content.decode()

    alert.refresh_from_db()
    assert alert.state == AlertState.SNOOZED
    assert alert.snoozed_until is not None
    assert alert.snoozed_state_digest == alert.state_digest
    assert "or until the branch or the reasons change" in shown


def test_an_alert_that_moved_since_it_was_looked_at_is_not_snoozed(
    alert: Alert, olga: Client
) -> None:
    outdated = acknowledgement(alert, hours="4")
    Alert.objects.filter(pk=alert.pk).update(state_digest="f" * 64)

    response = olga.post(f"/alerts/{alert.pk}/snooze", outdated)

    alert.refresh_from_db()
    assert response.status_code == 400
    assert alert.state == AlertState.OPEN
    assert "moved since you looked" in response.content.decode()


def test_an_escalation_is_due_since_a_moment_and_never_said_to_be_sent(
    story: Story, olga: Client
) -> None:
    alert = Alert.objects.filter(state="open", escalation_step=1).first()
    assert alert is not None

    shown = olga.get(f"/alerts/{alert.pk}").content.decode()
    listed = olga.get("/alerts").content.decode()
    overview = olga.get("/").content.decode()

    card = shown.split('id="escalation"')[1].split("</section>")[0]
    assert card.count("not sent") == 1
    assert f'datetime="{alert.escalation_ladder[0]["due_at"]}"' in card
    assert "No channel is set up" in card
    assert "escalation step 1 due, not sent" in listed
    assert "No channel is set up, so nothing was sent to anyone." in overview
    for page in (shown, listed, overview):
        assert " told<" not in page
        assert "notified" not in page


def test_an_acknowledgement_can_be_taken_back(story: Story, olga: Client) -> None:
    alert = story.alerts["acknowledged"]

    olga.post(f"/alerts/{alert.pk}/reopen", {"reason": REASON})

    alert.refresh_from_db()
    assert alert.state == AlertState.OPEN


def test_a_resolved_alert_offers_nothing_and_takes_nothing(story: Story, olga: Client) -> None:
    alert = story.alerts["resolved"]

    seen = olga.get(f"/alerts/{alert.pk}").content.decode()
    response = olga.post(f"/alerts/{alert.pk}/acknowledge", acknowledgement(alert))

    assert "/acknowledge" not in seen
    assert response.status_code == 400
    assert "resolved already" in response.content.decode()


def accepted(branch: Branch, **changes: Any) -> dict[str, Any]:
    return {
        "reason": REASON,
        "expected_head": branch.observed_head or "",
        "confirmed": "on",
        **changes,
    }


@pytest.fixture
def branch(alert: Alert) -> Branch:
    return Branch.objects.get(repository=alert.repository, name=alert.branch)


@pytest.mark.parametrize("through", ["alert", "branch"])
def test_an_accepted_head_becomes_the_governed_one(
    alert: Alert, branch: Branch, as_person: AsPerson, through: str
) -> None:
    addresses = {
        "alert": f"/alerts/{alert.pk}/accept",
        "branch": f"/branches/{branch.pk}/accept",
    }

    response = as_person("root").post(addresses[through], accepted(branch))

    branch.refresh_from_db()
    assert response.status_code == 302
    assert branch.governed_head == branch.observed_head
    assert branch.governed_by == "user:root"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"confirmed": ""}, "after you have looked"),
        ({"reason": "short"}, "at least 10 characters"),
        ({"expected_head": "0" * 40}, "look again"),
    ],
    ids=["not confirmed", "short reason", "head moved"],
)
def test_a_head_is_accepted_only_looked_at_confirmed_and_with_a_reason(
    branch: Branch, as_person: AsPerson, wrong: dict[str, str], said: str
) -> None:
    before = branch.governed_head

    response = as_person("root").post(f"/branches/{branch.pk}/accept", accepted(branch, **wrong))

    branch.refresh_from_db()
    assert response.status_code == 400
    assert said in response.content.decode()
    assert branch.governed_head == before


def test_a_deletion_can_be_accepted(story: Story, as_person: AsPerson) -> None:
    alert = story.alerts["snoozed"]
    gone = Branch.objects.get(repository=alert.repository, name=alert.branch)
    assert gone.observed_head is None

    page = as_person("adam").get(f"/alerts/{alert.pk}").content.decode()
    as_person("adam").post(f"/alerts/{alert.pk}/accept", accepted(gone))

    gone.refresh_from_db()
    assert "Accept the deletion" in page
    assert gone.governed_head is None


def test_acts_change_nothing_when_asked_by_a_link(alert: Alert, olga: Client) -> None:
    for act in ("acknowledge", "snooze", "reopen", "accept"):
        assert olga.get(f"/alerts/{alert.pk}/{act}").status_code == 405


def test_acts_need_the_token_of_their_page(alert: Alert, story: Story) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(story.people["olga"])

    response = careful.post(f"/alerts/{alert.pk}/acknowledge", acknowledgement(alert))

    alert.refresh_from_db()
    assert response.status_code == 403
    assert alert.state == AlertState.OPEN


def test_check_now_reads_the_heads_and_shows_how_that_goes(story: Story, olga: Client) -> None:
    page = olga.get("/repositories/acme/ledger").content.decode()

    shown = olga.post("/repositories/acme/ledger/check", follow=True)

    task = ReconciliationTask.objects.latest("pk")
    assert "Check now" in page
    assert (task.task_kind, task.origin, task.repo) == ("observe_refs", "manual", "ledger")
    assert shown.request["PATH_INFO"] == f"/trace/{task.correlation_id}"
    assert 'data-live="3"' in shown.content.decode()


def test_viewers_cannot_ask_for_a_check(story: Story, as_person: AsPerson) -> None:
    vera = as_person("vera")

    assert "Check now" not in vera.get("/repositories/acme/ledger").content.decode()
    assert vera.post("/repositories/acme/ledger/check").status_code == 403
    assert vera.post("/repositories/borealis/records/check").status_code == 404
    assert not ReconciliationTask.objects.filter(origin="manual").exists()


CAUSE = {
    "cause_class": "temporary",
    "cause_code": "remote_unavailable",
    "cause_host": "git.example",
}
REFUSED = {
    "cause_class": "permanent",
    "cause_code": "remote_auth_failed",
    "cause_host": "git.example",
}


def dead(code: str = "remote_unavailable") -> int:
    return ReconciliationTask.objects.filter(state="dead", last_error_code=code).count()


def test_dead_letters_are_requeued_cause_by_cause(story: Story, as_person: AsPerson) -> None:
    root = as_person("root")
    page = root.get("/tasks?state=dead").content.decode()

    asked = {**CAUSE, "reason": "The host is back since noon."}
    shown = root.post("/tasks/dead-letters/requeue", asked, follow=True)

    assert "Requeue 2" in page
    assert "2 dead letters requeued" in shown.content.decode()
    assert (dead(), dead("remote_auth_failed")) == (0, 5)


def test_a_short_reason_requeues_nothing_and_opens_the_form_again(
    story: Story, as_person: AsPerson
) -> None:
    response = as_person("root").post("/tasks/dead-letters/requeue", {**CAUSE, "reason": "again"})

    text = response.content.decode()
    assert response.status_code == 400
    assert "again" in text
    assert "at least 10 characters" in text
    assert text.count("<details open>") == 1
    assert dead() == 2


def test_discarding_asks_before_harm(story: Story, as_person: AsPerson) -> None:
    root, asked = as_person("root"), {**REFUSED, "reason": "The repository is retired."}

    unsure = root.post("/tasks/dead-letters/discard", asked)
    kept = dead("remote_auth_failed")
    sure = root.post("/tasks/dead-letters/discard", {**asked, "confirmed": "on"})

    assert (unsure.status_code, kept) == (400, 5)
    assert (sure.status_code, dead("remote_auth_failed")) == (302, 0)


def test_dead_letters_of_others_stay_dead(story: Story, as_person: AsPerson) -> None:
    asked = {**CAUSE, "reason": "I would like them to run."}

    by_operator_elsewhere = as_person("olga").post("/tasks/dead-letters/requeue", asked)
    by_viewer = as_person("vera").post("/tasks/dead-letters/requeue", asked)

    assert (by_operator_elsewhere.status_code, by_viewer.status_code) == (302, 403)
    assert dead() == 2
