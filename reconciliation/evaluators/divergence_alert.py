"""Decides what to do about the alerts of one branch; reads facts only.

Source: specification, "Emit alerts for unresolved high-risk divergence".
"""

from datetime import datetime, timedelta

from audit.domain.canonical import sha256_of
from governance.domain.policy import Policy
from reconciliation.domain.facts import AlertFact, AlertFacts, FindingFact
from reconciliation.domain.findings import AlertAct, Decision


def state_digest(facts: AlertFacts, finding: FindingFact) -> str:
    """Return what an acknowledgement is bound to: governed head, observed head, rule hits."""
    return sha256_of([facts.governed_head, facts.observed_head, sorted(finding.rule_ids)])


def evaluate_divergence_alert(facts: AlertFacts, policy: Policy, now: datetime) -> Decision:
    """Return the acts that bring a branch's alerts in line with its findings.

    An acknowledgement holds for the state it was given for: when heads or rules move, it is void
    and the alert speaks again. Alerts are resolved by evidence (their finding is), not by silence.
    """
    alerts = {alert.fingerprint: alert for alert in facts.alerts}
    acts: list[AlertAct] = []
    for finding in sorted(facts.findings, key=lambda one: one.fingerprint):
        acts += _acts_for(facts, finding, alerts.get(finding.fingerprint), policy, now)
    decision = "+".join(sorted({act.act for act in acts})) or "nothing_to_do"
    speaking = any(one.state == "open" and one.alerting for one in facts.findings)
    return Decision(
        decision if len(decision) <= 40 else "several_acts",
        "alerting" if speaking else "quiet",
        clean=True,
        alert_acts=tuple(acts),
    )


def _acts_for(
    facts: AlertFacts,
    finding: FindingFact,
    alert: AlertFact | None,
    policy: Policy,
    now: datetime,
) -> list[AlertAct]:
    digest = state_digest(facts, finding)
    is_due = finding.state == "open" and finding.alerting
    if alert is None:
        return [_opening("open", finding, digest, policy, now)] if is_due else []
    if finding.state == "resolved":
        if alert.state == "resolved":
            return []
        return [AlertAct("resolve", finding.fingerprint, reason="its finding was resolved")]
    if alert.state == "resolved":
        return [_opening("reopen", finding, digest, policy, now)] if is_due else []
    return _acts_while_open(finding, alert, digest, now)


def _acts_while_open(
    finding: FindingFact, alert: AlertFact, digest: str, now: datetime
) -> list[AlertAct]:
    acts: list[AlertAct] = []
    if (finding.severity, digest) != (alert.severity, alert.state_digest):
        acts.append(AlertAct("update", finding.fingerprint, finding.severity, digest))
    if alert.state == "acknowledged":
        if alert.acknowledged_state_digest != digest:
            acts.append(
                _speaking_again(
                    "void_acknowledgement", alert, now, "the state that it was given for has moved"
                )
            )
        elif alert.acknowledge_expires_at is not None and alert.acknowledge_expires_at <= now:
            acts.append(
                _speaking_again("expire_acknowledgement", alert, now, "the acknowledgement ran out")
            )
        return acts
    if alert.state == "snoozed":
        if alert.snoozed_until is not None and alert.snoozed_until <= now:
            acts.append(_speaking_again("end_snooze", alert, now, "the snooze ran out"))
        return acts
    # What is no longer of high risk stays open until it is resolved, but is not raised further.
    if finding.alerting and alert.next_escalation_at is not None:
        acts += _escalations(alert, alert.next_escalation_at, now)
    return acts


def _opening(
    act: str, finding: FindingFact, digest: str, policy: Policy, now: datetime
) -> AlertAct:
    ladder = policy.alerts.escalation
    first = now + timedelta(seconds=ladder[0].after_seconds) if ladder else None
    return AlertAct(act, finding.fingerprint, finding.severity, digest, next_escalation_at=first)


def _speaking_again(act: str, alert: AlertFact, now: datetime, reason: str) -> AlertAct:
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
    """Return the next step of the ladder when it is due.

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
            "escalate",
            alert.fingerprint,
            role=role,
            step=step,
            next_escalation_at=None if distance is None else due_at + distance,
            reason=f"unresolved: step {step} of {len(alert.ladder)}",
        )
    ]
