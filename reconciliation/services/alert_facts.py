"""Turns the rows of findings and alerts into the facts that are decided on; decides nothing."""

from datetime import datetime

from audit.domain.canonical import utc_text
from reconciliation.domain.facts import AlertFact, FindingFact
from reconciliation.models import Alert, Finding


def finding_fact(row: Finding) -> FindingFact:
    """Return a finding as it stands."""
    return FindingFact(
        finding_id=row.pk,
        fingerprint=row.fingerprint,
        check_kind=row.check_kind,
        stable_class=row.stable_class,
        state=row.state,
        severity=row.severity,
        alerting=row.alerting,
        rule_ids=tuple(sorted(hit["rule"] for hit in row.rule_hits)),
        reopened_count=row.reopened_count,
        own_state=tuple(
            side["default_branch"]
            for side in (row.expected, row.actual)
            if "default_branch" in side and not row.branch
        ),
    )


def alert_fact(row: Alert) -> AlertFact:
    """Return an alert as it stands; its finding must be loaded."""
    return AlertFact(
        fingerprint=row.finding.fingerprint,
        state=row.state,
        severity=row.severity,
        state_digest=row.state_digest,
        acknowledged_state_digest=row.acknowledged_state_digest,
        acknowledge_expires_at=row.acknowledge_expires_at,
        snoozed_until=row.snoozed_until,
        opened_at=row.opened_at,
        escalation_step=row.escalation_step,
        next_escalation_at=row.next_escalation_at,
        ladder=tuple((step["role"], step["after_seconds"]) for step in row.escalation_ladder),
        snoozed_state_digest=row.snoozed_state_digest,
        answered_moves=row.answered_moves,
        reopened_count=row.reopened_count,
        reopenings=tuple(datetime.fromisoformat(moment) for moment in row.reopenings),
        flapping_until=row.flapping_until,
        resolved_at=row.resolved_at,
    )


def stored_moments(moments: tuple[datetime, ...]) -> list[str]:
    """Return moments as a JSON column holds them; `alert_fact` reads them back."""
    return [utc_text(moment) for moment in moments]
