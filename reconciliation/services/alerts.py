"""Carries out what was decided about alerts: guarded changes, one entry of the trail for each."""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from audit.domain.canonical import utc_text
from audit.domain.entries import Entry
from reconciliation.domain.findings import AlertAct
from reconciliation.models import Alert, AlertState, Finding
from reconciliation.services.alert_facts import stored_moments

logger = logging.getLogger(__name__)

_UNRESOLVED = (AlertState.OPEN, AlertState.ACKNOWLEDGED, AlertState.SNOOZED)


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
    values = _values(act, ladder, now=now)
    if act.act == "reopen":
        values |= {"correlation_id": correlation_id}
    if act.reopenings:
        values |= {
            "reopened_count": finding.reopened_count,
            "reopenings": stored_moments(act.reopenings),
            "flapping_until": act.flapping_until,
        }
    if act.act == "escalation_due":
        values |= {"escalation_ladder": _with_due_step(rows, act)}
    if not rows.filter(**_guard(act)).update(**values):
        return None
    alert_id: int = rows.values_list("pk", flat=True).get()
    if act.act == "escalation_due":
        transaction.on_commit(partial(_log_due_step, act, alert_id, finding))
    return alert_id


def _with_due_step(rows: QuerySet[Alert], act: AlertAct) -> list[dict[str, Any]]:
    ladder: list[dict[str, Any]] = rows.values_list("escalation_ladder", flat=True).get()
    due_at = utc_text(act.due_at) if act.due_at else None
    return [
        {**step, "due_at": due_at} if number == act.step else step
        for number, step in enumerate(ladder, start=1)
    ]


def _log_due_step(act: AlertAct, alert_id: int, finding: Finding) -> None:
    logger.warning(
        "alert.escalation_due alert=%d severity=%s role=%s step=%d branch=%s sent=no"
        " reason=no_channel",
        alert_id,
        finding.severity,
        act.role,
        act.step,
        finding.branch,
    )


UNANSWERED: dict[str, Any] = {
    "state": AlertState.OPEN,
    "acknowledged_state_digest": "",
    "acknowledge_expires_at": None,
    "snoozed_until": None,
    "snoozed_state_digest": "",
    "answered_moves": None,
}
"""An alert that nobody has answered, or not any more."""


def _guard(act: AlertAct) -> dict[str, Any]:
    guards: dict[str, dict[str, Any]] = {
        "reopen": {"state": AlertState.RESOLVED},
        "update": {"state__in": _UNRESOLVED},
        "void_acknowledgement": {"state": AlertState.ACKNOWLEDGED},
        "expire_acknowledgement": {"state": AlertState.ACKNOWLEDGED},
        "void_snooze": {"state": AlertState.SNOOZED},
        "end_snooze": {"state": AlertState.SNOOZED},
        "escalation_due": {"state": AlertState.OPEN, "escalation_step": act.step - 1},
        "resolve": {"state__in": _UNRESOLVED},
    }
    return guards[act.act]


def _values(act: AlertAct, ladder: Sequence[tuple[str, int]], *, now: datetime) -> dict[str, Any]:
    again_open: dict[str, Any] = {**UNANSWERED, "next_escalation_at": act.next_escalation_at}
    if act.act == "reopen":
        fresh = {} if act.continues_ladder else {"escalation_ladder": _ladder(ladder)}
        return {
            **again_open,
            **fresh,
            "escalation_step": act.step,
            "severity": act.severity,
            "state_digest": act.state_digest,
            "opened_at": now,
            "resolved_at": None,
            "resolution": "",
        }
    if act.act == "update":
        return {"severity": act.severity, "state_digest": act.state_digest}
    if act.act == "escalation_due":
        return {"escalation_step": act.step, "next_escalation_at": act.next_escalation_at}
    if act.act == "resolve":
        # The moment of the next step stays: a reopening soon after must not gain time by it.
        return {
            "state": AlertState.RESOLVED,
            "resolved_at": now,
            "resolution": act.reason[:300],
            "flapping_until": None,
        }
    return again_open


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
            **_of_escalation(act),
        },
    )


def _of_escalation(act: AlertAct) -> dict[str, Any]:
    """Return when a step became due, and that nothing was sent: no channel is set up."""
    if act.act != "escalation_due":
        return {}
    return {"due_at": act.due_at, "sent": False, "not_sent_because": "no_channel"}
