"""Records of tenants, workspaces and memberships; superusers may change them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from governance.admin.scoped import EditableAdmin, TenantFilter, as_json
from governance.models import Alias, Membership, Tenant, Workspace
from governance.services.aliases import InvalidAlias, check_alias


@admin.register(Tenant)
class TenantAdmin(EditableAdmin):
    """Tenants; a slug is part of addresses and trails, so it is chosen once."""

    tenant_path = "slug"
    list_display = ("slug", "name", "created_at")
    search_fields = ("slug", "name")
    ordering = ("slug",)
    fields = ("slug", "name", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Let the slug and its date be set once."""
        return ("slug", "created_at") if obj else ()

    def tenant_of(self, row: Any) -> str:
        """A tenant's own trail tells of it."""
        return str(row.slug)


@admin.register(Workspace)
class WorkspaceAdmin(EditableAdmin):
    """Workspaces; manifests are imported, never typed here."""

    tenant_path = "tenant__slug"
    list_display = ("slug", "tenant", "name", "created_at")
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("slug", "name")
    ordering = ("tenant__slug", "slug")
    fields = ("tenant", "slug", "name", "created_at", "manifest_as_imported")
    readonly_fields = ("manifest_as_imported",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Let the name change, and the rest be set once."""
        once = ("tenant", "slug", "created_at") if obj else ()
        return (*once, "manifest_as_imported")

    @admin.display(description="manifest")
    def manifest_as_imported(self, row: Workspace) -> str:
        """Return the manifest as it was imported."""
        return as_json(row.manifest)


@admin.register(Membership)
class MembershipAdmin(EditableAdmin):
    """Who may see and do what, tenant by tenant."""

    tenant_path = "tenant__slug"
    list_display = ("user", "tenant", "role")
    list_filter = (TenantFilter, "role")
    list_select_related = ("user", "tenant")
    search_fields = ("user__username",)
    ordering = ("tenant__slug", "user__username", "id")
    raw_id_fields = ("user",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let superusers end a membership."""
        return self._may_edit(request)


class AliasForm(forms.ModelForm):  # type: ignore[type-arg]
    """An alias that joins a name to an identity of the same tenant."""

    class Meta:
        model = Alias
        fields = ("tenant", "name", "identity")
        widgets = {"name": forms.TextInput, "identity": forms.TextInput}

    def clean(self) -> dict[str, Any]:
        """Refuse chains, circles and names that are joined already."""
        cleaned: dict[str, Any] = super().clean() or {}
        tenant = cleaned.get("tenant") or getattr(self.instance, "tenant", None)
        if tenant is not None and cleaned.get("name") and cleaned.get("identity"):
            try:
                check_alias(
                    tenant, cleaned["name"], cleaned["identity"], instead_of=self.instance.pk
                )
            except InvalidAlias as error:
                self.add_error("name", str(error))
        return cleaned


@admin.register(Alias)
class AliasAdmin(EditableAdmin):
    """The names of one person or bot in a tenant."""

    tenant_path = "tenant__slug"
    form = AliasForm
    list_display = ("name", "identity", "tenant", "created_at")
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("name", "identity")
    ordering = ("tenant__slug", "identity", "name")
    fields = ("tenant", "name", "identity", "created_at")
    readonly_fields = ("created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Let the tenant be set once: an alias never moves to another one."""
        return ("tenant", "created_at") if obj else ("created_at",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let superusers part a name from its identity."""
        return self._may_edit(request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Date a new alias."""
        if not change:
            obj.created_at = timezone.now()
        super().save_model(request, obj, form, change)
