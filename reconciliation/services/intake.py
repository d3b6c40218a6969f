"""Takes webhooks in: verify, dedupe, store, plan, in one transaction; works nothing off.

A delivery becomes one row and one observation of its repository, or joins one that is waiting.
Joining loses nothing: the host moved the ref before it sent the request, and an observation that
was not yet claimed when we looked reads the heads later than that.
"""

import hashlib
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from audit.domain.canonical import canonical_json
from audit.domain.entries import RECONCILER
from governance.selectors.branch_facts import RepositoryRow
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Origin, TaskKind, TaskState
from reconciliation.services.circuit_rows import ask_soon
from reconciliation.services.dead_letters import requeue_redelivered
from reconciliation.services.intake_again import events_text, plan_again
from reconciliation.services.intake_sql import Known, Stored, store
from reconciliation.services.intake_work import Wanted, observation_for, wanted_by
from reconciliation.services.queue import PRIORITY_EVENT, Planned, enqueue
from reconciliation.services.refusals import expect_sweep, refuse, refuse_signature
from reconciliation.services.source_troubles import (
    OLD_SECRET,
    report_trouble,
    resolve_troubles,
)
from reconciliation.services.sources import LiveSource
from reconciliation.services.wake import wake
from reconciliation.webhooks.dialects import delivery_id, event_name, parse
from reconciliation.webhooks.events import Announcement
from reconciliation.webhooks.headers import ENCODED, Headers, content_encoding
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.signatures import verify

_ZLIB_LEVEL = 1
_OVER = frozenset({TaskState.COMPLETED.value, TaskState.DISCARDED.value, None})


_WORDS = {
    "repeated_signature": (
        "two headers of one name carry a signature, and which of them counts is nobody's to guess;"
        " look for a proxy that adds one"
    ),
    ENCODED: (
        "the request says Content-Encoding, so its body is not what was signed; let no proxy"
        " compress or decompress deliveries"
    ),
}


class BadSignature(Exception):
    """The request does not prove that its sender knows the secret; `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        words = _WORDS.get(reason, reason.replace("_", " "))
        super().__init__(f"The signature was refused: {words}.")
        self.reason = reason


class BadBody(Exception):
    """A verified request whose body cannot be understood; it was kept, not queued."""

    def __init__(self, error: MalformedBody, *, delivery: int) -> None:
        super().__init__(str(error))
        self.code = error.code
        self.where = error.where
        self.delivery = delivery


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
        BadBody: verified but not understood; kept without work, a sweep will read the heads.
    """
    secret_id = _verified(source, headers, body, correlation_id=correlation_id, now=now)
    try:
        announcement = _parsed(source.host, headers, body)
    except MalformedBody as error:
        nothing = Announcement(
            event_name(source.host, headers) or "", None, "ignored", error.code, ()
        )
        unread = Wanted(None, "", error.code, is_understood=False)
        kept = store(
            _delivery(source, headers, body, nothing, unread, secret_id, correlation_id, now), None
        )
        refuse(source, error.code, headers, correlation_id=correlation_id, now=now)
        expect_sweep(source, now=now)
        raise BadBody(error, delivery=kept.id) from error
    wanted = wanted_by(
        announcement,
        tenant_id=source.tenant_id,
        host=source.host,
        own_repository=source.repository,
    )
    if wanted.is_about_another:
        refuse(source, "another_repository", headers, correlation_id=correlation_id, now=now)
    run_after = now + coalesce
    delivery = _delivery(
        source, headers, body, announcement, wanted, secret_id, correlation_id, now
    )
    kept = store(
        delivery,
        observation_for(
            wanted, correlation_id=correlation_id, run_after=run_after, announced_at=now
        ),
    )
    if isinstance(kept, Known):
        return _again(kept, delivery, announcement, wanted, run_after=run_after)
    return Received(wanted.outcome.value, wanted.reason, correlation_id, kept.id, kept.task_id)


def _parsed(host: HostKind, headers: Headers, body: bytes) -> Announcement:
    """Return what was announced; a body that is encoded is named as that, not as broken JSON."""
    try:
        return parse(host, headers, body)
    except MalformedBody as error:
        coding = content_encoding(headers)
        if not coding or error.code not in {"not_utf8", "not_json", "bad_form", "empty_body"}:
            raise
        detail = f"the request says Content-Encoding: {coding}; send the body as it is"
        raise MalformedBody(ENCODED, detail) from error


def _verified(
    source: LiveSource, headers: Headers, body: bytes, *, correlation_id: str, now: datetime
) -> str:
    """Return the id of the secret that proves the request."""
    verdict = verify(source.host, headers, body, source.secrets, now_unix=int(now.timestamp()))
    if verdict.ok and verdict.secret_id in source.old_secret_ids:
        # It verified, but with a secret whose overlap is over: refused, and worth an alert.
        refuse(source, "expired_secret", headers, correlation_id=correlation_id, now=now)
        report_trouble(
            source,
            OLD_SECRET,
            reason="its overlap is over",
            correlation_id=correlation_id,
            now=now,
        )
        raise BadSignature("expired_secret")
    if not verdict.ok:
        reason = verdict.reason
        if reason in {"mismatch", "bad_form"} and content_encoding(headers):
            reason = ENCODED
        refuse_signature(source, reason, headers, correlation_id=correlation_id, now=now)
        raise BadSignature(reason)
    if source.in_trouble:
        resolve_troubles(source, correlation_id=correlation_id, now=now)
    return verdict.secret_id or ""


def _delivery(
    source: LiveSource,
    headers: Headers,
    body: bytes,
    announcement: Announcement,
    wanted: Wanted,
    secret_id: str,
    correlation_id: str,
    now: datetime,
) -> Stored:
    digest = hashlib.sha256(body).hexdigest()
    name = announcement.event_name
    return Stored(
        source_id=source.id,
        delivery_id=announcement.delivery_id or delivery_id(source.host, headers, digest, name),
        event=name,
        headers=canonical_json(headers.kept()),
        body_sha256=digest,
        body_bytes=len(body),
        body=zlib.compress(body, _ZLIB_LEVEL),
        secret_id=secret_id,
        outcome=wanted.outcome,
        reason=wanted.reason,
        events=events_text(announcement.events),
        correlation_id=correlation_id,
        received_at=now,
    )


def _again(
    known: Known,
    delivery: Stored,
    announcement: Announcement,
    wanted: Wanted,
    *,
    run_after: datetime,
) -> Received:
    """Answer a delivery id seen before: what was never worked is worked now, else a duplicate.

    Not worked are: what died, what was not understood then, what no governed repository wanted
    then. What still waits is neither: it is on its way.
    """
    if known.task_id is not None and known.task_state == TaskState.DEAD:
        if requeue_redelivered(
            known.task_id,
            actor=RECONCILER,
            act=known.correlation_id,
            reason="its host sent the delivery again",
            run_after=run_after,
            now=delivery.received_at,
        ):
            return _told(known, "accepted", "redelivered after a failure", known.task_id)
    elif not known.is_applied and known.task_state in _OVER:
        task_id = plan_again(
            known.id,
            wanted,
            announcement.events,
            renewed={
                name: getattr(delivery, name)
                for name in ("headers", "body_sha256", "body_bytes", "body", "secret_id")
            },
            correlation_id=known.correlation_id,
            run_after=run_after,
            now=delivery.received_at,
        )
        if task_id is not None:
            return _told(known, "accepted", "redelivered, and understood this time", task_id)
    return _told(known, "duplicate", "seen before", known.task_id)


def _told(known: Known, outcome: str, reason: str, task_id: int | None) -> Received:
    return Received(outcome, reason, known.correlation_id, known.id, task_id)


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
        if origin in {Origin.API, Origin.MANUAL}:
            ask_soon(repository.id, now=now)
        [(task_id, _)] = enqueue([planned], now=now, revive=True)
        wake(now)
    return task_id
