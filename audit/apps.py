"""Django's registration of the audit app."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """The append-only, hash-chained trail."""

    name = "audit"
    verbose_name = "Audit trail"
    default_auto_field = "django.db.models.BigAutoField"
