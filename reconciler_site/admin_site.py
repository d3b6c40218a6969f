"""The admin site, wearing the same shell and login as the product's own pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse

from reconciler_site.admin_filters import understood_filters


class ReconcilerAdminSite(AdminSite):
    """Django's admin under our name.

    Its login is everybody's: a member of a tenant who is not staff gets the product's pages. The
    admin's own pages still ask for staff.
    """

    site_header = "Reconciler"
    site_title = "Reconciler"
    index_title = "Records"
    site_url = "/"

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Log in whoever has a password here."""
        # The form's model is not loaded yet when this module is.
        from django.contrib.auth.forms import AuthenticationForm

        self.login_form = AuthenticationForm
        return super().login(request, extra_context)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Read the filters of lists before Django hands them to the database."""
        inner: Callable[..., Any] = super().admin_view(view, cacheable)
        model = getattr(getattr(view, "__self__", None), "model", None)
        if model is None or getattr(view, "__name__", "") != "changelist_view":
            return inner

        @wraps(inner)
        def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            # Who may not see the list is sent to log in, whatever they ask for.
            if self.has_permission(request):
                request.GET = understood_filters(model, request.GET)  # type: ignore[assignment]  # as Django's own code does
            return inner(request, *args, **kwargs)

        return answered


class ReconcilerAdminConfig(AdminConfig):
    """Makes ours the default admin site."""

    default_site = "reconciler_site.admin_site.ReconcilerAdminSite"
