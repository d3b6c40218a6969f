"""Disagreements found, and the alerts that people must look at."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from governance.models import Repository
from governance.models.fields import CodePointTextField
from reconciliation.models.task import Evaluation, TaskKind


class Severity(models.TextChoices):
    """How bad it is, explained by the rule hits that led to it."""

    INFO = "info", "Info"
    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"
    CRITICAL = "critical", "Critical"


class FindingState(models.TextChoices):
    """Where a finding stands."""

    OPEN = "open", "Open"
    RESOLVED = "resolved", "Resolved"


WEBHOOK_SOURCE_CHECK = "webhook_source"
CIRCUIT_CHECK = "circuit"
CHECK_KINDS = (
    *TaskKind.choices,
    (CIRCUIT_CHECK, "Circuit"),
    (WEBHOOK_SOURCE_CHECK, "Webhook source"),
)
"""What can make a finding: the checks of branches, and what watches hosts and webhook sources."""


class Finding(models.Model):
    """One disagreement on one branch, found by one check.

    Life: open -> resolved (by evidence: enough clean checks, or its class no longer holds) ->
    open again when it returns (same row, counted). Its fingerprint covers tenant, repo, branch,
    check and stable class, never a sha, a count or a duration.
    """

    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="findings")
    branch = CodePointTextField(blank=True)
    fingerprint = models.CharField(max_length=64, unique=True)
    check_kind = models.CharField(max_length=20, choices=CHECK_KINDS)
    stable_class = models.CharField(max_length=40)
    state = models.CharField(max_length=10, choices=FindingState.choices, default=FindingState.OPEN)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    alerting = models.BooleanField(
        default=False, help_text="Heavy enough for an alert, by rules whose mode is alert."
    )
    rule_hits = models.JSONField(default=list)
    expected = models.JSONField(default=dict)
    actual = models.JSONField(default=dict)
    summary = models.TextField()
    recommendation = models.TextField(blank=True)
    command = models.TextField(blank=True, help_text="What a person could run.")
    run_id = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    lease_id = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    evaluation = models.ForeignKey(
        Evaluation, on_delete=models.SET_NULL, null=True, related_name="findings"
    )
    correlation_id = models.CharField(max_length=64)
    clean_checks = models.PositiveSmallIntegerField(default=0)
    reopened_count = models.PositiveIntegerField(default=0)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (
            # Branch page, alert evaluation: open findings of a branch.
            models.Index(
                fields=("repository", "branch"), name="finding_open", condition=Q(state="open")
            ),
            # Overview: open findings by check, class and severity.
            models.Index(
                fields=("check_kind", "stable_class", "severity"),
                name="finding_open_by_class",
                condition=Q(state="open"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.stable_class} on {self.branch}"


class AlertState(models.TextChoices):
    """Where an alert stands."""

    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    SNOOZED = "snoozed", "Snoozed"
    RESOLVED = "resolved", "Resolved"


class Alert(models.Model):
    """What a person must look at: one per finding fingerprint.

    Life: open -> acknowledged or snoozed (reason, end, bound to `state_digest` and to how often the
    state moved) -> open again when the state moves or the time is up; any of them -> resolved by
    evidence, but not while flapping; resolved -> open (reopened, counted). Open alerts climb the
    escalation ladder that was copied from the policy when they opened: a step of it becomes *due*.
    Nothing sends messages yet, so no step is ever sent. A reopening within a day goes on climbing.
    """

    finding = models.OneToOneField(Finding, on_delete=models.CASCADE, related_name="alert")
    repository = models.ForeignKey(Repository, on_delete=models.CASCADE, related_name="alerts")
    branch = CodePointTextField(blank=True)
    state = models.CharField(max_length=15, choices=AlertState.choices, default=AlertState.OPEN)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    state_digest = models.CharField(
        max_length=64, help_text="Governed head, observed head and rule hits now."
    )
    opened_at = models.DateTimeField()
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="acknowledged_alerts",
    )
    acknowledged_as = models.CharField(max_length=200, blank=True, help_text="Who, as audited.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledge_reason = models.CharField(max_length=1000, blank=True)
    acknowledge_expires_at = models.DateTimeField(null=True, blank=True)
    acknowledged_state_digest = models.CharField(max_length=64, blank=True)
    snoozed_until = models.DateTimeField(null=True, blank=True)
    snoozed_state_digest = models.CharField(max_length=64, blank=True, db_default="")
    answered_moves = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Head changes and returns of the finding when it was answered.",
    )
    escalation_ladder = models.JSONField(
        default=list, help_text="Steps with role, after_seconds and, once due, due_at."
    )
    escalation_step = models.PositiveSmallIntegerField(default=0, help_text="Steps that are due.")
    next_escalation_at = models.DateTimeField(
        null=True, blank=True, help_text="When the next step is due, if the alert is open then."
    )
    reopened_count = models.PositiveIntegerField(default=0)
    reopenings = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="The newest times at which it was reopened, oldest first.",
    )
    flapping_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then it stays open, whatever its finding does."
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=300, blank=True)
    correlation_id = models.CharField(max_length=64)

    class Meta:
        ordering = ("-opened_at", "-id")
        indexes = (
            # Overview and alert list: what is not resolved, worst first.
            models.Index(
                fields=("severity", "-opened_at"),
                name="alert_unresolved",
                condition=~Q(state="resolved"),
            ),
            # Tick: what is due for escalation or whose acknowledgement ends.
            models.Index(
                fields=("next_escalation_at",), name="alert_escalating", condition=Q(state="open")
            ),
            # Tick: flapping alerts that have been quiet for long enough.
            models.Index(
                fields=("flapping_until",),
                name="alert_flapping",
                condition=Q(flapping_until__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"alert {self.pk} {self.severity}"
