"""Moves alerts along their life: by the reconciler's decisions, and by people with reasons."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from audit.domain.caller import Caller
from audit.domain.entries import Entry
from audit.services import append_one
from governance.services.policies import load_policies
from reconciliation.domain.findings import AlertAct
from reconciliation.models import Alert, AlertState, Finding

MIN_REASON = 10


class AlertNotFound(Exception):
    """There is no such alert, or it is not the caller's to see."""


class CannotAcknowledge(Exception):
    """The alert cannot be acknowledged or snoozed like this; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def perform_alert_acts(
    acts: Sequence[AlertAct],
    *,
    correlation_id: str,
    ladder: Sequence[tuple[str, int]],
    entry: Entry,
    now: datetime,
) -> list[Entry]:
    """Carry out what the divergence check decided and return the audit entries to append.

    `entry` is the model of those. Appending is the caller's last step: a person who acknowledges
    locks the alert before the chain's head, and so must we.

    Each act is guarded by the state that it starts from; one that was overtaken changes nothing.
    """
    if not acts:
        return []
    findings = {
        row.fingerprint: row
        for row in Finding.objects.filter(fingerprint__in=[act.fingerprint for act in acts])
    }
    entries = []
    for act in acts:
        finding = findings[act.fingerprint]
        alert_id = _perform(act, finding, ladder, correlation_id=correlation_id, now=now)
        if alert_id is not None and act.act != "update":
            entries.append(_entry_like(entry, act, alert_id, finding))
    return entries


def _perform(
    act: AlertAct,
    finding: Finding,
    ladder: Sequence[tuple[str, int]],
    *,
    correlation_id: str,
    now: datetime,
) -> int | None:
    rows = Alert.objects.filter(finding=finding)
    if act.act == "open":
        alert, created = rows.get_or_create(
            finding=finding,
            defaults={
                "repository_id": finding.repository_id,
                "branch": finding.branch,
                "severity": act.severity,
                "state_digest": act.state_digest,
                "opened_at": now,
                "escalation_ladder": _ladder(ladder),
                "next_escalation_at": act.next_escalation_at,
                "correlation_id": correlation_id,
            },
        )
        return alert.pk if created else None
    changed = rows.filter(**_guard(act)).update(**_values(act, ladder, now=now))
    if act.act == "reopen" and changed:
        Alert.objects.filter(finding=finding).update(
            reopened_count=finding.reopened_count, correlation_id=correlation_id
        )
    return rows.values_list("pk", flat=True).first() if changed else None


def _guard(act: AlertAct) -> dict[str, Any]:
    guards: dict[str, dict[str, Any]] = {
        "reopen": {"state": AlertState.RESOLVED},
        "update": {"state__in": (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.SNOOZED)},
        "void_acknowledgement": {"state": AlertState.ACKNOWLEDGED},
        "expire_acknowledgement": {"state": AlertState.ACKNOWLEDGED},
        "end_snooze": {"state": AlertState.SNOOZED},
        "escalate": {"state": AlertState.OPEN, "escalation_step": act.step - 1},
        "resolve": {"state__in": (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.SNOOZED)},
    }
    return guards[act.act]


def _values(act: AlertAct, ladder: Sequence[tuple[str, int]], *, now: datetime) -> dict[str, Any]:
    speaking: dict[str, Any] = {
        "state": AlertState.OPEN,
        "acknowledged_state_digest": "",
        "acknowledge_expires_at": None,
        "snoozed_until": None,
        "next_escalation_at": act.next_escalation_at,
    }
    if act.act == "reopen":
        return {
            **speaking,
            "severity": act.severity,
            "state_digest": act.state_digest,
            "opened_at": now,
            "escalation_ladder": _ladder(ladder),
            "escalation_step": 0,
            "resolved_at": None,
            "resolution": "",
        }
    if act.act == "update":
        return {"severity": act.severity, "state_digest": act.state_digest}
    if act.act == "escalate":
        return {"escalation_step": act.step, "next_escalation_at": act.next_escalation_at}
    if act.act == "resolve":
        return {
            "state": AlertState.RESOLVED,
            "resolved_at": now,
            "resolution": act.reason[:300],
            "next_escalation_at": None,
        }
    return speaking


def _ladder(ladder: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"role": role, "after_seconds": seconds} for role, seconds in ladder]


def _entry_like(model: Entry, act: AlertAct, alert_id: int, finding: Finding) -> Entry:
    return Entry(
        tenant=model.tenant,
        at=model.at,
        actor=model.actor,
        action=f"alert.{act.act}",
        object_kind="alert",
        object_id=str(alert_id),
        correlation_id=model.correlation_id,
        outcome=act.severity or finding.severity,
        reason=act.reason,
        workspace=model.workspace,
        repo=model.repo,
        branch=finding.branch,
        task_kind=model.task_kind,
        policy_version=model.policy_version,
        data={
            "class": finding.stable_class,
            "role": act.role,
            "state_digest": act.state_digest,
            "step": act.step,
        },
    )


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
    if len(reason.strip()) < MIN_REASON:
        raise CannotAcknowledge(
            "reason_too_short", "Give a reason of at least 10 characters: others will read it."
        )
    if expected_state_digest != alert.state_digest:
        raise CannotAcknowledge(
            "state_moved", "The branch moved since you looked. Look again before acknowledging."
        )
    rules = (
        load_policies([alert.repository_id]).for_branch(alert.repository_id, alert.branch).alerts
    )
    wanted = timedelta(seconds=rules.default_acknowledge_seconds) if lasts is None else lasts
    longest = timedelta(seconds=rules.max_acknowledge_seconds)
    if not timedelta(0) < wanted <= longest:
        raise CannotAcknowledge(
            "too_long", f"An acknowledgement lasts between a moment and {longest.days} days."
        )
    Alert.objects.filter(pk=alert.pk).update(
        state=AlertState.ACKNOWLEDGED,
        acknowledged_by_id=user_id,
        acknowledged_as=caller.actor.name,
        acknowledged_at=now,
        acknowledge_reason=reason.strip()[:1000],
        acknowledge_expires_at=now + wanted,
        acknowledged_state_digest=alert.state_digest,
        snoozed_until=None,
    )
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
    correlation_id: str,
    now: datetime,
) -> Alert:
    """Silence an alert until a moment at most 30 days away; it speaks again then by itself.

    Raises:
        AlertNotFound; CannotAcknowledge with `not_allowed`, `resolved`, `reason_too_short`,
        `too_long`.
    """
    alert = _alert_for(alert_id, caller)
    if len(reason.strip()) < MIN_REASON:
        raise CannotAcknowledge("reason_too_short", "Give a reason of at least 10 characters.")
    if not now < until <= now + timedelta(days=30):
        raise CannotAcknowledge("too_long", "Snooze until a moment within the next 30 days.")
    Alert.objects.filter(pk=alert.pk).update(
        state=AlertState.SNOOZED, snoozed_until=until, acknowledged_state_digest=""
    )
    _record_human_act(
        alert,
        "alert.snooze",
        caller=caller,
        reason=reason,
        correlation_id=correlation_id,
        now=now,
        data={"until": until},
    )
    alert.refresh_from_db()
    return alert


@transaction.atomic
def unacknowledge_alert(
    alert_id: int, *, caller: Caller, reason: str, correlation_id: str, now: datetime
) -> Alert:
    """Take an acknowledgement or a snooze back: the alert speaks again.

    Raises:
        AlertNotFound; CannotAcknowledge with `not_allowed`, `resolved`.
    """
    alert = _alert_for(alert_id, caller)
    Alert.objects.filter(pk=alert.pk).update(
        state=AlertState.OPEN,
        acknowledged_state_digest="",
        acknowledge_expires_at=None,
        snoozed_until=None,
    )
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
