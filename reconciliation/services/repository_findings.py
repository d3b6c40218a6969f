"""Findings about a whole repository, with their alerts: what no check of a branch can find.

Each function returns the audit entries to append. Appending is the caller's last step: a person who
acknowledges an alert locks it before the chain's head, and so must we.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection

from audit.domain.entries import RECONCILER, Entry
from audit.setwise import insert_rows
from governance.selectors.branch_facts import RepositoryRow
from governance.services.policies import load_policies
from reconciliation.domain.facts import AlertFacts, Place
from reconciliation.domain.findings import FindingDraft
from reconciliation.domain.identity import finding_fingerprint
from reconciliation.evaluators.divergence_alert import evaluate_divergence_alert
from reconciliation.models import Finding, FindingState
from reconciliation.services.alert_facts import alert_fact, finding_fact
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
) -> list[Entry]:
    """Open a finding, or reopen it, and raise its alert; call it inside a transaction."""
    fingerprint = about.fingerprint(draft.stable_class)
    row = _row(about, draft, fingerprint, correlation_id=correlation_id, now=now)
    insert_rows(
        connection,
        Finding._meta.db_table,
        FINDING_COLUMNS,
        [tuple(row[name] for name in FINDING_COLUMNS)],
        on_conflict=FINDING_UPSERT,
    )
    # At once and without a task: a request that was refused must never become work.
    return [
        about.entry(
            "finding.open",
            f"{draft.stable_class}: {reason}",
            correlation_id=correlation_id,
            now=now,
        ),
        *_bring_alert_in_line(about, fingerprint, correlation_id=correlation_id, now=now),
    ]


def resolve_finding(
    about: About, stable_class: str, *, resolution: str, correlation_id: str, now: datetime
) -> list[Entry]:
    """Resolve an open finding and its alert by evidence; nothing when it is not open.

    A flapping alert stays open: a tick resolves it once it has been quiet for long enough.
    """
    fingerprint = about.fingerprint(stable_class)
    if not Finding.objects.filter(fingerprint=fingerprint, state=FindingState.OPEN).update(
        state=FindingState.RESOLVED,
        resolved_at=now,
        resolution=resolution,
        recommendation=f"Nothing to do: {resolution}.",
        command="",
    ):
        return []
    return [
        about.entry("finding.resolve", resolution, correlation_id=correlation_id, now=now),
        *_bring_alert_in_line(
            about, fingerprint, resolution=resolution, correlation_id=correlation_id, now=now
        ),
    ]


def _bring_alert_in_line(
    about: About, fingerprint: str, *, resolution: str = "", correlation_id: str, now: datetime
) -> list[Entry]:
    finding = Finding.objects.select_related("alert").get(fingerprint=fingerprint)
    alert = alert_fact(finding.alert) if hasattr(finding, "alert") else None
    policy = load_policies([about.place.id]).for_branch(about.place.id, "")
    # No head is part of the state: an answer holds until the rules, or the finding's own differ.
    facts = AlertFacts(
        place=Place(about.place.tenant, about.place.workspace, about.place.slug, ""),
        governed_head=None,
        observed_head=None,
        findings=(finding_fact(finding),),
        alerts=(alert,) if alert else (),
    )
    acts = evaluate_divergence_alert(facts, policy, now).alert_acts
    return perform_alert_acts(
        [replace(act, reason=resolution) if act.act == "resolve" else act for act in acts],
        correlation_id=correlation_id,
        ladder=[(step.role, step.after_seconds) for step in policy.alerts.escalation],
        entry=about.entry("alert", "", correlation_id=correlation_id, now=now),
        now=now,
    )


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
