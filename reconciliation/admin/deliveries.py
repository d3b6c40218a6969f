"""Records of webhook sources, deliveries and refusals; secrets show their fingerprint only."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from audit.admin.read_only import caller_of
from audit.correlation import current_correlation_id
from governance.admin.scoped import (
    ReadOnlyInline,
    ScopedAdmin,
    TenantFilter,
    as_json,
    fingerprint,
    page_link,
)
from governance.domain.encryption import WrongKey
from governance.services.access import caller_in_tenant
from reconciliation.models import (
    ReconciliationTask,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSecret,
    WebhookSource,
)
from reconciliation.selectors.deliveries import DeliveryChoice
from reconciliation.services.delivery_replay import NotAllowed, Replay, replay_deliveries

_MOST_AT_ONCE = 100
_MOST_TASKS = 50


class ReplayForm(forms.Form):
    """Why deliveries are replayed."""

    reason = forms.CharField(
        min_length=10,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 70}),
        help_text="At least 10 characters; it is kept in the audit trail.",
    )


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


class WorkedIn(admin.SimpleListFilter):
    """Whether what a delivery announced was worked in."""

    title = "worked in"
    parameter_name = "worked_in"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the choices."""
        return [("no", "Not yet"), ("yes", "Yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list; an unknown word narrows nothing."""
        wanted = {"no": True, "yes": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(applied_at__isnull=wanted)


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
    list_display = ("received_at", "outcome", "event", "repo", "source", "trace", "reason")
    list_filter = (
        TenantFilter,
        "outcome",
        WorkedIn,
        "source__host_kind",
        "received_at",
    )
    list_select_related = ("source", "task")
    search_fields = ("correlation_id__exact", "delivery_id__exact")
    search_help_text = "Exact correlation id or delivery id."
    readonly_fields = ("headers_kept", "normalised_events", "tasks_caused", "body_kept", "trace")
    fieldsets = (
        (None, {"fields": ("received_at", "source", "event", "outcome", "reason")}),
        ("What came of it", {"fields": ("tasks_caused", "applied_at", "trace")}),
        ("What it announced", {"fields": ("normalised_events",)}),
        (
            "As it came",
            {"fields": ("delivery_id", "headers_kept", "body_sha256", "body_kept", "secret_id")},
        ),
    )
    actions = ("replay",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return rows without their bodies."""
        return super().get_queryset(request).defer("body")

    @admin.display(description="headers")
    def headers_kept(self, row: WebhookDelivery) -> str:
        """Return the headers that were worth keeping."""
        return as_json(row.headers)

    @admin.display(description="repository")
    def repo(self, row: WebhookDelivery) -> str | None:
        """Return what it made us read; nothing where it asked for no work."""
        return row.task.repo if row.task else None

    @admin.display(description="body")
    def body_kept(self, row: WebhookDelivery) -> str:
        """Return how long it is, and whether it is kept."""
        kept = WebhookDelivery.objects.filter(pk=row.pk, body__isnull=False).exists()
        return f"{row.body_bytes} bytes, {'kept' if kept else 'kept no more'}"

    @admin.display(description="events")
    def normalised_events(self, row: WebhookDelivery) -> str:
        """Return what it announced, in our words."""
        return as_json(row.events)

    @admin.display(description="trace")
    def trace(self, row: WebhookDelivery) -> str:
        """Return a link to everything with its correlation id."""
        return page_link(reverse("pages:trace", args=(row.correlation_id,)), "trace")

    @admin.display(description="tasks")
    def tasks_caused(self, row: WebhookDelivery) -> str:
        """Return links to the observation that it caused or joined and to what followed."""
        if row.task_id is None:
            return "none"
        caused = Q(pk=row.task_id) | Q(parent_id=row.task_id)
        # Whoever may see the delivery may see its tenant's tasks.
        tasks = ReconciliationTask.objects.filter(caused, tenant=row.source.tenant.slug)
        lines: SafeString = format_html_join(
            "",
            '<div><a href="{}">{}</a> {}</div>',
            (
                (reverse("pages:task", args=(task.pk,)), task, task.get_state_display())
                for task in tasks.order_by("id")[:_MOST_TASKS]
            ),
        )
        return lines

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Offer the action to those who may deal with tasks; each tenant is checked again."""
        known: bool | None = getattr(request, "_may_replay", None)
        if known is None:
            caller = caller_of(request)
            known = caller.tenants is None or any(
                caller_in_tenant(request.user, tenant).has_scope("tasks")
                for tenant in sorted(caller.tenants)
            )
            # The admin asks for every list and every action.
            request._may_replay = known  # type: ignore[attr-defined]
        return known

    @admin.action(description="Replay with a reason…", permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Show what a replay would plan, ask for a reason, then do it."""
        chosen: dict[str, list[int]] = {}
        for pk, tenant in queryset.order_by("id").values_list("pk", "source__tenant__slug")[
            :_MOST_AT_ONCE
        ]:
            chosen.setdefault(tenant, []).append(pk)
        form = ReplayForm(request.POST if "apply" in request.POST else None)
        is_asked = form.is_valid()
        reason = form.cleaned_data["reason"] if is_asked else ""
        done = [
            one
            for tenant, ids in sorted(chosen.items())
            for one in self._replay(request, tenant, ids, reason=reason).deliveries
        ]
        if not is_asked:
            return TemplateResponse(
                request,
                "admin/reconciliation/webhookdelivery/replay.html",
                {
                    **self.admin_site.each_context(request),
                    "title": "Replay deliveries",
                    "opts": self.model._meta,
                    "rows": done,
                    "form": form,
                },
            )
        planned = sum(one.outcome in {"planned", "requeued"} for one in done)
        self.message_user(
            request, f"{planned} of {len(done)} deliveries are worked again.", messages.SUCCESS
        )
        return None

    def _replay(self, request: HttpRequest, tenant: str, ids: list[int], *, reason: str) -> Replay:
        try:
            return replay_deliveries(
                DeliveryChoice(delivery_ids=tuple(ids)),
                caller=caller_in_tenant(request.user, tenant),
                reason=reason,
                correlation_id=current_correlation_id(),
                now=timezone.now(),
                cap=_MOST_AT_ONCE,
                dry_run=not reason,
            )
        except NotAllowed as error:
            self.message_user(request, f"{tenant}: {error}", messages.ERROR)
            return Replay((), 0, dry_run=not reason)


@admin.register(WebhookRefusal)
class WebhookRefusalAdmin(ScopedAdmin):
    """Refused requests, counted per source and reason."""

    tenant_path = "source__tenant__slug"
    list_display = ("reason", "source", "count", "first_at", "last_at", "last_event")
    list_filter = (TenantFilter,)
    list_select_related = ("source",)
    search_fields = ("reason", "last_correlation_id__exact")
    ordering = ("-last_at", "-id")
