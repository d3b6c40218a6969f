"""Answers hold for the state they were given for; a branch that comes and goes is one alert."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from audit.selectors import entries_of_object
from audit.services import verify
from governance.selectors.branch_facts import repositories_by_id
from reconciliation.models import Alert, Finding
from reconciliation.remotes.memory import MemoryCommit
from reconciliation.services.alert_answers import CannotAcknowledge, acknowledge_alert, snooze_alert
from reconciliation.services.default_branch_findings import open_default_branch_finding
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import CORRELATION_ID, HEAD_A, HEAD_C
from tests.functional.loop.test_the_loop import ADMIN, Loop, loop

__all__ = ["loop"]

pytestmark = pytest.mark.django_db
HEAD_D = "d" * 40
REASON = "We know, it was planned."


def snooze(loop: Loop) -> None:
    alert = Alert.objects.get()
    snooze_alert(
        alert.pk,
        caller=ADMIN,
        until=loop.now + timedelta(days=30),
        reason=REASON,
        expected_state_digest=alert.state_digest,
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )


def acknowledge(loop: Loop) -> None:
    alert = Alert.objects.get()
    acknowledge_alert(
        alert.pk,
        caller=ADMIN,
        user_id=None,
        reason=REASON,
        lasts=timedelta(days=30),
        expected_state_digest=alert.state_digest,
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )


def push(loop: Loop, before: str, after: str) -> None:
    loop.move("main", after)
    loop.announce("main", before, after, pusher="mallory")


def tick(loop: Loop, *, at: datetime) -> None:
    """Plan what time alone makes due, and work it off."""
    loop.now = max(loop.now, at)
    plan_sweep(
        slot=loop.now,
        scope="",
        everything=False,
        trigger="manual",
        budget=Budget(repositories=10, per_tenant=10),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    loop.drain(after=timedelta(0))


@pytest.fixture
def alerted(loop: Loop) -> Loop:
    """A critical alert: the default branch was replaced by another history."""
    loop.remote.push(loop.url, "away", MemoryCommit(HEAD_D, (), files={"README": "4"}))
    loop.remote.delete_branch(loop.url, "away")
    push(loop, HEAD_A, HEAD_C)
    loop.drain()
    assert Alert.objects.get().state == "open"
    return loop


@pytest.mark.parametrize("answer", [snooze, acknowledge])
def test_a_push_after_an_answer_opens_the_alert_again(
    alerted: Loop, answer: Callable[[Loop], None]
) -> None:
    answer(alerted)
    assert Alert.objects.get().state != "open"
    push(alerted, HEAD_C, HEAD_D)

    alerted.drain()

    alert = Alert.objects.get()
    assert alert.state == "open"
    assert (alert.snoozed_until, alert.acknowledge_expires_at) == (None, None)
    assert verify("acme") is None


@pytest.mark.parametrize("answer", [snooze, acknowledge])
def test_a_head_that_goes_and_comes_back_opens_the_alert_again(
    alerted: Loop, answer: Callable[[Loop], None]
) -> None:
    answer(alerted)
    state = Alert.objects.get().state_digest
    push(alerted, HEAD_C, HEAD_A)
    alerted.drain()
    push(alerted, HEAD_A, HEAD_C)
    alerted.drain()

    alert = Alert.objects.get()

    assert alert.state_digest == state
    assert alert.state == "open"


@pytest.mark.parametrize("answer", [snooze, acknowledge])
def test_an_answer_holds_while_nothing_moves(alerted: Loop, answer: Callable[[Loop], None]) -> None:
    answer(alerted)
    before = Alert.objects.get().state

    tick(alerted, at=alerted.now + timedelta(hours=6))

    assert Alert.objects.get().state == before


def come_and_go(loop: Loop, *, times: int) -> None:
    for _ in range(times):
        push(loop, HEAD_C, HEAD_A)
        loop.drain()
        loop.drain()
        push(loop, HEAD_A, HEAD_C)
        loop.drain()


def test_the_fourth_return_within_an_hour_holds_the_alert_open_until_a_quiet_hour(
    alerted: Loop,
) -> None:
    come_and_go(alerted, times=4)
    flapping = Alert.objects.get()
    assert flapping.flapping_until is not None
    opened_at = flapping.opened_at

    come_and_go(alerted, times=4)

    alert = Alert.objects.get()
    assert (alert.state, alert.opened_at) == ("open", opened_at)
    assert alert.reopened_count == Finding.objects.get().reopened_count > 4
    push(alerted, HEAD_C, HEAD_A)
    alerted.drain()
    alerted.drain()
    assert Finding.objects.get().state == "resolved"
    assert Alert.objects.get().state == "open"
    until = Alert.objects.get().flapping_until
    assert until is not None
    tick(alerted, at=until)
    resolved = Alert.objects.get()
    assert (resolved.state, resolved.flapping_until) == ("resolved", None)


def test_escalations_become_due_across_reopenings_and_say_since_when(
    alerted: Loop, caplog: pytest.LogCaptureFixture, django_capture_on_commit_callbacks: Any
) -> None:
    first_due = Alert.objects.get().next_escalation_at
    assert first_due is not None
    push(alerted, HEAD_C, HEAD_A)
    alerted.drain()
    alerted.drain()
    assert Alert.objects.get().state == "resolved"
    alerted.now = first_due + timedelta(minutes=5)
    push(alerted, HEAD_A, HEAD_C)
    alerted.drain()

    with django_capture_on_commit_callbacks(execute=True):
        tick(alerted, at=alerted.now + timedelta(seconds=1))

    alert = Alert.objects.get()
    assert (alert.state, alert.escalation_step) == ("open", 1)
    due_at = datetime.fromisoformat(alert.escalation_ladder[0]["due_at"])
    assert first_due < due_at <= alerted.now
    assert "due_at" not in alert.escalation_ladder[1]
    entry = entries_of_object(ADMIN, kind="alert", object_id=str(alert.pk)).get(
        action="alert.escalation_due"
    )
    data = json.loads(entry.body)["data"]
    assert (data["sent"], data["not_sent_because"]) == (False, "no_channel")
    assert "sent=no" in caplog.text


def test_a_push_between_the_look_and_the_snooze_is_not_snoozed(alerted: Loop) -> None:
    seen = Alert.objects.get().state_digest
    push(alerted, HEAD_C, HEAD_D)
    alerted.drain()

    with pytest.raises(CannotAcknowledge, match="moved since you looked"):
        snooze_alert(
            Alert.objects.get().pk,
            caller=ADMIN,
            until=alerted.now + timedelta(days=1),
            reason=REASON,
            expected_state_digest=seen,
            correlation_id=CORRELATION_ID,
            now=alerted.now,
        )


def test_an_answer_about_the_default_branch_outlives_an_escalation(loop: Loop) -> None:
    """Its state is the two names, not two heads: what time makes due must not void the answer."""
    repository = repositories_by_id([loop.repository.pk])[loop.repository.pk]
    with transaction.atomic():
        open_default_branch_finding(
            repository, "trunk", correlation_id=CORRELATION_ID, now=loop.now
        )
    opened = Alert.objects.get()
    assert opened.next_escalation_at is not None

    tick(loop, at=opened.next_escalation_at)

    escalated = Alert.objects.get()
    assert escalated.escalation_step == 1
    assert escalated.state_digest == opened.state_digest
