"""Circuits: which hosts and credentials are down, since when and what waits; to read."""

from django.contrib import admin

from governance.admin.scoped import ScopedAdmin, TenantFilter
from reconciliation.models import Circuit


@admin.register(Circuit)
class CircuitAdmin(ScopedAdmin):
    """Ways to hosts, by tenant; a row exists since the first failure on it."""

    tenant_path = "tenant__slug"
    list_display = (
        "origin",
        "tenant",
        "credential",
        "state",
        "cause",
        "opened_at",
        "next_probe_at",
        "failed_probes",
        "held_tasks",
        "held_repositories",
        "openings",
    )
    list_filter = (TenantFilter, "state", "cause")
    list_select_related = ("tenant", "credential")
    search_fields = ("origin", "correlation_id__exact")
