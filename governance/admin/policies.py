"""Records of policy versions and effective policies; to read: they are immutable."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from audit.admin.read_only import caller_of
from governance.admin.scoped import ScopedAdmin, as_json
from governance.models import EffectivePolicy, PolicyVersion


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ScopedAdmin):
    """Published versions: the caller's tenants', and the site's, which hold for everybody."""

    tenant_path = "tenant__slug"
    list_display = (
        "layer",
        "target",
        "branch_pattern",
        "version",
        "author",
        "approved_by",
        "reason",
        "published_at",
    )
    list_filter = ("layer",)
    search_fields = ("target", "branch_pattern", "author", "approved_by", "digest__exact")
    date_hierarchy = "published_at"
    exclude = ("document",)
    readonly_fields = ("as_published",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return what the person may see."""
        rows = PolicyVersion.objects.order_by("-id")
        caller = caller_of(request)
        if caller.tenants is None:
            return rows
        return rows.filter(Q(layer="site") | Q(tenant__slug__in=sorted(caller.tenants)))

    @admin.display(description="document")
    def as_published(self, row: PolicyVersion) -> str:
        """Return the document."""
        return as_json(row.document)


@admin.register(EffectivePolicy)
class EffectivePolicyAdmin(ScopedAdmin):
    """Merged policies by digest; they name no tenant, so only superusers read them here."""

    tenant_path = ""
    list_display = ("digest", "first_used_at")
    search_fields = ("digest__startswith",)
    ordering = ("-first_used_at", "digest")
    exclude = ("document",)
    readonly_fields = ("as_merged",)

    @admin.display(description="document")
    def as_merged(self, row: EffectivePolicy) -> str:
        """Return the document."""
        return as_json(row.document)
