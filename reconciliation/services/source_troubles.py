"""Alerts about webhook sources: refused signatures, and old secrets still in use.

A host that signs with a wrong secret loses every delivery silently: that is drift of another kind,
and it speaks through the same findings and alerts, on the repository, with an empty branch.
"""

from datetime import datetime, timedelta

from django.db import connection, transaction

from audit.domain.canonical import sha256_of
from audit.domain.entries import RECONCILER, Entry
from audit.services import append, append_one
from audit.setwise import insert_rows
from governance.selectors.branch_facts import RepositoryRow
from governance.services.policies import load_policies
from reconciliation.domain.findings import AlertAct
from reconciliation.domain.identity import finding_fingerprint
from reconciliation.models import Finding, FindingState
from reconciliation.services.alerts import perform_alert_acts
from reconciliation.services.apply.findings import FINDING_COLUMNS, FINDING_UPSERT
from reconciliation.services.sources import LiveSource

CHECK = "webhook_source"
SIGNATURE_REFUSED = "signature_refused"
OLD_SECRET = "old_secret_in_use"  # noqa: S105 - a class of findings, not a secret

_WORDS = {
    SIGNATURE_REFUSED: (
        "Deliveries to webhook source {source} are refused: {reason}.",
        "Compare the secret configured on the host with this source's secrets; until they agree,"
        " changes are found by sweeps only.",
        "manage.py webhook_source rotate {source}",
        "source.signature_refused",
        75,
        "high",
    ),
    OLD_SECRET: (
        "The host still signs with an old secret of webhook source {source}.",
        "Configure the newest secret on the host before the old one is refused.",
        "manage.py webhook_source list",
        "source.old_secret",
        70,
        "high",
    ),
}


def report_trouble(
    source: LiveSource, stable_class: str, *, reason: str, correlation_id: str, now: datetime
) -> None:
    """Open (or reopen) the finding of a source's trouble and have its alert raised.

    A source of a whole organisation has no repository to alert on: its refusals are counted only.
    """
    if source.repository is None:
        return
    place = source.repository
    fingerprint = _fingerprint(source, place, stable_class)
    summary, recommendation, command, rule, weight, severity = _WORDS[stable_class]
    hits = f'[{{"rule": "{rule}", "weight": {weight}, "inputs": {{"reason": "{reason}"}}}}]'
    row = {
        "repository_id": place.id,
        "branch": "",
        "fingerprint": fingerprint,
        "check_kind": CHECK,
        "stable_class": stable_class,
        "state": FindingState.OPEN,
        "severity": severity,
        "alerting": True,
        "rule_hits": hits,
        "expected": '{"signature": "made with a live secret"}',
        "actual": f'{{"reason": "{reason}", "source": "{source.id}"}}',
        "summary": summary.format(source=source.id, reason=reason.replace("_", " ")),
        "recommendation": recommendation,
        "command": command.format(source=source.id),
        "run_id": None,
        "lease_id": None,
        "evaluation_id": None,
        "correlation_id": correlation_id,
        "clean_checks": 0,
        "reopened_count": 0,
        "opened_at": now,
        "last_seen_at": now,
        "resolution": "",
    }
    with transaction.atomic():
        insert_rows(
            connection,
            Finding._meta.db_table,
            FINDING_COLUMNS,
            [tuple(row[name] for name in FINDING_COLUMNS)],
            on_conflict=FINDING_UPSERT,
        )
        digest = sha256_of([None, None, [rule]])
        policy = load_policies([place.id]).for_branch(place.id, "")
        ladder = [(step.role, step.after_seconds) for step in policy.alerts.escalation]
        first = now + timedelta(seconds=ladder[0][1]) if ladder else None
        _act(
            source,
            [
                AlertAct(act, fingerprint, severity, digest, next_escalation_at=first)
                for act in ("open", "reopen")
            ],
            ladder,
            correlation_id,
            now,
        )
        _record(source, "finding.open", f"{stable_class}: {reason}", correlation_id, now)


def resolve_trouble(source: LiveSource, *, correlation_id: str, now: datetime) -> None:
    """Resolve the refused-signature finding of a source: a delivery just verified."""
    if source.repository is None:
        return
    with transaction.atomic():
        resolved = Finding.objects.filter(
            repository_id=source.repository.id,
            branch="",
            check_kind=CHECK,
            stable_class=SIGNATURE_REFUSED,
            state=FindingState.OPEN,
            actual__source=str(source.id),
        ).update(
            state=FindingState.RESOLVED,
            resolved_at=now,
            resolution="a delivery verified",
        )
        if resolved:
            fingerprint = _fingerprint(source, source.repository, SIGNATURE_REFUSED)
            act = AlertAct("resolve", fingerprint, reason="a delivery verified")
            _act(source, [act], [], correlation_id, now)
            _record(source, "finding.resolve", "a delivery verified", correlation_id, now)


def _act(
    source: LiveSource,
    acts: list[AlertAct],
    ladder: list[tuple[str, int]],
    correlation_id: str,
    now: datetime,
) -> None:
    # At once and without a task: a request that was refused must never become work.
    append(
        perform_alert_acts(
            acts,
            correlation_id=correlation_id,
            ladder=ladder,
            entry=_entry(source, "alert", "", correlation_id, now),
            now=now,
        )
    )


def _fingerprint(source: LiveSource, place: RepositoryRow, stable_class: str) -> str:
    return finding_fingerprint(
        tenant=place.tenant,
        repo=place.slug,
        branch="",
        check_kind=CHECK,
        stable_class=f"{stable_class} {source.id}",
    )


def _record(
    source: LiveSource, action: str, reason: str, correlation_id: str, now: datetime
) -> None:
    append_one(_entry(source, action, reason, correlation_id, now))


def _entry(
    source: LiveSource, action: str, reason: str, correlation_id: str, now: datetime
) -> Entry:
    place = source.repository
    return Entry(
        tenant=source.tenant,
        at=now,
        actor=RECONCILER,
        action=action,
        object_kind="webhook_source",
        object_id=str(source.id),
        correlation_id=correlation_id,
        reason=reason,
        workspace=place.workspace if place else "",
        repo=place.slug if place else "",
    )
