"""Secrets: what we show to git hosts, and what API callers show to us."""

from django.conf import settings
from django.db import models

from governance.models.fields import EncryptedTextField
from governance.models.tenancy import Tenant


class RemoteCredential(models.Model):
    """How repositories of a tenant are read: a user name and a secret, encrypted at rest."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="credentials")
    name = models.CharField(max_length=100)
    username = models.CharField(max_length=200, blank=True)
    secret = EncryptedTextField()
    created_at = models.DateTimeField()
    renewed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("tenant__slug", "name")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "name"), name="credential_name_per_tenant"),
        )

    def __str__(self) -> str:
        return self.name


class Scope(models.TextChoices):
    """What an API token may do."""

    READ = "read", "Read status, repositories, branches, findings, alerts, tasks, sweeps"
    LEASES = "leases", "Acquire, heartbeat, release and check leases"
    RUNS = "runs", "Create, heartbeat and finish run records"
    ALERTS = "alerts", "Acknowledge and snooze alerts"
    TASKS = "tasks", "Requeue and discard dead letters, replay deliveries, start sweeps"
    AUDIT = "audit", "Read the audit trail"
    ADMIN = "admin", "Everything, including breaking leases and publishing policies"


class ApiToken(models.Model):
    """An API caller's key. Only its SHA-256 is stored; the clear text is shown once.

    Life: issued -> used until `expires_at` or `revoked_at`, whichever comes first.
    """

    tenant = models.ForeignKey(
        Tenant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="api_tokens",
        help_text="Empty: every tenant.",
    )
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, help_text="The first characters, to recognise it by.")
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    actor = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Whose runs it records; empty: those of an actor of the token's name.",
    )
    granted_actors = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Whose runs it may record besides.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name", "id")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
