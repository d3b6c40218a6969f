"""Webhook intake: sources, their secrets, the deliveries kept, and what was refused."""

from django.db import models

from governance.models import HostKind, Repository, Tenant
from governance.models.fields import EncryptedTextField


class WebhookSource(models.Model):
    """One webhook configured on a git host: an unguessable path token and its live secrets.

    A source of one repository names it; a source of an organisation hook leaves it empty and
    events find their repository by the host's stable id.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="webhook_sources")
    repository = models.ForeignKey(
        Repository,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="webhook_sources",
    )
    token = models.CharField(max_length=64, unique=True)
    host_kind = models.CharField(max_length=20, choices=HostKind.choices)
    name = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("tenant__slug", "id")

    def __str__(self) -> str:
        return self.name or f"{self.host_kind} source {self.pk}"


class WebhookSecret(models.Model):
    """A secret of a source. Two may be live at once, so that a rotation loses nothing.

    Life: created -> live -> `expires_at` (end of the overlap) or `revoked_at`.
    """

    source = models.ForeignKey(WebhookSource, on_delete=models.CASCADE, related_name="secrets")
    value = EncryptedTextField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("source", "-created_at", "-id")

    def __str__(self) -> str:
        return f"secret {self.pk}"


class DeliveryOutcome(models.TextChoices):
    """What became of a verified request."""

    ACCEPTED = "accepted", "Accepted"
    IGNORED = "ignored", "Ignored"
    MALFORMED = "malformed", "Malformed"
    TOO_LARGE = "too_large", "Too large"


class WebhookDelivery(models.Model):
    """One verified request of a host, kept with its exact body.

    `task` is the task that the delivery caused or joined; the delivery is *worked* when that task
    completed after it was received. A delivery id seen twice is stored once per source.
    """

    # No index of its own: the source leads `delivery_once`.
    source = models.ForeignKey(
        WebhookSource, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    delivery_id = models.CharField(max_length=200)
    event = models.CharField(max_length=100)
    headers = models.TextField(help_text="Canonical JSON of the headers worth keeping.")
    body_sha256 = models.CharField(max_length=64)
    body_bytes = models.PositiveIntegerField()
    body = models.BinaryField(null=True, help_text="zlib; empty once past its retention.")
    secret_id = models.CharField(max_length=20, blank=True, help_text="Which secret verified it.")
    outcome = models.CharField(max_length=10, choices=DeliveryOutcome.choices)
    reason = models.CharField(max_length=300, blank=True)
    events = models.TextField(help_text="Canonical JSON list of normalised events.")
    correlation_id = models.CharField(max_length=64)
    received_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True, blank=True)
    task = models.ForeignKey(
        "ReconciliationTask",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
    )

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "webhook deliveries"
        constraints = (
            models.UniqueConstraint(fields=("source", "delivery_id"), name="delivery_once"),
        )
        indexes = (
            # Trace page: what came in with this correlation id.
            models.Index(fields=("correlation_id",), name="delivery_trace"),
            # Retention and lists by time.
            models.Index(fields=("received_at",), name="delivery_by_time"),
        )

    def __str__(self) -> str:
        return self.delivery_id


class WebhookRefusal(models.Model):
    """Requests that were refused, counted per source and reason; never with a body.

    Bounded: a flood of forged requests raises a number and adds no rows.
    """

    source = models.ForeignKey(WebhookSource, on_delete=models.CASCADE, related_name="refusals")
    reason = models.CharField(max_length=40)
    count = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    last_event = models.CharField(max_length=100, blank=True)
    last_correlation_id = models.CharField(max_length=64)

    class Meta:
        ordering = ("source", "reason")
        constraints = (
            models.UniqueConstraint(fields=("source", "reason"), name="refusal_once_per_reason"),
        )

    def __str__(self) -> str:
        return f"{self.reason} x{self.count}"
