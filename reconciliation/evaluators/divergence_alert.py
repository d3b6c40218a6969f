"""Decides what to do about the alerts of one branch; reads facts only.

Source: specification, "Emit alerts for unresolved high-risk divergence".
"""

from dataclasses import replace
from datetime import datetime, timedelta

from audit.domain.canonical import sha256_of
from governance.domain.policy import Policy
from reconciliation.domain.facts import AlertFact, AlertFacts, FindingFact
from reconciliation.domain.findings import AlertAct, Decision

FLAPPING_WINDOW = timedelta(hours=1)
MOST_REOPENINGS = 3
"""More reopenings than this within the window, and the alert is flapping."""
SAME_EPISODE = timedelta(hours=24)
"""An alert that returns this soon after it was resolved goes on climbing its old ladder."""


def state_digest(facts: AlertFacts, finding: FindingFact) -> str:
    """Return what an answer is bound to: governed head, observed head, rule hits."""
    state = finding.own_state or (facts.governed_head, facts.observed_head)
    return sha256_of([*state, sorted(finding.rule_ids)])


def evaluate_divergence_alert(facts: AlertFacts, policy: Policy, now: datetime) -> Decision:
    """Return the acts that bring a branch's alerts in line with its findings.

    An acknowledgement or a snooze holds for the state that it was given for: when heads or rules
    move, even if they come back, it is void and the alert is open again. Alerts are resolved by
    evidence (their finding is), not by silence. A flapping alert stays open until its finding has
    been quiet for an hour, and no reopening within a day gives the ladder more time.
    """
    alerts = {alert.fingerprint: alert for alert in facts.alerts}
    acts: list[AlertAct] = []
    for finding in sorted(facts.findings, key=lambda one: one.fingerprint):
        acts += acts_about(finding, alerts.get(finding.fingerprint), facts, policy, now)
    decision = "+".join(sorted({act.act for act in acts})) or "nothing_to_do"
    speaking = any(one.state == "open" and one.alerting for one in facts.findings)
    return Decision(
        decision if len(decision) <= 40 else "several_acts",
        "alerting" if speaking else "quiet",
        clean=True,
        alert_acts=tuple(acts),
    )


def acts_about(
    finding: FindingFact,
    alert: AlertFact | None,
    facts: AlertFacts,
    policy: Policy,
    now: datetime,
) -> list[AlertAct]:
    """Return the acts about one finding and its alert."""
    digest = state_digest(facts, finding)
    is_due = finding.state == "open" and finding.alerting
    if alert is None:
        return [_opening("open", finding, digest, policy, now)] if is_due else []
    if alert.state == "resolved":
        return [_reopening(finding, alert, digest, policy, now)] if is_due else []
    if finding.state == "resolved" and not _is_held_open(alert, now):
        return [AlertAct("resolve", finding.fingerprint, reason="its finding was resolved")]
    acts: list[AlertAct] = []
    has_moved = False
    if finding.state == "open":
        acts += _updates(finding, alert, digest, now)
        has_moved = _has_moved(alert, digest, moves=facts.head_changes + finding.reopened_count)
    if alert.state != "open":
        return acts + _end_of_answer(alert, now, has_moved=has_moved)
    # What is no longer of high risk stays open until it is resolved, but is not raised further.
    if finding.alerting and alert.next_escalation_at is not None:
        acts += _escalations(alert, alert.next_escalation_at, now)
    return acts


def _is_held_open(alert: AlertFact, now: datetime) -> bool:
    return alert.flapping_until is not None and alert.flapping_until > now


def _has_moved(alert: AlertFact, digest: str, *, moves: int) -> bool:
    """Return whether the state is another than the one that was answered, or was in between."""
    answered = {
        "acknowledged": alert.acknowledged_state_digest,
        "snoozed": alert.snoozed_state_digest,
    }
    if answered.get(alert.state, digest) != digest:
        return True
    return alert.answered_moves is not None and alert.answered_moves != moves


def _updates(finding: FindingFact, alert: AlertFact, digest: str, now: datetime) -> list[AlertAct]:
    act = AlertAct("update", finding.fingerprint, finding.severity, digest)
    if finding.reopened_count > alert.reopened_count:
        return [_returned(act, alert, now)]
    if (finding.severity, digest) != (alert.severity, alert.state_digest):
        return [act]
    return []


def _returned(act: AlertAct, alert: AlertFact, now: datetime) -> AlertAct:
    """Return the act with the finding's return counted; one too many and the alert is flapping."""
    lately = sorted(at for at in alert.reopenings if at > now - FLAPPING_WINDOW)
    reopenings = (*lately, now)[-MOST_REOPENINGS - 1 :]
    if len(reopenings) <= MOST_REOPENINGS and not _is_held_open(alert, now):
        return replace(act, reopenings=reopenings)
    return replace(
        act,
        reopenings=reopenings,
        flapping_until=now + FLAPPING_WINDOW,
        reason=f"flapping: returned more than {MOST_REOPENINGS} times within an hour; stays open"
        " until it has been quiet for an hour",
    )


def _end_of_answer(alert: AlertFact, now: datetime, *, has_moved: bool) -> list[AlertAct]:
    is_acknowledged = alert.state == "acknowledged"
    if has_moved:
        act = "void_acknowledgement" if is_acknowledged else "void_snooze"
        return [_open_again(act, alert, now, "the state that it was given for has moved")]
    ends_at = alert.acknowledge_expires_at if is_acknowledged else alert.snoozed_until
    if ends_at is None or ends_at > now:
        return []
    if is_acknowledged:
        return [_open_again("expire_acknowledgement", alert, now, "the acknowledgement ran out")]
    return [_open_again("end_snooze", alert, now, "the snooze ran out")]


def _opening(
    act: str, finding: FindingFact, digest: str, policy: Policy, now: datetime
) -> AlertAct:
    ladder = policy.alerts.escalation
    first = now + timedelta(seconds=ladder[0].after_seconds) if ladder else None
    return AlertAct(act, finding.fingerprint, finding.severity, digest, next_escalation_at=first)


def _reopening(
    finding: FindingFact, alert: AlertFact, digest: str, policy: Policy, now: datetime
) -> AlertAct:
    """Return the reopening of an alert.

    Soon after it was resolved its ladder goes on where it was, and a step whose time has passed is
    due at once: whoever lets a branch come and go gains no time. A ladder that was climbed to its
    end begins anew: whoever climbs it in advance gains no silence.
    """
    act = _returned(_opening("reopen", finding, digest, policy, now), alert, now)
    remaining = alert.ladder[alert.escalation_step :]
    is_over = alert.resolved_at is None or now - alert.resolved_at > SAME_EPISODE
    if is_over or not remaining:
        return act
    next_at = alert.next_escalation_at or now + timedelta(seconds=remaining[0][1])
    return replace(
        act,
        step=alert.escalation_step,
        next_escalation_at=max(now, next_at),
        continues_ladder=True,
    )


def _open_again(act: str, alert: AlertFact, now: datetime, reason: str) -> AlertAct:
    remaining = alert.ladder[alert.escalation_step :]
    wait = timedelta(seconds=remaining[0][1]) if remaining else None
    return AlertAct(
        act,
        alert.fingerprint,
        step=alert.escalation_step,
        next_escalation_at=None if wait is None else now + wait,
        reason=reason,
    )


def _escalations(alert: AlertFact, due_at: datetime, now: datetime) -> list[AlertAct]:
    """Return the next step of the ladder when it is due; whether it is sent is not decided here.

    The step after it keeps its distance to this one: after an acknowledgement ran out the ladder
    is climbed in its own rhythm, not all at once.
    """
    remaining = alert.ladder[alert.escalation_step :]
    if due_at > now or not remaining:
        return []
    (role, after), *following = remaining
    distance = timedelta(seconds=max(0, following[0][1] - after)) if following else None
    step = alert.escalation_step + 1
    return [
        AlertAct(
            "escalation_due",
            alert.fingerprint,
            role=role,
            step=step,
            next_escalation_at=None if distance is None else due_at + distance,
            reason=f"unresolved: step {step} of {len(alert.ladder)} is due",
            due_at=due_at,
        )
    ]
