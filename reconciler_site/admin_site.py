"""The admin site, wearing the same shell and login as the product's own pages."""

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class ReconcilerAdminSite(AdminSite):
    """Django's admin under our name."""

    site_header = "Reconciler"
    site_title = "Reconciler"
    index_title = "Records"
    site_url = "/"


class ReconcilerAdminConfig(AdminConfig):
    """Makes ours the default admin site."""

    default_site = "reconciler_site.admin_site.ReconcilerAdminSite"
