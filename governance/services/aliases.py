"""Joins and parts the names of one person or bot in a tenant; nothing crosses tenants."""

from datetime import datetime

from django.db import transaction

from audit.domain.entries import Actor, Entry
from audit.services import append_one
from governance.domain.runs import InvalidRun, actor_name
from governance.models import Alias, Tenant


class InvalidAlias(ValueError):
    """The names cannot be joined; the message says why and what to do instead."""


@transaction.atomic
def add_alias(
    tenant: Tenant, name: str, identity: str, *, actor: Actor, correlation_id: str, now: datetime
) -> Alias:
    """Join a name to an identity of the tenant. The same again changes nothing.

    Raises:
        InvalidAlias: no such names, a name that is joined to another identity, or a chain: an
            identity is no alias, and a name that others are joined to is no alias either.
    """
    # One at a time in a tenant: two that cross would make a circle.
    Tenant.objects.select_for_update().get(pk=tenant.pk)
    check_alias(tenant, name, identity)
    known = Alias.objects.filter(tenant=tenant, name=name).first()
    if known is not None:
        return known
    row = Alias.objects.create(tenant=tenant, name=name, identity=identity, created_at=now)
    append_one(_entry(row, "alias.add", actor=actor, correlation_id=correlation_id, now=now))
    return row


@transaction.atomic
def remove_alias(row: Alias, *, actor: Actor, correlation_id: str, now: datetime) -> None:
    """Part a name from its identity: what was decided while they were joined stays decided."""
    append_one(_entry(row, "alias.remove", actor=actor, correlation_id=correlation_id, now=now))
    row.delete()


def check_alias(tenant: Tenant, name: str, identity: str, *, instead_of: int | None = None) -> None:
    """Check that a name may be joined to an identity, in place of an alias that there is.

    Raises:
        InvalidAlias: see `add_alias`.
    """
    for one in (name, identity):
        try:
            actor_name(one)
        except InvalidRun as error:
            raise InvalidAlias(f"{one[:100]!r} is no name: {error}") from error
    if name == identity:
        raise InvalidAlias(f"{name} already is {identity}: nothing has to be joined.")
    others = Alias.objects.filter(tenant=tenant)
    if instead_of is not None:
        others = others.exclude(pk=instead_of)
    joined = others.filter(name=name).exclude(identity=identity).first()
    if joined is not None:
        raise InvalidAlias(f"{name} is joined to {joined.identity}: remove that alias first.")
    further = others.filter(name=identity).first()
    if further is not None:
        raise InvalidAlias(f"{identity} is an alias itself: join {name} to {further.identity}.")
    if others.filter(identity=name).exists():
        raise InvalidAlias(f"Other names are joined to {name}: join them to {identity} instead.")


def _entry(row: Alias, action: str, *, actor: Actor, correlation_id: str, now: datetime) -> Entry:
    return Entry(
        tenant=row.tenant.slug,
        at=now,
        actor=actor,
        action=action,
        object_kind="alias",
        object_id=str(row.pk),
        correlation_id=correlation_id,
        data={"name": row.name, "identity": row.identity},
    )
