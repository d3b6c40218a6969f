"""Who may see and do what: issues API tokens, recognises their bearers, reads memberships."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import DatabaseError, transaction

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind, Entry
from audit.services import append_one
from governance.domain.runs import actor_name
from governance.models import ApiToken, Membership, Role, Scope, Tenant

logger = logging.getLogger("reconciler.access")

TOKEN_PREFIX = "rcl_"  # noqa: S105 - a recognisable prefix, not a secret
_LAST_USED_RESOLUTION = timedelta(minutes=1)

_ROLE_SCOPES: dict[str, frozenset[str]] = {
    Role.VIEWER: frozenset({Scope.READ}),
    Role.OPERATOR: frozenset({Scope.READ, Scope.ALERTS, Scope.TASKS, Scope.AUDIT}),
    Role.ADMIN: frozenset(Scope.values),
}


class InvalidToken(Exception):
    """No live token has this value: it is unknown, expired or revoked."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token; `clear` is shown once and stored nowhere."""

    row: ApiToken
    clear: str


@transaction.atomic
def issue_token(
    *,
    name: str,
    scopes: Sequence[str],
    tenant: Tenant | None,
    lifetime: timedelta,
    random_part: str,
    actor: Actor,
    correlation_id: str,
    now: datetime,
    run_actor: str = "",
    granted_actors: Sequence[str] = (),
) -> IssuedToken:
    """Issue a token; `random_part` is at least 32 unguessable characters made by the caller.

    With the scope `runs` it records runs of `run_actor`, or of an actor of the token's own name
    when that is empty, and of the `granted_actors` besides.

    Raises:
        ValueError: too short a random part, an unknown scope, or none; actors without the scope
            `runs`, or one that is no actor.
    """
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        raise ValueError(f"scopes must be some of {', '.join(Scope.values)}; got {unknown}")
    if len(random_part) < 32:
        raise ValueError("the random part must have at least 32 characters")
    granted = sorted(set(granted_actors))
    if (run_actor or granted) and Scope.RUNS not in scopes:
        raise ValueError("only a token with the scope runs records runs of an actor")
    for one in {run_actor, *granted} - {""}:
        actor_name(one)
    clear = TOKEN_PREFIX + random_part
    row = ApiToken.objects.create(
        tenant=tenant,
        name=name,
        prefix=clear[:10],
        digest=_digest(clear),
        scopes=sorted(scopes),
        actor=run_actor,
        granted_actors=granted,
        created_at=now,
        expires_at=now + lifetime,
    )
    append_one(
        Entry(
            tenant=tenant.slug if tenant else "",
            at=now,
            actor=actor,
            action="api_token.issue",
            object_kind="api_token",
            object_id=str(row.pk),
            correlation_id=correlation_id,
            data={
                "name": name,
                "prefix": row.prefix,
                "scopes": sorted(scopes),
                "actor": run_actor,
                "granted_actors": granted,
            },
        )
    )
    return IssuedToken(row=row, clear=clear)


@transaction.atomic
def revoke_token(row: ApiToken, *, actor: Actor, correlation_id: str, now: datetime) -> ApiToken:
    """End a token at once; one that has ended stays as it was."""
    if ApiToken.objects.filter(pk=row.pk, revoked_at__isnull=True).update(revoked_at=now):
        append_one(
            Entry(
                tenant=row.tenant.slug if row.tenant else "",
                at=now,
                actor=actor,
                action="api_token.revoke",
                object_kind="api_token",
                object_id=str(row.pk),
                correlation_id=correlation_id,
                data={"name": row.name, "prefix": row.prefix},
            )
        )
    row.refresh_from_db()
    return row


def caller_of_token(clear: str, *, now: datetime) -> Caller:
    """Return who bears this token.

    Raises:
        InvalidToken: unknown, expired or revoked; which one is not told.
    """
    row = (
        ApiToken.objects.select_related("tenant")
        .filter(digest=_digest(clear), expires_at__gt=now, revoked_at__isnull=True)
        .first()
    )
    if row is None:
        raise InvalidToken("The API token is not valid: issue one with `manage.py api_token`.")
    if row.last_used_at is None or now - row.last_used_at > _LAST_USED_RESOLUTION:
        _note_use(row.pk, now=now)
    return Caller(
        actor=Actor(ActorKind.TOKEN, row.name),
        tenants=frozenset({row.tenant.slug}) if row.tenant else None,
        scopes=frozenset(row.scopes),
        run_actors=frozenset({row.actor or row.name, *row.granted_actors}),
    )


def _note_use(token_id: int, *, now: datetime) -> None:
    """Note when a token was used last; a database that can only be read must not refuse it."""
    try:
        # A savepoint where there is a transaction: what fails here must not spoil the rest.
        with transaction.atomic():
            ApiToken.objects.filter(pk=token_id).update(last_used_at=now)
    except DatabaseError as error:
        logger.warning("token.use_not_noted token=%d error=%s", token_id, error)


def caller_of_user(user: AbstractBaseUser | AnonymousUser) -> Caller:
    """Return what a logged-in person may see and do: superusers all, others by membership.

    A person with several memberships has, everywhere, the scopes of the weakest of them; per-tenant
    scopes are checked with `caller_in_tenant`.
    """
    actor = Actor(ActorKind.USER, user.get_username())
    if getattr(user, "is_superuser", False):
        return Caller(actor=actor, tenants=None, scopes=frozenset(Scope.values))
    rows = list(Membership.objects.filter(user_id=user.pk or 0).values_list("tenant__slug", "role"))
    scopes = [_ROLE_SCOPES[role] for _, role in rows]
    shared = frozenset.intersection(*scopes) if scopes else frozenset()
    return Caller(actor=actor, tenants=frozenset(slug for slug, _ in rows), scopes=shared)


def caller_in_tenant(user: AbstractBaseUser | AnonymousUser, tenant: str) -> Caller:
    """Return the caller as far as one tenant goes, with the scopes of the role held there."""
    everywhere = caller_of_user(user)
    if everywhere.tenants is None:
        return everywhere
    role = (
        Membership.objects.filter(user_id=user.pk or 0, tenant__slug=tenant)
        .values_list("role", flat=True)
        .first()
    )
    scopes = _ROLE_SCOPES[role] if role else frozenset()
    tenants = frozenset({tenant}) if role else frozenset()
    return Caller(actor=everywhere.actor, tenants=tenants, scopes=scopes)


def _digest(clear: str) -> str:
    return hashlib.sha256(clear.encode()).hexdigest()
