"""The admin site, wearing the same shell and login as the product's own pages."""

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.forms import AuthenticationForm


class ReconcilerAdminSite(AdminSite):
    """Django's admin under our name.

    Its login is everybody's: a member of a tenant who is not staff gets the product's pages. The
    admin's own pages still ask for staff.
    """

    login_form = AuthenticationForm

    site_header = "Reconciler"
    site_title = "Reconciler"
    index_title = "Records"
    site_url = "/"


class ReconcilerAdminConfig(AdminConfig):
    """Makes ours the default admin site."""

    default_site = "reconciler_site.admin_site.ReconcilerAdminSite"
