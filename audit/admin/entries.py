"""The admin's list and page of audit entries; exact filters only, so that indexes serve them."""

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from audit.admin.read_only import MOST_ROWS_COUNTED, SITE, ReadOnlyAdmin, caller_of
from audit.domain.entries import ActorKind
from audit.models import AuditEntry
from audit.selectors import visible_chains, visible_entries


class TenantFilter(admin.SimpleListFilter):
    """The caller's tenants, from the heads of their chains: one row each."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tenants that have a chain; the site's own acts have no tenant to choose."""
        tenants = sorted(visible_chains(caller_of(request)).values_list("tenant", flat=True))
        return [(tenant, tenant) for tenant in tenants if tenant]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the tenant chosen."""
        return queryset.filter(tenant=self.value()) if self.value() else queryset


class ActorKindFilter(admin.SimpleListFilter):
    """Kinds of actors; a plain field filter would ask the table for its distinct values."""

    title = "kind of actor"
    parameter_name = "actor_kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return every kind there is."""
        return [(kind.value, kind.value) for kind in ActorKind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the kind chosen."""
        return queryset.filter(actor_kind=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class EntryAdmin(ReadOnlyAdmin):
    """Audit entries, newest first."""

    actions = None
    list_display = ("at", "place", "who", "action", "what", "outcome", "where", "trace")
    list_filter = (TenantFilter, ActorKindFilter, "at")
    search_fields = ("correlation_id",)  # shows the box; `get_search_results` does the search
    search_help_text = "Exact correlation id, repository, tenant/repository or branch."
    readonly_fields = ("reason", "data")
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return what the person may see."""
        return visible_entries(caller_of(request))

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Walk one tenant along its chain, everything along the primary key: both are indexes."""
        return ("-seq",) if request.GET.get("tenant") else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find entries that have every word of the search in an indexed column, exactly."""
        for word in search_term.split():
            found = Q(correlation_id=word) | Q(repo=word) | Q(branch=word)
            tenant, _, repo = word.partition("/")
            queryset = queryset.filter(found | Q(tenant=tenant, repo=repo) if repo else found)
        return queryset, False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say that the list ends after a thousand."""
        said = f"The newest {MOST_ROWS_COUNTED:,} that match; filter or search for older ones."
        return super().changelist_view(request, {**(extra_context or {}), "subtitle": said})

    @admin.display(description="chain")
    def place(self, entry: AuditEntry) -> str:
        """Return whose chain it is on, and where."""
        return f"{entry.tenant or SITE} #{entry.seq}"

    @admin.display(description="actor")
    def who(self, entry: AuditEntry) -> str:
        """Return who acted; the reconciler itself needs no kind."""
        is_system = entry.actor_kind == ActorKind.SYSTEM
        return entry.actor_name if is_system else f"{entry.actor_kind} {entry.actor_name}"

    @admin.display(description="repository")
    def where(self, entry: AuditEntry) -> str:
        """Return repository and branch, as far as the act had any."""
        return f"{entry.repo}@{entry.branch}" if entry.branch else entry.repo

    @admin.display(description="object")
    def what(self, entry: AuditEntry) -> str:
        """Return kind and id of what it is about."""
        return f"{entry.object_kind} {entry.object_id}"

    @admin.display(description="trace")
    def trace(self, entry: AuditEntry) -> str:
        """Return a link to everything with the same correlation id."""
        address = reverse("admin:audit_auditentry_changelist")
        query = urlencode({"q": entry.correlation_id})
        return format_html('<a href="{}?{}">{}</a>', address, query, entry.correlation_id)

    @admin.display
    def reason(self, entry: AuditEntry) -> str:
        """Return the reason that was given."""
        return str(json.loads(entry.body).get("reason", ""))

    @admin.display
    def data(self, entry: AuditEntry) -> str:
        """Return what else was recorded."""
        recorded = json.dumps(json.loads(entry.body).get("data", {}), indent=2, ensure_ascii=False)
        return format_html("<pre>{}</pre>", recorded)
