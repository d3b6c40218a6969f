"""Alerts about webhook sources: refused signatures, and old secrets still in use.

A host that signs with a wrong secret loses every delivery silently: that is drift of another kind,
and it speaks through the same findings and alerts, on the source's repository, with an empty
branch. The source of a whole organisation speaks on one of the repositories that it serves.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db import transaction

from audit.services import append
from governance.selectors.branch_facts import RepositoryRow, repositories_by_id
from governance.selectors.host_repositories import first_repository_of
from reconciliation.domain.findings import FindingDraft, RuleHit
from reconciliation.models import WEBHOOK_SOURCE_CHECK, FindingState
from reconciliation.services.repository_findings import About, open_finding, resolve_finding
from reconciliation.services.sources import (
    LiveSource,
    findings_of_source,
    forget_cached_sources,
)

SIGNATURE_REFUSED = "signature_refused"
OLD_SECRET = "old_secret_in_use"  # noqa: S105 - a class of findings, not a secret

_REOPEN_AT_MOST_EVERY = timedelta(minutes=1)
"""Two hooks of one source, one of them misconfigured: the alert must not flip at their rate."""

_DRAFTS = {
    SIGNATURE_REFUSED: FindingDraft(
        stable_class=SIGNATURE_REFUSED,
        severity="high",
        alerting=True,
        rule_hits=(RuleHit("source.signature_refused", 75),),
        summary="Deliveries to webhook source {source} are refused: {reason}.",
        recommendation=(
            "Compare the secret configured on the host with this source's secrets, and the clocks"
            " of both when the request was stale; until they agree, changes are found by sweeps"
            " only."
        ),
        command="manage.py webhook_source rotate {source}",
        expected=(("signature", "made with a live secret"),),
        actual=(),
    ),
    OLD_SECRET: FindingDraft(
        stable_class=OLD_SECRET,
        severity="high",
        alerting=True,
        rule_hits=(RuleHit("source.old_secret", 70),),
        summary="The host still signs with an old secret of webhook source {source}.",
        recommendation=(
            "Configure the newest secret on the host: what the old one signs is refused since the"
            " overlap ended. If it is lost, make another one."
        ),
        command="manage.py webhook_source rotate {source}",
        expected=(("signature", "made with a live secret"),),
        actual=(),
    ),
}


def report_trouble(
    source: LiveSource, stable_class: str, *, reason: str, correlation_id: str, now: datetime
) -> None:
    """Open (or reopen) the finding of a source's trouble and have its alert raised.

    Costs one look-up while it is open, and reopens it once a minute at most. An organisation's
    source that serves no governed repository yet has nothing to alert on: refusals are counted.
    """
    before = (
        findings_of_source(source.tenant_id, source.id)
        .filter(stable_class=stable_class)
        .values("state", "opened_at", "repository_id")
        .first()
    )
    if before is not None and (
        before["state"] == FindingState.OPEN or now - before["opened_at"] < _REOPEN_AT_MOST_EVERY
    ):
        return
    place = _place(source, before["repository_id"] if before else None)
    if place is None:
        return
    with transaction.atomic():
        append(
            open_finding(
                _about(source, place),
                _draft(source, stable_class, reason),
                reason=reason,
                correlation_id=correlation_id,
                now=now,
            )
        )
    forget_cached_sources()


def resolve_troubles(source: LiveSource, *, correlation_id: str, now: datetime) -> None:
    """Resolve what is open about a source: a delivery just verified with a live secret."""
    rows = findings_of_source(source.tenant_id, source.id).filter(state=FindingState.OPEN)
    with transaction.atomic():
        entries = []
        for stable_class, repository_id in rows.order_by("id").values_list(
            "stable_class", "repository_id"
        ):
            entries += resolve_finding(
                _about(source, repositories_by_id([repository_id])[repository_id]),
                stable_class,
                resolution="a delivery verified",
                correlation_id=correlation_id,
                now=now,
            )
        append(entries)
    forget_cached_sources()


def _about(source: LiveSource, place: RepositoryRow) -> About:
    return About(place, "webhook_source", str(source.id), WEBHOOK_SOURCE_CHECK)


def _place(source: LiveSource, known: int | None) -> RepositoryRow | None:
    if source.repository is not None:
        return source.repository
    repository_id = known or first_repository_of(
        tenant_id=source.tenant_id, host_kind=source.host.value
    )
    return repositories_by_id([repository_id])[repository_id] if repository_id else None


def _draft(source: LiveSource, stable_class: str, reason: str) -> FindingDraft:
    template = _DRAFTS[stable_class]
    told = {"source": source.id, "reason": reason.replace("_", " ")}
    return replace(
        template,
        rule_hits=tuple(replace(hit, inputs=(("reason", reason),)) for hit in template.rule_hits),
        summary=template.summary.format(**told),
        command=template.command.format(**told),
        actual=(("reason", reason), ("source", str(source.id))),
    )
