"""Records of sweeps, watches and heartbeats; to read."""

from django.contrib import admin
from django.urls import reverse

from governance.admin.scoped import ScopedAdmin, TenantFilter, as_json
from reconciliation.models import Heartbeat, HostCalls, RepositoryWatch, Sweep


@admin.register(Sweep)
class SweepAdmin(ScopedAdmin):
    """Sweeps span tenants, so only who sees every tenant reads them here; pages show the rest."""

    tenant_path = ""
    list_display = (
        "id",
        "slot",
        "trigger",
        "scope",
        "considered",
        "planned",
        "failed",
        "host_calls",
    )
    list_filter = ("trigger",)
    search_fields = ("worklist_digest__exact", "correlation_id__exact")
    date_hierarchy = "slot"
    exclude = ("worklist",)
    readonly_fields = ("worklist_as_json",)

    def view_on_site(self, row: Sweep) -> str:
        """Return the page of the product."""
        return reverse("pages:sweep", args=(row.pk,))

    @admin.display(description="worklist")
    def worklist_as_json(self, row: Sweep) -> str:
        """Return the worklist that the digest covers."""
        return as_json(row.worklist)


@admin.register(RepositoryWatch)
class RepositoryWatchAdmin(ScopedAdmin):
    """When each repository is due, and how reading it went."""

    list_display = (
        "repository",
        "host",
        "next_due_at",
        "last_swept_at",
        "last_read_at",
        "consecutive_failures",
        "last_error_code",
        "changes_by_webhook",
        "changes_by_sweep",
    )
    list_filter = (TenantFilter, ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("repository",)
    search_fields = ("repository__slug",)
    ordering = ("next_due_at", "id")

    def view_on_site(self, row: RepositoryWatch) -> str:
        """Return the planner, which tells how often repositories are checked."""
        return reverse("pages:sweep-planner")


@admin.register(HostCalls)
class HostCallsAdmin(ScopedAdmin):
    """How often each host was called in each minute of the last day, and what for."""

    tenant_path = ""
    list_display = ("minute", "host", "by_sweeps", "by_others", "readings")
    search_fields = ("host",)
    date_hierarchy = "minute"


@admin.register(Heartbeat)
class HeartbeatAdmin(ScopedAdmin):
    """When each part of the machinery last showed progress."""

    tenant_path = ""
    list_display = ("name", "at", "detail")
    ordering = ("name",)
