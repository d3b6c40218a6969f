"""The admin site, wearing the same shell and login as the product's own pages."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse


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


class ReconcilerAdminConfig(AdminConfig):
    """Makes ours the default admin site."""

    default_site = "reconciler_site.admin_site.ReconcilerAdminSite"
