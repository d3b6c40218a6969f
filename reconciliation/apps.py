"""Django's registration of the reconciliation app."""

from django.apps import AppConfig


class ReconciliationConfig(AppConfig):
    """Is the world as governed? Deliveries, sweeps, tasks, findings, alerts."""

    name = "reconciliation"
    verbose_name = "Reconciliation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Put our numbers beside those of django-prometheus; this asks the database nothing."""
        from reconciliation.metrics import register

        register()
