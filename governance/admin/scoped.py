"""What admin pages share: everybody sees only their tenants' rows, and most rows only to read."""

import hashlib
import json
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from audit.admin.read_only import CappedPaginator, caller_of
from audit.correlation import current_correlation_id
from audit.domain.entries import Actor, ActorKind, Entry
from audit.services import append_one
from governance.selectors.visible import scoped, visible_tenants


class ScopedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows of the caller's tenants; changes none of them.

    Lists count to a thousand and show no facets: at a million rows, counting would be the page's
    whole cost. `tenant_path` leads from the row to its tenant's slug; empty means that rows belong
    to no tenant, and only who may see every tenant sees them.
    """

    tenant_path: ClassVar[str] = "repository__tenant__slug"
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    actions: Any = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return what the person may see."""
        rows = super().get_queryset(request)
        caller = caller_of(request)
        if not self.tenant_path:
            return rows if caller.tenants is None else rows.none()
        return scoped(rows, caller=caller, through=self.tenant_path)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let those see rows who may read them on pages and over the API."""
        caller = caller_of(request)
        return caller.has_scope("read") and (bool(self.tenant_path) or caller.tenants is None)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to the same people."""
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: rows are made by services, with their audit entry."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows are moved by services, with their audit entry."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: decisions refer to what is here."""
        return False


class EditableAdmin(ScopedAdmin):
    """Lets superusers change rows by hand, each change with its audit entry.

    Django runs admin changes in one transaction, so the row and its entry stand or fall together.
    """

    def _may_edit(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Let superusers add."""
        return self._may_edit(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let superusers change."""
        return self._may_edit(request)

    def tenant_of(self, row: Any) -> str:
        """Return the tenant whose trail gets the entry."""
        return str(row.tenant.slug)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """Store the row and say in the trail who did it, naming fields but no values."""
        super().save_model(request, obj, form, change)
        self._record(request, obj, "change" if change else "add", sorted(form.changed_data))

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        """Delete the row and say in the trail who did it."""
        self._record(request, obj, "delete", [])
        super().delete_model(request, obj)

    def _record(self, request: HttpRequest, row: Model, verb: str, changed: list[str]) -> None:
        kind = str(row._meta.model_name)
        append_one(
            Entry(
                tenant=self.tenant_of(row),
                at=timezone.now(),
                actor=Actor(ActorKind.USER, request.user.get_username()),
                action=f"{kind}.{verb}",
                object_kind=kind,
                object_id=str(row.pk),
                correlation_id=current_correlation_id(),
                data={"fields": changed, "through": "admin"},
            )
        )


class TenantFilter(admin.SimpleListFilter):
    """The caller's tenants; a list of this filter's kind asks no table for distinct values."""

    title = "tenant"
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the tenants to choose from."""
        slugs = visible_tenants(caller_of(request)).values_list("slug", flat=True)
        return [(slug, slug) for slug in slugs]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow to the tenant chosen, by way of the list's own path."""
        if not self.value():
            return queryset
        path = _path_of(queryset.model)
        return queryset.filter(**{path: self.value()})


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    """Rows below a row, to read."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever sees the row sees what is below it."""
        return True


def page_link(address: str, word: str = "open") -> SafeString:
    """Return a link from a record to its page in the product."""
    return format_html('<a href="{}">{}</a>', address, word)


def as_json(value: Any) -> SafeString:
    """Return stored JSON, as text or as values, with line breaks."""
    data = json.loads(value) if isinstance(value, str) and value else value
    return format_html("<pre>{}</pre>", json.dumps(data, indent=2, ensure_ascii=False))


def fingerprint(secret: str) -> str:
    """Return what tells two secrets apart without saying either: 12 digits of its SHA-256."""
    return hashlib.sha256(secret.encode()).hexdigest()[:12]


def _path_of(model: type[Model]) -> str:
    return str(admin.site._registry[model].tenant_path)  # type: ignore[attr-defined]  # ours all have one
