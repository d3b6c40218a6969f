"""Circuits: which hosts and credentials are down, and which repositories wait for them."""

from django.db import models
from django.db.models import Q

from governance.models import RemoteCredential, Repository, Tenant
from reconciliation.domain.circuits import CircuitState


class Circuit(models.Model):
    """One tenant's way to one host with one credential; a row exists since its first failure.

    Life: closed -> open (several tasks in a row failed, or the host asked for patience) ->
    half_open (one task is let through) -> closed (the host answered) or open again. Moved by
    whoever holds the row's lock: a worker that applies a batch, or one that sends a probe.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="circuits")
    origin = models.CharField(max_length=400, help_text="Scheme, host and port, or `local`.")
    credential = models.ForeignKey(
        RemoteCredential,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="circuits",
        help_text="Empty: read without one.",
    )
    key = models.CharField(max_length=600, unique=True)
    state = models.CharField(
        max_length=10,
        choices=[(one.value, one.value.replace("_", "-").capitalize()) for one in CircuitState],
        default=CircuitState.CLOSED.value,
    )
    failures = models.JSONField(
        default=list, help_text="Tasks that failed in a row: task, repository, moment."
    )
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="Empty: nothing failed since it last answered."
    )
    last_failure_at = models.DateTimeField(null=True, blank=True)
    cause = models.CharField(max_length=60, blank=True, help_text="Error code of the last failure.")
    message = models.TextField(blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    next_probe_at = models.DateTimeField(null=True, blank=True)
    failed_probes = models.PositiveIntegerField(default=0)
    probed_repo = models.TextField(blank=True, help_text="The next probe asks another one.")
    releasing = models.BooleanField(
        default=False, help_text="Closed, and what it held is yet to be let go."
    )
    held_tasks = models.PositiveIntegerField(default=0, help_text="As of `counted_at`.")
    held_repositories = models.PositiveIntegerField(default=0)
    counted_at = models.DateTimeField(null=True, blank=True)
    openings = models.PositiveIntegerField(default=0)
    place = models.ForeignKey(
        Repository,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The repository that carries its alert.",
    )
    correlation_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("tenant__slug", "key")
        indexes = (
            # Every batch asks: is anything not as it should be?
            models.Index(
                fields=("failing_since",),
                name="circuit_failing",
                condition=Q(failing_since__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return self.key


class CircuitHold(models.Model):
    """A repository whose tasks wait for an open circuit; one task of it may be the probe.

    Rows exist only while the circuit is open, so a claim looks them up in a table that is empty
    most of the time.
    """

    repository = models.OneToOneField(
        Repository, on_delete=models.CASCADE, primary_key=True, related_name="circuit_hold"
    )
    circuit = models.ForeignKey(Circuit, on_delete=models.CASCADE, related_name="holds")
    probe_task_id = models.PositiveBigIntegerField(default=0, help_text="0: none of it.")

    class Meta:
        ordering = ("repository",)

    def __str__(self) -> str:
        return f"hold of {self.repository_id}"
