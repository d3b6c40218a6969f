"""Webhook sources and their secrets: made, rotated with an overlap, revoked, looked up fast."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet

from audit.domain.entries import Actor, Entry
from audit.services import append_one
from governance.domain.encryption import WrongKey
from governance.selectors.branch_facts import RepositoryRow, repositories_by_id
from reconciliation.models import (
    WEBHOOK_SOURCE_CHECK,
    Finding,
    FindingState,
    WebhookSecret,
    WebhookSource,
)
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.matching import Secret
from reconciliation.webhooks.standard_webhooks import key_of

CACHE_SECONDS = 5
"""The check that findings about sources belong to."""
DEFAULT_OVERLAP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class LiveSource:
    """A source as the receiver needs it: whose it is, how it speaks, which secrets verify."""

    id: int
    tenant_id: int
    tenant: str
    host: HostKind
    repository: RepositoryRow | None
    secrets: tuple[Secret, ...]
    old_secret_ids: frozenset[str]
    """Secrets past their overlap; they verify no more, but their use is worth an alert."""
    in_trouble: bool
    """A finding about this source is open."""


class SourceNotFound(Exception):
    """No live source has this token."""


class SourceRevoked(ValueError):
    """The source was revoked: its address answers 404, whatever its secret; make another one."""


_cache: dict[str, tuple[float, LiveSource]] = {}


def live_source(token: str, *, now: datetime) -> LiveSource:
    """Return the source of a path token, at most 5 seconds old.

    A rotation is therefore seen by every process within 5 seconds; its overlap is far longer.

    Raises:
        SourceNotFound: unknown or revoked.
        WrongKey: a live secret cannot be read; a rotation without overlap is the way out.
    """
    cached = _cache.get(token)
    if cached is not None and cached[0] > time.monotonic():
        return cached[1]
    row = (
        WebhookSource.objects.select_related("tenant")
        .filter(token=token, revoked_at__isnull=True)
        .first()
    )
    if row is None:
        _cache.pop(token, None)
        raise SourceNotFound("No webhook source has this address; it may have been revoked.")
    secrets = _secrets(row, now=now)
    repository = (
        repositories_by_id([row.repository_id])[row.repository_id] if row.repository_id else None
    )
    source = LiveSource(
        id=row.pk,
        tenant_id=row.tenant_id,
        tenant=row.tenant.slug,
        host=HostKind(row.host_kind),
        repository=repository,
        secrets=tuple(Secret(str(secret.pk), secret.value) for secret in secrets),
        old_secret_ids=frozenset(
            str(secret.pk)
            for secret in secrets
            if secret.expires_at is not None and secret.expires_at <= now
        ),
        in_trouble=findings_of_source(row.tenant_id, row.pk)
        .filter(state=FindingState.OPEN)
        .exists(),
    )
    if len(_cache) > 10_000:
        _cache.clear()
    _cache[token] = (time.monotonic() + CACHE_SECONDS, source)
    return source


def _secrets(source: WebhookSource, *, now: datetime) -> list[WebhookSecret]:
    rows = WebhookSecret.objects.filter(source=source, revoked_at__isnull=True).order_by(
        "-created_at", "-id"
    )
    try:
        return list(rows)
    except WrongKey:
        # One by one: those past their overlap are wanted for an alert only.
        return [row for row in rows.defer("value") if not _is_over_and_unreadable(row, now=now)]


def _is_over_and_unreadable(row: WebhookSecret, *, now: datetime) -> bool:
    try:
        return not row.value
    except WrongKey:
        if row.expires_at is None or row.expires_at > now:
            raise
        return True


def findings_of_source(tenant_id: int, source_id: int) -> QuerySet[Finding]:
    """Return what was ever found about a source; each class of it has one row."""
    return Finding.objects.filter(
        repository__tenant_id=tenant_id,
        branch="",
        check_kind=WEBHOOK_SOURCE_CHECK,
        actual__source=str(source_id),
    )


def forget_cached_sources() -> None:
    """Drop what this process remembers of sources; for tests and after a rotation."""
    _cache.clear()


@transaction.atomic
def create_source(
    *,
    tenant_id: int,
    tenant: str,
    repository_id: int | None,
    host_kind: str,
    name: str,
    token: str,
    secret: str,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> WebhookSource:
    """Create a source with its first secret; token and secret are unguessable and made outside.

    Raises:
        ValueError: a secret that would verify nothing, or a short token.
    """
    _refuse_useless(secret)
    if len(token) < 24:
        raise ValueError("a source needs a token of at least 24 characters")
    row = WebhookSource.objects.create(
        tenant_id=tenant_id,
        repository_id=repository_id,
        host_kind=host_kind,
        name=name,
        token=token,
        created_at=now,
    )
    WebhookSecret.objects.create(source=row, value=secret, created_at=now)
    _record(row, tenant, "webhook_source.create", actor, correlation_id, now)
    return row


@transaction.atomic
def rotate_secret(
    source: WebhookSource,
    *,
    secret: str,
    overlap: timedelta,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> None:
    """Add a new secret; the older ones stay live for `overlap`, so that no delivery is refused.

    Raises:
        ValueError: a secret that would verify nothing, or a negative overlap.
        SourceRevoked: nothing was changed.
    """
    _refuse_useless(secret)
    if overlap < timedelta(0):
        raise ValueError("an overlap cannot be negative: 0 ends the older secrets at once")
    if source.revoked_at is not None:
        raise SourceRevoked(f"webhook source {source.pk} is revoked; make another one")
    source.secrets.filter(
        Q(expires_at__isnull=True) | Q(expires_at__gt=now + overlap), revoked_at__isnull=True
    ).update(expires_at=now + overlap)
    WebhookSecret.objects.create(source=source, value=secret, created_at=now)
    _record(source, source.tenant.slug, "webhook_source.rotate", actor, correlation_id, now)
    forget_cached_sources()


@transaction.atomic
def revoke_source(
    source: WebhookSource, *, actor: Actor, correlation_id: str, now: datetime
) -> None:
    """End a source: its address answers 404 from now on (within 5 seconds in other processes)."""
    if not WebhookSource.objects.filter(pk=source.pk, revoked_at__isnull=True).update(
        revoked_at=now
    ):
        return
    _record(source, source.tenant.slug, "webhook_source.revoke", actor, correlation_id, now)
    forget_cached_sources()


def _refuse_useless(secret: str) -> None:
    if not secret.strip():
        raise ValueError("a secret cannot be empty: it would verify nothing")
    if not key_of(Secret("", secret)):
        raise ValueError("a secret that begins with whsec_ must go on in base64")


def _record(
    row: WebhookSource,
    tenant: str,
    action: str,
    actor: Actor,
    correlation_id: str,
    now: datetime,
) -> None:
    append_one(
        Entry(
            tenant=tenant,
            at=now,
            actor=actor,
            action=action,
            object_kind="webhook_source",
            object_id=str(row.pk),
            correlation_id=correlation_id,
            data={"host_kind": row.host_kind, "name": row.name},
        )
    )
