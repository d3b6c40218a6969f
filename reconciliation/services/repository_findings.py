"""Findings about a whole repository, with their alerts: what no check of a branch can find.

Each function returns the audit entries to append. Appending is the caller's last step: a person who
acknowledges an alert locks it before the chain's head, and so must we.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import connection

from audit.domain.canonical import sha256_of
from audit.domain.entries import RECONCILER, Entry
from audit.setwise import insert_rows
from governance.selectors.branch_facts import RepositoryRow
from governance.services.policies import load_policies
from reconciliation.domain.findings import AlertAct, FindingDraft
from reconciliation.domain.identity import finding_fingerprint
from reconciliation.models import Alert, AlertState, Finding, FindingState
from reconciliation.services.alerts import perform_alert_acts
from reconciliation.services.finding_rows import FINDING_COLUMNS, FINDING_UPSERT


@dataclass(frozen=True, slots=True)
class About:
    """What a finding is about: its repository, and the object that the trail names."""

    place: RepositoryRow
    object_kind: str
    object_id: str
    check: str

    def fingerprint(self, stable_class: str) -> str:
        """Return what makes it the same finding when it returns."""
        told_apart = stable_class
        if self.object_kind != "repository":
            told_apart = f"{stable_class} {self.object_id}"
        return finding_fingerprint(
            tenant=self.place.tenant,
            repo=self.place.slug,
            branch="",
            check_kind=self.check,
            stable_class=told_apart,
        )

    def entry(self, action: str, reason: str, *, correlation_id: str, now: datetime) -> Entry:
        """Return an audit entry about it."""
        return Entry(
            tenant=self.place.tenant,
            at=now,
            actor=RECONCILER,
            action=action,
            object_kind=self.object_kind,
            object_id=self.object_id,
            correlation_id=correlation_id,
            reason=reason,
            workspace=self.place.workspace,
            repo=self.place.slug,
        )


def open_finding(
    about: About,
    draft: FindingDraft,
    *,
    reason: str,
    correlation_id: str,
    now: datetime,
    state: tuple[str | None, str | None] = (None, None),
) -> list[Entry]:
    """Open a finding, or reopen it, and raise its alert; call it inside a transaction.

    `state` is what an acknowledgement is bound to besides the rules: what governance expects, and
    what is. When it moved, an acknowledgement or a snooze of the alert ends.
    """
    fingerprint = about.fingerprint(draft.stable_class)
    row = _row(about, draft, fingerprint, correlation_id=correlation_id, now=now)
    insert_rows(
        connection,
        Finding._meta.db_table,
        FINDING_COLUMNS,
        [tuple(row[name] for name in FINDING_COLUMNS)],
        on_conflict=FINDING_UPSERT,
    )
    policy = load_policies([about.place.id]).for_branch(about.place.id, "")
    ladder = [(step.role, step.after_seconds) for step in policy.alerts.escalation]
    opening = AlertAct(
        "open",
        fingerprint,
        draft.severity,
        sha256_of([*state, sorted(hit.rule for hit in draft.rule_hits)]),
        next_escalation_at=now + timedelta(seconds=ladder[0][1]) if ladder else None,
    )
    # At once and without a task: a request that was refused must never become work.
    return [
        about.entry(
            "finding.open",
            f"{draft.stable_class}: {reason}",
            correlation_id=correlation_id,
            now=now,
        ),
        *perform_alert_acts(
            [
                opening,
                replace(opening, act="reopen"),
                replace(opening, act="update"),
                *_no_longer_answered(fingerprint, opening),
            ],
            correlation_id=correlation_id,
            ladder=ladder,
            entry=about.entry("alert", "", correlation_id=correlation_id, now=now),
            now=now,
        ),
    ]


def resolve_finding(
    about: About, stable_class: str, *, resolution: str, correlation_id: str, now: datetime
) -> list[Entry]:
    """Resolve an open finding and its alert by evidence; nothing when it is not open."""
    fingerprint = about.fingerprint(stable_class)
    if not Finding.objects.filter(fingerprint=fingerprint, state=FindingState.OPEN).update(
        state=FindingState.RESOLVED, resolved_at=now, resolution=resolution
    ):
        return []
    return [
        about.entry("finding.resolve", resolution, correlation_id=correlation_id, now=now),
        *perform_alert_acts(
            [AlertAct("resolve", fingerprint, reason=resolution)],
            correlation_id=correlation_id,
            ladder=[],
            entry=about.entry("alert", "", correlation_id=correlation_id, now=now),
            now=now,
        ),
    ]


def _no_longer_answered(fingerprint: str, opening: AlertAct) -> list[AlertAct]:
    """Return the end of an answer that was given to another state than the one there is now."""
    alert = Alert.objects.filter(finding__fingerprint=fingerprint).first()
    if alert is None:
        return []
    reason = "the state that it was given for has moved"
    answered = alert.acknowledged_state_digest
    if alert.state == AlertState.ACKNOWLEDGED and answered != opening.state_digest:
        return [replace(opening, act="void_acknowledgement", reason=reason)]
    if alert.state == AlertState.SNOOZED and alert.state_digest != opening.state_digest:
        return [replace(opening, act="end_snooze", reason=reason)]
    return []


def _row(
    about: About, draft: FindingDraft, fingerprint: str, *, correlation_id: str, now: datetime
) -> dict[str, object]:
    hits = [
        {"rule": hit.rule, "weight": hit.weight, "inputs": dict(hit.inputs)}
        for hit in draft.rule_hits
    ]
    return {
        "repository_id": about.place.id,
        "branch": "",
        "fingerprint": fingerprint,
        "check_kind": about.check,
        "stable_class": draft.stable_class,
        "state": FindingState.OPEN,
        "severity": draft.severity,
        "alerting": draft.alerting,
        "rule_hits": json.dumps(hits),
        "expected": json.dumps(dict(draft.expected)),
        "actual": json.dumps(dict(draft.actual)),
        "summary": draft.summary,
        "recommendation": draft.recommendation,
        "command": draft.command,
        "run_id": draft.run_id,
        "lease_id": draft.lease_id,
        "evaluation_id": None,
        "correlation_id": correlation_id,
        "clean_checks": 0,
        "reopened_count": 0,
        "opened_at": now,
        "last_seen_at": now,
        "resolution": "",
    }
