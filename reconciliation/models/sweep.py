"""Bounded passes over what is governed, and when each repository is due next."""

from django.db import models

from governance.models import Repository


class SweepTrigger(models.TextChoices):
    """What started a sweep."""

    SCHEDULE = "schedule", "Schedule"
    MANUAL = "manual", "Manual"


class Sweep(models.Model):
    """One bounded pass: a slot, a budget, and a deterministic worklist with its digest.

    Life: planned in one transaction with its tasks; complete when the last of them ended; degraded
    when one of them is dead. Both are read from the tasks, never stored and forgotten.
    """

    slot = models.DateTimeField(help_text="The scheduled start: part of every key it plans.")
    trigger = models.CharField(max_length=10, choices=SweepTrigger.choices)
    scope = models.CharField(max_length=400, blank=True, help_text="Empty: all that is due.")
    budget_repositories = models.PositiveIntegerField()
    worklist_digest = models.CharField(max_length=64)
    worklist = models.TextField(help_text="Canonical JSON of the worklist.")
    considered = models.PositiveIntegerField()
    planned = models.PositiveIntegerField()
    skipped = models.JSONField(default=dict, help_text="Reason to number.")
    failed = models.PositiveIntegerField(
        db_default=0, help_text="Observations that failed for good: dead letters until mended."
    )
    host_calls = models.PositiveIntegerField(
        db_default=0, help_text="Calls to hosts that its tasks, and what followed from them, made."
    )
    correlation_id = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    planned_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("slot", "scope"), name="sweep_once_per_slot"),
        )

    def __str__(self) -> str:
        return f"sweep {self.pk}"


class RepositoryWatch(models.Model):
    """When a repository is due for a sweep, and how reading it went."""

    repository = models.OneToOneField(Repository, on_delete=models.CASCADE, related_name="watch")
    host = models.CharField(
        max_length=300,
        blank=True,
        db_default="",
        help_text="Host and port of its clone URL; filled in by the next tick while empty.",
    )
    next_due_at = models.DateTimeField()
    branches_due_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When sweeps look again for branches to check for staleness; empty: now.",
    )
    last_swept_at = models.DateTimeField(null=True, blank=True)
    last_read_at = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    last_error_code = models.CharField(max_length=60, blank=True)
    last_error = models.TextField(blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_delivery_at = models.DateTimeField(null=True, blank=True)
    changes_by_webhook = models.PositiveBigIntegerField(default=0)
    changes_by_sweep = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("next_due_at", "id")
        verbose_name_plural = "repository watches"
        indexes = (
            # Sweep planner: longest unswept first.
            models.Index(fields=("next_due_at", "repository"), name="watch_due"),
            # Sweep planner: whose branches are looked through.
            models.Index(fields=("branches_due_at", "repository"), name="watch_branches_due"),
        )

    def __str__(self) -> str:
        return f"watch of {self.repository_id}"


class HostCalls(models.Model):
    """Calls made to one host in one minute: what its budget is measured by.

    Life: made by the first batch that called the host in that minute, raised by those that follow,
    dropped by the tick after a day.
    """

    host = models.CharField(max_length=300)
    minute = models.DateTimeField()
    by_sweeps = models.PositiveIntegerField(help_text="What followed from sweeps included.")
    by_others = models.PositiveIntegerField(help_text="For webhooks, the API and people.")
    readings = models.PositiveIntegerField(help_text="Repositories that sweeps read.")

    class Meta:
        ordering = ("-minute", "host")
        verbose_name_plural = "host calls"
        constraints = (
            models.UniqueConstraint(fields=("minute", "host"), name="host_calls_once_per_minute"),
        )

    def __str__(self) -> str:
        return f"calls to {self.host}"


class Heartbeat(models.Model):
    """When a part of the machinery last showed progress: `worker`, `tick`, `canary`."""

    name = models.CharField(max_length=100, primary_key=True)
    at = models.DateTimeField()
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
