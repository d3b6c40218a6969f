"""One visit of a person to a page: who, when, under which correlation id; decides nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from audit.correlation import current_correlation_id
from audit.domain.caller import Caller
from governance.services.access import caller_in_tenant, caller_of_user
from reconciliation.views.address import Check, read_address

Parameters = ParamSpec("Parameters")


@dataclass(frozen=True, slots=True)
class Visit:
    """A logged-in person's request, with the clock read once and everything they may see.

    `asked` has what the address says by name, empty where it says nothing.
    """

    request: HttpRequest
    user: User
    caller: Caller
    now: datetime
    correlation_id: str
    asked: Mapping[str, str]

    @property
    def is_refresh(self) -> bool:
        """Whether the page asks for its live part only."""
        return self.request.headers.get("X-Fragment") == "live"

    def may(self, scope: str, *, tenant: str) -> bool:
        """Return whether the person's role in this tenant covers `scope`."""
        return caller_in_tenant(self.user, tenant).has_scope(scope)

    def caller_with(self, scope: str, *, tenant: str) -> Caller:
        """Return the person as a caller in one tenant.

        Raises:
            PermissionDenied: their role there does not cover `scope`.
        """
        caller = caller_in_tenant(self.user, tenant)
        if not caller.has_scope(scope):
            raise PermissionDenied(f"Your role in {tenant} does not cover this.")
        return caller

    def caller_where(self, scope: str) -> Caller:
        """Return the person as a caller in just those tenants where their role covers `scope`."""
        if self.caller.tenants is None:
            return self.caller
        held = {
            tenant
            for tenant in sorted(self.caller.tenants)
            if caller_in_tenant(self.user, tenant).has_scope(scope)
        }
        scopes = frozenset({scope}) if held else frozenset()
        return Caller(actor=self.caller.actor, tenants=frozenset(held), scopes=scopes)

    def page(self, template: str, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page; every template knows `now` and who may see what."""
        return render(
            self.request,
            f"reconciler/{template}",
            {
                **context,
                "now": self.now,
                "caller": self.caller,
                "is_member": self.caller.tenants is None or bool(self.caller.tenants),
            },
            status=status,
        )


Page = Callable[Concatenate[Visit, Parameters], HttpResponse]


def takes(parameters: Mapping[str, Check]) -> Callable[[Page[Parameters]], Page[Parameters]]:
    """Say which query parameters a page takes; without this it takes none."""

    def declared(page: Page[Parameters]) -> Page[Parameters]:
        page.takes = parameters  # type: ignore[attr-defined]  # read by `for_people`
        return page

    return declared


def for_people(
    page: Page[Parameters],
) -> Callable[Concatenate[HttpRequest, Parameters], HttpResponse]:
    """Turn a page into a view: ask for a login, then read the clock and the caller once.

    An address that asks for what the page does not know is refused before anything is read.
    """
    parameters: Mapping[str, Check] = getattr(page, "takes", {})

    @wraps(page)
    def view(
        request: HttpRequest, /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> HttpResponse:
        assert isinstance(request.user, User)  # noqa: S101 - login_required has seen to it
        visit = Visit(
            request=request,
            user=request.user,
            caller=caller_of_user(request.user),
            now=timezone.now(),  # noqa: TID251 - pages are entry points: they read the clock once
            correlation_id=current_correlation_id(),
            asked=read_address(request.GET, parameters),
        )
        response = page(visit, *args, **kwargs)
        # What a person may see changes with their role; no cache may keep it.
        response["Cache-Control"] = "private, no-store"
        return response

    return login_required(view)
