"""Run records: the proof that a change went through governance."""

from django.db import models
from django.db.models import Q

from governance.models.fields import CodePointTextField
from governance.models.repository import Repository


class RunStatus(models.TextChoices):
    """The life of a run."""

    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    ABANDONED = "abandoned", "Abandoned"


class RunRecord(models.Model):
    """One governed change: from which head to which head, by whom, with which gate results.

    Life: running -> succeeded | failed (its actor) | abandoned (reconciler, when its lease expired
    without proof of life). A running run is an active operation. Ended runs never change, but
    for the mark of the reconciler that a snapshot has advanced by one.
    """

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="runs")
    run_id = models.CharField(max_length=100)
    branch = CodePointTextField()
    base_sha = models.CharField(max_length=64)
    head_sha = models.CharField(max_length=64, blank=True)
    patch_hash = models.CharField(max_length=128, blank=True)
    context_hash = models.CharField(max_length=128, blank=True)
    actor = models.CharField(max_length=200)
    lease_id = models.CharField(max_length=100, blank=True)
    gate_results = models.JSONField(default=dict, blank=True)
    conflict_classes = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=10, choices=RunStatus.choices, default=RunStatus.RUNNING)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    last_heartbeat_at = models.DateTimeField()
    counted_at = models.DateTimeField(
        null=True, blank=True, help_text="When a governed snapshot first advanced by it."
    )
    correlation_id = models.CharField(max_length=64)

    class Meta:
        ordering = ("-started_at", "-id")
        constraints = (
            models.UniqueConstraint(fields=("repository", "run_id"), name="run_id_once"),
            models.CheckConstraint(
                condition=Q(status="running", ended_at__isnull=True)
                | (~Q(status="running") & Q(ended_at__isnull=False)),
                name="run_ended_when_not_running",
            ),
        )
        indexes = (
            # Coverage of a branch's commits; active operations on a branch.
            models.Index(fields=("repository", "branch", "status"), name="run_of_branch"),
            # Is this head covered by any run?
            models.Index(fields=("repository", "head_sha"), name="run_by_head"),
            # The operations under a lease: proof of life, and what ends with it.
            models.Index(
                fields=("repository", "lease_id"),
                name="run_by_lease",
                condition=Q(status="running"),
            ),
        )

    def __str__(self) -> str:
        return self.run_id
