"""Records of leases and run records; to read: holders and their tokens move them."""

from django.contrib import admin
from django.urls import reverse

from governance.admin.scoped import ScopedAdmin, TenantFilter, page_link
from governance.models import Lease, RunRecord


@admin.register(Lease)
class LeaseAdmin(ScopedAdmin):
    """Leases; the holder's token is known by its digest only, and that is not shown either."""

    list_display = (
        "lease_id",
        "repository",
        "branch",
        "scope",
        "user_id",
        "fencing_token",
        "state",
        "expires_at",
        "trace",
    )
    list_filter = (TenantFilter, "state", "scope")
    list_select_related = ("repository",)
    search_fields = ("lease_id__exact", "branch", "user_id", "correlation_id__exact")
    date_hierarchy = "acquired_at"
    exclude = ("token_digest",)

    @admin.display(description="trace")
    def trace(self, row: Lease) -> str:
        """Return a link to everything with its correlation id."""
        return page_link(reverse("pages:trace", args=(row.correlation_id,)), "trace")


@admin.register(RunRecord)
class RunRecordAdmin(ScopedAdmin):
    """Run records, newest first."""

    list_display = ("run_id", "repository", "branch", "actor", "status", "started_at", "trace")
    list_filter = (TenantFilter, "status")
    list_select_related = ("repository",)
    search_fields = ("run_id__exact", "branch", "actor", "head_sha__exact", "correlation_id__exact")

    @admin.display(description="trace")
    def trace(self, row: RunRecord) -> str:
        """Return a link to everything with its correlation id."""
        return page_link(reverse("pages:trace", args=(row.correlation_id,)), "trace")
