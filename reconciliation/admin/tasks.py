"""Records of tasks, attempts and decisions; to read, and to deal with dead letters."""

from django.contrib import admin
from django.urls import reverse

from governance.admin.scoped import (
    ReadOnlyInline,
    ScopedAdmin,
    TenantFilter,
    as_json,
    page_link,
)
from reconciliation.admin.dead_letters import DeadLetterActions
from reconciliation.models import Evaluation, ReconciliationTask, TaskAttempt


class AttemptInline(ReadOnlyInline):
    """The attempts at a task."""

    model = TaskAttempt
    fields = (
        "series",
        "number",
        "worker",
        "started_at",
        "ended_at",
        "outcome",
        "error_code",
        "error",
    )
    readonly_fields = fields
    ordering = ("-id",)


@admin.register(ReconciliationTask)
class ReconciliationTaskAdmin(DeadLetterActions, ScopedAdmin):
    """Tasks, newest first."""

    tenant_path = "tenant"
    list_display = (
        "id",
        "task_kind",
        "tenant",
        "repo",
        "branch",
        "state",
        "attempts",
        "policy_decision",
        "last_error_code",
        "run_after",
        "trace",
    )
    list_display_links = ("id", "task_kind")
    list_filter = (TenantFilter, "state", "task_kind", "origin")
    search_fields = ("correlation_id__exact", "idempotency_key__exact")
    search_help_text = "Exact correlation id or idempotency key."
    inlines = (AttemptInline,)
    actions = ("requeue", "discard")

    def view_on_site(self, row: ReconciliationTask) -> str:
        """Return the page of the product."""
        return reverse("pages:task", args=(row.pk,))

    @admin.display(description="trace")
    def trace(self, row: ReconciliationTask) -> str:
        """Return a link to everything with its correlation id."""
        return page_link(reverse("pages:trace", args=(row.correlation_id,)), "trace")


@admin.register(TaskAttempt)
class TaskAttemptAdmin(ScopedAdmin):
    """Attempts, newest first."""

    tenant_path = "task__tenant"
    list_display = ("id", "task", "number", "worker", "outcome", "error_code", "started_at")
    list_filter = (TenantFilter, "outcome", "error_class")
    list_select_related = ("task",)
    search_fields = ("task__correlation_id__exact",)


@admin.register(Evaluation)
class EvaluationAdmin(ScopedAdmin):
    """Decisions with what they were made from."""

    tenant_path = "task__tenant"
    list_display = ("id", "task", "task_kind", "evaluated_at", "decision_start")
    list_filter = (TenantFilter,)
    list_select_related = ("task",)
    search_fields = ("task__correlation_id__exact", "decision_digest__exact")
    exclude = ("facts", "decision")
    readonly_fields = ("facts_as_json", "decision_as_json")

    @admin.display(description="digest")
    def decision_start(self, row: Evaluation) -> str:
        """Return the beginning of the decision's digest."""
        return row.decision_digest[:12]

    @admin.display(description="facts")
    def facts_as_json(self, row: Evaluation) -> str:
        """Return the facts that the evaluator was told."""
        return as_json(row.facts)

    @admin.display(description="decision")
    def decision_as_json(self, row: Evaluation) -> str:
        """Return what it decided."""
        return as_json(row.decision)
