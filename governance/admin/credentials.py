"""Records of credentials and API tokens; no secret is ever shown, only its fingerprint."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from governance.admin.scoped import EditableAdmin, ScopedAdmin, TenantFilter, fingerprint
from governance.domain.encryption import WrongKey
from governance.models import ApiToken, RemoteCredential


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    """A credential whose secret can be set but not read."""

    new_secret = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown again. Empty: keep the one that is stored.",
    )

    class Meta:
        model = RemoteCredential
        fields = ("tenant", "name", "username")

    def clean(self) -> dict[str, Any]:
        """Ask for a secret when there is none yet."""
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.pk is None and not cleaned.get("new_secret"):
            self.add_error("new_secret", "A new credential needs a secret.")
        return cleaned


@admin.register(RemoteCredential)
class RemoteCredentialAdmin(EditableAdmin):
    """How repositories are read; renewing a secret is what brings their dead letters back."""

    tenant_path = "tenant__slug"
    form = CredentialForm
    list_display = ("name", "tenant", "username", "created_at", "renewed_at")
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("name", "username")
    fields = ("tenant", "name", "username", "new_secret", "secret_fingerprint", "renewed_at")
    readonly_fields = ("secret_fingerprint", "renewed_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return rows without their secrets: a lost key must not close the list."""
        return super().get_queryset(request).defer("secret")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the secret's field away for those who may only look."""
        fields = super().get_fields(request, obj)
        if self.has_change_permission(request, obj):
            return fields
        return [name for name in fields if name != "new_secret"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store a new secret only when one was typed."""
        now = timezone.now()
        if form.cleaned_data.get("new_secret"):
            obj.secret = form.cleaned_data["new_secret"]
            obj.renewed_at = now if change else None
        if not change:
            obj.created_at = now
        super().save_model(request, obj, form, change)

    @admin.display(description="secret")
    def secret_fingerprint(self, row: RemoteCredential) -> str:
        """Return what tells it apart from another one."""
        if row.pk is None:
            return "none yet"
        try:
            return f"stored, fingerprint {fingerprint(row.secret)}"
        except WrongKey as error:
            return f"unreadable: {error}"


@admin.register(ApiToken)
class ApiTokenAdmin(ScopedAdmin):
    """API tokens by their prefix; issued and revoked by `manage.py api_token`."""

    tenant_path = "tenant__slug"
    list_display = ("name", "prefix", "tenant", "expires_at", "revoked_at", "last_used_at")
    list_filter = (TenantFilter,)
    list_select_related = ("tenant",)
    search_fields = ("name", "prefix__exact")
    exclude = ("digest",)
