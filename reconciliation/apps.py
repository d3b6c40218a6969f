"""Django's registration of the reconciliation app."""

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    """Is the world as governed? Deliveries, sweeps, tasks, findings, alerts."""

    name = "reconciliation"
    verbose_name = "Reconciliation"
    default_auto_field = "django.db.models.BigAutoField"
