"""Records of webhook sources, deliveries and refusals; secrets show their fingerprint only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from governance.admin.scoped import (
    ReadOnlyInline,
    ScopedAdmin,
    TenantFilter,
    as_json,
    fingerprint,
    page_link,
)
from governance.domain.encryption import WrongKey
from reconciliation.models import WebhookDelivery, WebhookRefusal, WebhookSecret, WebhookSource


class SecretInline(ReadOnlyInline):
    """The secrets of a source, without their values."""

    model = WebhookSecret
    fields = ("secret_fingerprint", "created_at", "expires_at", "revoked_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return rows without their values: a lost key must not close the page."""
        return super().get_queryset(request).defer("value")

    @admin.display(description="fingerprint")
    def secret_fingerprint(self, row: WebhookSecret) -> str:
        """Return what tells it apart from another one."""
        try:
            return fingerprint(row.value)
        except WrongKey as error:
            return f"unreadable: {error}"


class RefusalInline(ReadOnlyInline):
    """What was refused on a source."""

    model = WebhookRefusal
    fields = ("reason", "count", "first_at", "last_at", "last_event", "last_correlation_id")
    readonly_fields = fields


@admin.register(WebhookSource)
class WebhookSourceAdmin(ScopedAdmin):
    """Webhook sources; their path token is half of the secret, so it shows its beginning only."""

    tenant_path = "tenant__slug"
    list_display = ("__str__", "tenant", "repository", "host_kind", "created_at", "revoked_at")
    list_filter = (TenantFilter, "host_kind")
    list_select_related = ("tenant", "repository")
    search_fields = ("name", "token__exact")
    exclude = ("token",)
    readonly_fields = ("token_start",)
    inlines = (SecretInline, RefusalInline)

    @admin.display(description="token")
    def token_start(self, row: WebhookSource) -> str:
        """Return its first six characters."""
        return f"{row.token[:6]}…"


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ScopedAdmin):
    """Deliveries, newest first; bodies are known by their hash."""

    tenant_path = "source__tenant__slug"
    list_display = ("received_at", "event", "source", "outcome", "reason", "delivery_id", "trace")
    list_filter = (TenantFilter, "outcome", "received_at")
    list_select_related = ("source",)
    search_fields = ("correlation_id__exact", "delivery_id__exact")
    search_help_text = "Exact correlation id or delivery id."
    exclude = ("body", "headers", "events")
    readonly_fields = ("headers_kept", "normalised_events")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return rows without their bodies."""
        return super().get_queryset(request).defer("body")

    @admin.display(description="headers")
    def headers_kept(self, row: WebhookDelivery) -> str:
        """Return the headers that were worth keeping."""
        return as_json(row.headers)

    @admin.display(description="events")
    def normalised_events(self, row: WebhookDelivery) -> str:
        """Return what it announced, in our words."""
        return as_json(row.events)

    @admin.display(description="trace")
    def trace(self, row: WebhookDelivery) -> str:
        """Return a link to everything with its correlation id."""
        return page_link(reverse("pages:trace", args=(row.correlation_id,)), "trace")


@admin.register(WebhookRefusal)
class WebhookRefusalAdmin(ScopedAdmin):
    """Refused requests, counted per source and reason."""

    tenant_path = "source__tenant__slug"
    list_display = ("reason", "source", "count", "first_at", "last_at", "last_event")
    list_filter = (TenantFilter,)
    list_select_related = ("source",)
    search_fields = ("reason", "last_correlation_id__exact")
    ordering = ("-last_at", "-id")
