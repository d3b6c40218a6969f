"""Proves who approves the loosening of a floor: an admin of the tenant, by token or by name."""

from datetime import datetime

from django.contrib.auth import get_user_model

from audit.domain.caller import Caller
from audit.domain.entries import Actor
from governance.models import Scope
from governance.services.access import (
    InvalidToken,
    caller_in_tenant,
    caller_of_token,
    caller_of_user,
)


class NotAnApprover(Exception):
    """The second person is unknown, or may not publish policies here."""


def approver_by_token(clear: str, *, tenant: str, now: datetime) -> Actor:
    """Return the bearer of an API token who may approve in a tenant; no tenant means the site.

    Raises:
        NotAnApprover: the token is not valid, or its bearer may not publish here.
    """
    try:
        caller = caller_of_token(clear, now=now)
    except InvalidToken as error:
        raise NotAnApprover("The token of the approver is not valid.") from error
    return _approver(caller, tenant)


def approver_by_name(username: str, *, tenant: str) -> Actor:
    """Return the person of that name who may approve in a tenant; no tenant means the site.

    For commands only: whoever can run one could also write to the database.

    Raises:
        NotAnApprover: nobody active has that name, or they may not publish here.
    """
    user = get_user_model().objects.filter(username=username, is_active=True).first()
    if user is None:
        raise NotAnApprover(f"There is no active user {username}.")
    return _approver(caller_in_tenant(user, tenant) if tenant else caller_of_user(user), tenant)


def _approver(caller: Caller, tenant: str) -> Actor:
    sees = caller.may_see(tenant) if tenant else caller.tenants is None
    if not sees or not caller.has_scope(Scope.ADMIN):
        raise NotAnApprover(
            f"{caller.actor.name} may not publish policies of {tenant or 'the site'}."
        )
    return caller.actor
