"""Who calls the API: a bearer token or a logged-in person; what for is checked by scope."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework import authentication, exceptions, permissions
from rest_framework.request import Request

from audit.domain.caller import Caller
from governance.services.access import InvalidToken, caller_of_token, caller_of_user

if TYPE_CHECKING:
    # DRF's views import this module through the settings: importing them here would be a circle.
    from rest_framework.views import APIView


class ApiTokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer rcl_…`; `request.auth` becomes the `Caller`."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        """Return nobody and the caller, or None when no bearer token is given."""
        scheme, _, clear = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            return AnonymousUser(), caller_of_token(clear.strip(), now=timezone.now())
        except InvalidToken as error:
            raise exceptions.AuthenticationFailed(str(error), code="invalid_token") from error

    def authenticate_header(self, request: Request) -> str:
        """Ask for a bearer token in 401 answers."""
        return 'Bearer realm="reconciler"'


class PersonAuthentication(authentication.SessionAuthentication):
    """A logged-in person, with Django's CSRF check; `request.auth` becomes the `Caller`."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the person and the caller, or None when nobody is logged in."""
        found = super().authenticate(request)
        return None if found is None else (found[0], caller_of_user(found[0]))


class HasScope(permissions.BasePermission):
    """Lets a caller through who has the view's scope.

    A view names `required_scope`, or `required_scopes` by HTTP method; without either it needs
    `read` for safe methods and `admin` for the rest, so that a forgotten name fails closed.
    """

    message = "This needs a scope that your token or role does not have."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        """Return whether the authenticated caller has the scope."""
        if not isinstance(request.auth, Caller):
            return False
        return request.auth.has_scope(scope_of(view, request.method or "GET"))


def scope_of(view: "APIView", method: str) -> str:
    """Return the scope that `method` of `view` needs."""
    by_method: dict[str, str] = getattr(view, "required_scopes", {})
    fallback = "read" if method in permissions.SAFE_METHODS else "admin"
    return by_method.get(method, getattr(view, "required_scope", fallback))
