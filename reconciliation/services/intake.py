"""Takes webhooks in: verify, dedupe, store, plan, in one transaction; works nothing off.

A delivery becomes one row and one observation of its repository, or joins one that is waiting.
Joining loses nothing: the host moved the ref before it sent the request, and an observation that
was not yet claimed when we looked reads the heads later than that.
"""

import hashlib
import json
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from audit.domain.canonical import canonical_json
from governance.selectors.branch_facts import (
    RepositoryRow,
    repositories_by_id,
    repository_of_host,
)
from reconciliation.domain.identity import announcement_subject
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import (
    DeliveryOutcome,
    Origin,
    ReconciliationTask,
    TaskKind,
    TaskState,
    WebhookDelivery,
    WebhookRefusal,
)
from reconciliation.services.intake_sql import Stored, store
from reconciliation.services.queue import PRIORITY_EVENT, Planned, enqueue
from reconciliation.services.source_troubles import (
    OLD_SECRET,
    SIGNATURE_REFUSED,
    report_trouble,
    resolve_trouble,
)
from reconciliation.services.sources import LiveSource, forget_cached_sources
from reconciliation.services.wake import wake
from reconciliation.webhooks.dialects import delivery_id, event_name, parse
from reconciliation.webhooks.events import Announcement, EventKind, NormalisedEvent
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.signatures import verify

_ZLIB_LEVEL = 1
_QUIET = timedelta(hours=1)
_SIGNATURE_REASONS = frozenset(
    {
        "empty_signature",
        "legacy_only",
        "malformed_signature",
        "mismatch",
        "missing_signature",
        "no_secret",
        "no_signing_secret",
    }
)


class BadSignature(Exception):
    """The request does not prove that its sender knows the secret; `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The signature was refused: {reason.replace('_', ' ')}.")
        self.reason = reason


class BadBody(Exception):
    """A verified request whose body cannot be understood; it was recorded, not queued."""

    def __init__(self, error: MalformedBody) -> None:
        super().__init__(str(error))
        self.code = error.code
        self.where = error.where


@dataclass(frozen=True, slots=True)
class Received:
    """What the host is told: accepted, ignored or duplicate, and the ids to ask about."""

    outcome: str
    reason: str
    correlation_id: str
    delivery: int
    task: int | None


def receive(
    source: LiveSource,
    headers: Headers,
    body: bytes,
    *,
    correlation_id: str,
    coalesce: timedelta,
    now: datetime,
) -> Received:
    """Verify a request and store it with the work that it asks for.

    Raises:
        BadSignature: refused and counted; nothing else is stored.
        BadBody: verified but not understood; stored without work, the sweep will read the heads.
    """
    verdict = verify(source.host, headers, body, source.secrets, now_unix=int(now.timestamp()))
    if verdict.ok and verdict.secret_id in source.old_secret_ids:
        # It verified, but with a secret whose overlap is over: refused, and worth an alert.
        report_trouble(
            source,
            OLD_SECRET,
            reason="its overlap is over",
            correlation_id=correlation_id,
            now=now,
        )
        refuse(source, "expired_secret", headers, correlation_id=correlation_id, now=now)
        raise BadSignature("expired_secret")
    if not verdict.ok:
        refuse(source, verdict.reason, headers, correlation_id=correlation_id, now=now)
        raise BadSignature(verdict.reason)
    if source.in_trouble:
        resolve_trouble(source, correlation_id=correlation_id, now=now)
        forget_cached_sources()
    digest = hashlib.sha256(body).hexdigest()
    try:
        announcement = parse(source.host, headers, body)
    except MalformedBody as error:
        refuse(source, error.code, headers, correlation_id=correlation_id, now=now)
        raise BadBody(error) from error
    repository = _repository_of(source, announcement)
    work = _work_of(announcement, repository)
    identity = announcement.delivery_id or delivery_id(
        source.host, headers, digest, announcement.event_name
    )
    stored = store(
        Stored(
            source_id=source.id,
            delivery_id=identity,
            event=announcement.event_name,
            headers=canonical_json(headers.kept()),
            body_sha256=digest,
            body_bytes=len(body),
            body=zlib.compress(body, _ZLIB_LEVEL),
            secret_id=verdict.secret_id or "",
            outcome=DeliveryOutcome.ACCEPTED if work else DeliveryOutcome.IGNORED,
            reason=_reason_of(announcement, repository),
            events=json.dumps(
                [event.as_json() for event in announcement.events], ensure_ascii=False
            ),
            correlation_id=correlation_id,
            received_at=now,
        ),
        _planned(work, repository, correlation_id, run_after=now + coalesce, now=now)
        if work and repository
        else None,
    )
    if stored is None:
        return _again(source, identity, coalesce=coalesce, now=now)
    outcome = DeliveryOutcome.ACCEPTED if work else DeliveryOutcome.IGNORED
    return Received(
        outcome=outcome.value,
        reason=_reason_of(announcement, repository),
        correlation_id=correlation_id,
        delivery=stored[0],
        task=stored[1],
    )


def refuse(
    source: LiveSource, reason: str, headers: Headers, *, correlation_id: str, now: datetime
) -> None:
    """Count a refused request by source and reason; a flood of them adds no rows."""
    told = {
        "last_at": now,
        "last_event": (event_name(source.host, headers) or "")[:100],
        "last_correlation_id": correlation_id,
    }
    key = {"source_id": source.id, "reason": reason[:40]}
    known = WebhookRefusal.objects.filter(**key)
    first_in_a_while = not known.filter(last_at__gt=now - _QUIET).exists()
    if first_in_a_while and reason in _SIGNATURE_REASONS:
        report_trouble(
            source,
            SIGNATURE_REFUSED,
            reason=reason,
            correlation_id=correlation_id,
            now=now,
        )
        forget_cached_sources()
    if not known.update(count=F("count") + 1, **told):
        WebhookRefusal.objects.bulk_create(
            [WebhookRefusal(**key, count=0, first_at=now, **told)], ignore_conflicts=True
        )
        WebhookRefusal.objects.filter(**key).update(count=F("count") + 1, **told)


def _again(source: LiveSource, identity: str, *, coalesce: timedelta, now: datetime) -> Received:
    """Answer a delivery id seen before: work that failed is worked again, else a duplicate."""
    with transaction.atomic():
        row = WebhookDelivery.objects.select_related("task").get(
            source_id=source.id, delivery_id=identity
        )
        task = row.task
        retried = task is not None and bool(
            ReconciliationTask.objects.filter(pk=task.pk, state=TaskState.DEAD).update(
                state=TaskState.QUEUED,
                series=F("series") + 1,
                attempts=0,
                run_after=now + coalesce,
                completed_at=None,
            )
        )
        if retried:
            wake(now + coalesce)
    return Received(
        outcome="accepted" if retried else "duplicate",
        reason="redelivered after a failure" if retried else "seen before",
        correlation_id=row.correlation_id,
        delivery=row.pk,
        task=row.task_id,
    )


def _repository_of(source: LiveSource, announcement: Announcement) -> RepositoryRow | None:
    if source.repository is not None:
        return source.repository
    for event in announcement.events:
        if event.repository.host_id:
            found = repository_of_host(
                tenant_id=source.tenant_id,
                host_kind=source.host.value,
                host_repository_id=event.repository.host_id,
            )
            if found is not None:
                return repositories_by_id([found])[found]
    return None


def _work_of(announcement: Announcement, repository: RepositoryRow | None) -> str:
    """Return the subject of the observation that is needed, or the empty string for none."""
    if repository is None or not repository.is_active:
        return ""
    moves = [
        (event.branch, event.before, event.after)
        for event in announcement.events
        if event.branch and event.kind in {EventKind.PUSH, EventKind.REF_DELETE}
    ]
    others = sorted({_subject_of(event) for event in announcement.events} - {""})
    parts = ([announcement_subject(moves)] if moves else []) + others
    return " ".join(parts)[:500]


def _subject_of(event: NormalisedEvent) -> str:
    request = event.pull_request
    if request is not None:
        return (
            f"pull_request #{request.number} {request.step.value} {request.head_sha or '-'}"
            f" {request.base_branch or '-'}"
        )
    if event.status is not None:
        return f"status {event.status.sha} {event.status.context} {event.status.state}"
    if event.change is not None:
        return f"repository {event.change.action} {event.change.new_full_name or '-'}"
    if event.kind is EventKind.REF_CREATE and event.branch:
        return f"create {event.branch}"
    return ""


def _reason_of(announcement: Announcement, repository: RepositoryRow | None) -> str:
    if announcement.outcome == "accepted" and repository is None:
        return "no governed repository has this host id"
    return announcement.reason


def _planned(
    subject: str,
    repository: RepositoryRow,
    correlation_id: str,
    *,
    run_after: datetime,
    now: datetime,
) -> Planned:
    return Planned(
        item=WorkItem(
            tenant=repository.tenant,
            workspace=repository.workspace,
            repo=repository.slug,
            branch="",
            task_kind=TaskKind.OBSERVE_REFS,
            about=subject,
        ),
        repository_id=repository.id,
        correlation_id=correlation_id,
        origin=Origin.WEBHOOK,
        priority=PRIORITY_EVENT,
        run_after=run_after,
        announced_at=now,
    )


def request_observation(
    repository: RepositoryRow,
    *,
    about: str,
    origin: str,
    correlation_id: str,
    now: datetime,
    run_id: str | None = None,
) -> int:
    """Queue one observation of a repository outside of a sweep; return the task's id."""
    planned = Planned(
        item=WorkItem(
            tenant=repository.tenant,
            workspace=repository.workspace,
            repo=repository.slug,
            branch="",
            task_kind=TaskKind.OBSERVE_REFS,
            about=about,
            run_id=run_id,
        ),
        repository_id=repository.id,
        correlation_id=correlation_id,
        origin=origin,
        priority=PRIORITY_EVENT,
        run_after=now,
        announced_at=now,
    )
    with transaction.atomic():
        [(task_id, _)] = enqueue([planned], now=now, revive=True)
        wake(now)
    return task_id
