"""The queue of record: tasks, every attempt at them, and every decision they led to."""

from django.db import models
from django.db.models import F, Q

from governance.models import EffectivePolicy, Repository
from governance.models.fields import CodePointTextField
from reconciliation.models.circuit import Circuit
from reconciliation.models.fields import PackedTextField


class TaskKind(models.TextChoices):
    """What a task does; the values sort in code-point order inside a branch."""

    DIVERGENCE_ALERT = "divergence_alert", "Divergence alert"
    HEAD_DRIFT = "head_drift", "Head drift"
    LEASE_RENEWAL = "lease_renewal", "Lease renewal"
    MISSING_RUN = "missing_run", "Missing run"
    OBSERVE_REFS = "observe_refs", "Observe refs"
    STALE_BRANCH = "stale_branch", "Stale branch"


class TaskState(models.TextChoices):
    """Where a task stands."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    DEAD = "dead", "Dead letter"
    DISCARDED = "discarded", "Discarded"


class Origin(models.TextChoices):
    """What asked for a task."""

    WEBHOOK = "webhook", "Webhook"
    SWEEP = "sweep", "Sweep"
    API = "api", "API"
    MANUAL = "manual", "Manual"
    FOLLOW_UP = "follow_up", "Follow-up"


class ReconciliationTask(models.Model):
    """One idempotent piece of work on one branch (or one repository: empty branch).

    Life, each arrow one guarded UPDATE:
    queued -> running (claim: attempts + 1, epoch + 1; never while `held_by` a circuit)
    running -> completed | queued (retry later, deferred, given back, held by an open circuit, or
        announced again meanwhile)
    running -> dead (attempts used up, or an error that no retry can mend)
    Whatever goes back to the queue counts an attempt, or a return: both have an end.
    queued -> discarded (its repository was deleted on the host)
    dead -> queued (requeued by a person, because its cause is gone, or announced again: a new
        series)
    dead -> discarded (by a person, with reason)
    completed -> queued (the same thing was announced again: a new series)
    discarded -> queued (the same thing was announced again: a new series)

    `idempotency_key` is unique for ever. At most one task of a branch runs at once: the database
    says so. A worker that lost its claim cannot write: its epoch is outdated.
    """

    # No indexes of their own for what leads another index: this is the table written most.
    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="tasks", db_index=False
    )
    tenant = CodePointTextField()
    workspace = CodePointTextField()
    repo = CodePointTextField()
    branch = CodePointTextField(blank=True)
    run_id = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    lease_id = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    task_kind = CodePointTextField(choices=TaskKind.choices)
    subject = models.TextField()
    idempotency_key = models.CharField(max_length=64)
    correlation_id = models.CharField(max_length=64)
    origin = models.CharField(max_length=10, choices=Origin.choices)
    sweep = models.ForeignKey(
        "Sweep",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="tasks",
        db_index=False,
    )
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children"
    )
    priority = models.PositiveSmallIntegerField(
        help_text="Lower goes first: a handicap in seconds beside others that are due."
    )
    ordinal = models.PositiveIntegerField(default=0, help_text="Place in its worklist.")
    state = models.CharField(max_length=10, choices=TaskState.choices, default=TaskState.QUEUED)
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=7)
    series = models.PositiveIntegerField(default=1, help_text="Raised by every requeue.")
    requeues = models.PositiveSmallIntegerField(
        db_default=0, help_text="How often people requeued it since it last completed."
    )
    returns = models.PositiveSmallIntegerField(
        db_default=0,
        help_text="How often it went back to the queue uncounted in this series; bounded.",
    )
    run_after = models.DateTimeField()
    held_by = models.ForeignKey(
        Circuit,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="held",
        db_index=False,
        help_text="The open circuit that it waits for.",
    )
    rerun = models.BooleanField(default=False, help_text="Announced again while running.")
    claimed_by = models.CharField(max_length=100, blank=True)
    claim_expires_at = models.DateTimeField(null=True, blank=True)
    claim_epoch = models.PositiveBigIntegerField(default=0)
    policy_decision = models.CharField(max_length=40, blank=True)
    last_error_class = models.CharField(max_length=20, blank=True)
    last_error_code = models.CharField(max_length=60, blank=True)
    last_error = models.TextField(blank=True)
    announced_at = models.DateTimeField(help_text="When the thing that asked for it happened.")
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            # Not `unique=True`: that adds a second index, for a LIKE that nobody asks.
            models.UniqueConstraint(fields=("idempotency_key",), name="task_once"),
            models.UniqueConstraint(
                fields=("repository", "branch"),
                condition=Q(state="running"),
                name="one_running_task_per_branch",
            ),
            models.CheckConstraint(condition=Q(attempts__gte=0), name="attempts_not_negative"),
            models.CheckConstraint(
                condition=Q(state="running", claim_expires_at__isnull=False)
                | (~Q(state="running") & Q(claim_expires_at__isnull=True)),
                name="claimed_exactly_while_running",
            ),
            models.CheckConstraint(
                condition=Q(attempts__lte=F("max_attempts")), name="attempts_within_limit"
            ),
            models.CheckConstraint(
                condition=Q(held_by__isnull=True) | Q(state="queued"), name="held_only_while_queued"
            ),
        )
        indexes = (
            # Claim: what each tenant has waiting, the longest due first; an outage's backlog is not
            # even looked at.
            models.Index(
                "tenant",
                "priority",
                "run_after",
                "repo",
                "branch",
                "task_kind",
                "id",
                name="task_claim_turns",
                condition=Q(state="queued", held_by__isnull=True),
            ),
            # Circuits: what waits for one, to count it and to let it go.
            models.Index(fields=("held_by",), name="task_held", condition=Q(held_by__isnull=False)),
            # Claim: is an earlier task of the same branch waiting? Coalescing: is one waiting?
            models.Index(
                fields=("repository", "branch", "task_kind"),
                name="task_of_branch_waiting",
                condition=Q(state__in=("queued", "running")),
            ),
            # Reaper: claims that ran out.
            models.Index(
                fields=("claim_expires_at",), name="task_claims", condition=Q(state="running")
            ),
            # Dead-letter page: by cause.
            models.Index(
                fields=("last_error_class", "last_error_code"),
                name="task_dead_by_cause",
                condition=Q(state="dead"),
            ),
            # A small tenant's list among everybody's tasks, newest first.
            models.Index(fields=("tenant", "-id"), name="task_of_tenant"),
            # Trace page.
            models.Index(fields=("correlation_id",), name="task_trace"),
            # History of a branch, newest first; last check of a kind.
            models.Index(
                fields=("repository", "branch", "task_kind", "-id"), name="task_of_branch"
            ),
            # Results of a sweep in worklist order.
            models.Index(fields=("sweep", "ordinal"), name="task_of_sweep"),
        )

    def __str__(self) -> str:
        return f"{self.task_kind} {self.tenant}/{self.repo} {self.branch}".rstrip()


class AttemptOutcome(models.TextChoices):
    """How one attempt ended."""

    COMPLETED = "completed", "Completed"
    DEFERRED = "deferred", "Deferred: not yet time to decide"
    RETRY = "retry", "Will be retried"
    DEAD = "dead", "Dead letter"
    LOST = "lost", "Claim ran out: the worker died or hung"
    GIVEN_BACK = "given_back", "Given back: stopped, or not yet begun"
    HELD = "held", "Given back: its host or credential is down"


class TaskAttempt(models.Model):
    """One try at a task, written when it ended (or when its claim was found to have run out)."""

    task = models.ForeignKey(
        ReconciliationTask, on_delete=models.CASCADE, related_name="attempt_rows", db_index=False
    )
    series = models.PositiveIntegerField()
    number = models.PositiveIntegerField()
    claim_epoch = models.PositiveBigIntegerField()
    worker = models.CharField(max_length=100)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    outcome = models.CharField(max_length=10, choices=AttemptOutcome.choices)
    error_class = models.CharField(max_length=20, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ("task", "id")
        constraints = (
            models.UniqueConstraint(fields=("task", "claim_epoch"), name="attempt_once_per_claim"),
        )

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.task_id}: {self.outcome}"


class Evaluation(models.Model):
    """One decision with all that it was made from, so that it can be replayed byte for byte.

    `facts` and `decision` are canonical JSON, packed in their columns; `evaluate(facts, policy,
    now)` must give `decision` again, on any machine, for as long as the rules have the number
    `rules_version`.
    """

    task = models.ForeignKey(
        ReconciliationTask, on_delete=models.CASCADE, related_name="evaluations"
    )
    task_kind = models.CharField(max_length=20)
    evaluated_at = models.DateTimeField(help_text="The `now` that the evaluator was given.")
    facts = PackedTextField()
    policy = models.ForeignKey(EffectivePolicy, on_delete=models.PROTECT)
    decision = PackedTextField()
    decision_digest = models.CharField(max_length=64)
    rules_version = models.PositiveSmallIntegerField(
        db_default=1, help_text="Number of the rules of its kind that made it."
    )

    class Meta:
        ordering = ("-id",)
        indexes = (
            # Replay and simulation of a span of time.
            models.Index(fields=("evaluated_at", "id"), name="evaluation_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.task_kind} decision {self.decision_digest[:12]}"
