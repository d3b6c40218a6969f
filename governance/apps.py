"""Django's registration of the governance app."""

from django.apps import AppConfig


class GovernanceConfig(AppConfig):
    """What is governed: tenants, repositories, branches, leases, runs, policies."""

    name = "governance"
    verbose_name = "Governance"
    default_auto_field = "django.db.models.BigAutoField"
