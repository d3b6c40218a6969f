"""Answers alerts: people acknowledge, snooze and open them again, with reasons."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append_one
from governance.selectors.branch_facts import branches_by_key
from governance.services.policies import load_policies
from reconciliation.models import Alert, AlertState
from reconciliation.services.alerts import UNANSWERED

MIN_REASON = 10


class AlertNotFound(Exception):
    """There is no such alert, or it is not the caller's to see."""


class CannotAcknowledge(Exception):
    """The alert cannot be acknowledged or snoozed like this; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@transaction.atomic
def acknowledge_alert(
    alert_id: int,
    *,
    caller: Caller,
    user_id: int | None,
    reason: str,
    lasts: timedelta | None,
    expected_state_digest: str,
    correlation_id: str,
    now: datetime,
) -> Alert:
    """Acknowledge an alert in the state that the person looked at, for a limited time.

    `lasts` None takes the policy's default (24 h); the policy caps it (30 days). An alert that is
    already acknowledged may be acknowledged anew.

    Raises:
        AlertNotFound: unknown, or of a tenant that the caller may not see.
        CannotAcknowledge: `not_allowed`, `resolved`, `reason_too_short`, `too_long`,
            `state_moved`.
    """
    alert = _alert_for(alert_id, caller)
    _check_answer(alert, reason=reason, expected_state_digest=expected_state_digest)
    rules = (
        load_policies([alert.repository_id]).for_branch(alert.repository_id, alert.branch).alerts
    )
    wanted = timedelta(seconds=rules.default_acknowledge_seconds) if lasts is None else lasts
    longest = timedelta(seconds=rules.max_acknowledge_seconds)
    if not timedelta(0) < wanted <= longest:
        raise CannotAcknowledge(
            "too_long", f"An acknowledgement lasts between a moment and {longest.days} days."
        )
    values = {
        "state": AlertState.ACKNOWLEDGED,
        "acknowledged_by_id": user_id,
        "acknowledged_as": caller.actor.name,
        "acknowledged_at": now,
        "acknowledge_reason": reason.strip()[:1000],
        "acknowledge_expires_at": now + wanted,
        "acknowledged_state_digest": alert.state_digest,
        "answered_moves": _moves_of(alert),
    }
    Alert.objects.filter(pk=alert.pk).update(**UNANSWERED | values)
    _record_human_act(
        alert,
        "alert.acknowledge",
        caller=caller,
        reason=reason,
        correlation_id=correlation_id,
        now=now,
        data={"until": now + wanted, "state_digest": alert.state_digest},
    )
    alert.refresh_from_db()
    return alert


@transaction.atomic
def snooze_alert(
    alert_id: int,
    *,
    caller: Caller,
    until: datetime,
    reason: str,
    expected_state_digest: str,
    correlation_id: str,
    now: datetime,
) -> Alert:
    """Silence an alert, in the state that the person looked at, until a moment within 30 days.

    It opens again then, or as soon as the state moves.

    Raises:
        AlertNotFound; CannotAcknowledge with `not_allowed`, `resolved`, `reason_too_short`,
        `too_long`, `state_moved`.
    """
    alert = _alert_for(alert_id, caller)
    _check_answer(alert, reason=reason, expected_state_digest=expected_state_digest)
    if not now < until <= now + timedelta(days=30):
        raise CannotAcknowledge("too_long", "Snooze until a moment within the next 30 days.")
    values = {
        "state": AlertState.SNOOZED,
        "snoozed_until": until,
        "snoozed_state_digest": alert.state_digest,
        "answered_moves": _moves_of(alert),
    }
    Alert.objects.filter(pk=alert.pk).update(**UNANSWERED | values)
    _record_human_act(
        alert,
        "alert.snooze",
        caller=caller,
        reason=reason,
        correlation_id=correlation_id,
        now=now,
        data={"until": until, "state_digest": alert.state_digest},
    )
    alert.refresh_from_db()
    return alert


@transaction.atomic
def unacknowledge_alert(
    alert_id: int, *, caller: Caller, reason: str, correlation_id: str, now: datetime
) -> Alert:
    """Take an acknowledgement or a snooze back: the alert is open again.

    Raises:
        AlertNotFound; CannotAcknowledge with `not_allowed`, `resolved`.
    """
    alert = _alert_for(alert_id, caller)
    Alert.objects.filter(pk=alert.pk).update(**UNANSWERED)
    _record_human_act(
        alert,
        "alert.unacknowledge",
        caller=caller,
        reason=reason,
        correlation_id=correlation_id,
        now=now,
        data={},
    )
    alert.refresh_from_db()
    return alert


def _alert_for(alert_id: int, caller: Caller) -> Alert:
    alert = (
        Alert.objects.select_for_update(of=("self",))
        .select_related("repository__tenant", "repository__workspace", "finding")
        .filter(pk=alert_id)
        .first()
    )
    if alert is None or not caller.may_see(alert.repository.tenant.slug):
        raise AlertNotFound(f"There is no alert {alert_id}.")
    if not caller.has_scope("alerts"):
        raise CannotAcknowledge("not_allowed", "Your role may look at alerts, not answer them.")
    if alert.state == AlertState.RESOLVED:
        raise CannotAcknowledge("resolved", "The alert is resolved already; nothing to do.")
    return alert


def _check_answer(alert: Alert, *, reason: str, expected_state_digest: str) -> None:
    if len(reason.strip()) < MIN_REASON:
        raise CannotAcknowledge(
            "reason_too_short", "Give a reason of at least 10 characters: others will read it."
        )
    if expected_state_digest != alert.state_digest:
        raise CannotAcknowledge(
            "state_moved", "The branch moved since you looked. Look again before you answer."
        )


def _moves_of(alert: Alert) -> int:
    """Return how often the state of an alert moved so far, to notice one that comes back to it."""
    key = (alert.repository_id, alert.branch)
    branch = branches_by_key({key}).get(key)
    return alert.finding.reopened_count + (branch.head_changes if branch else 0)


def _record_human_act(
    alert: Alert,
    action: str,
    *,
    caller: Caller,
    reason: str,
    correlation_id: str,
    now: datetime,
    data: dict[str, Any],
) -> None:
    repository = alert.repository
    append_one(
        Entry(
            tenant=repository.tenant.slug,
            at=now,
            actor=caller.actor,
            action=action,
            object_kind="alert",
            object_id=str(alert.pk),
            correlation_id=correlation_id,
            reason=reason.strip(),
            workspace=repository.workspace.slug,
            repo=repository.slug,
            branch=alert.branch,
            data={**data, "class": alert.finding.stable_class},
        )
    )
