"""Records of findings and alerts; alerts can be acknowledged, several at once, with a reason."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from audit.admin.read_only import caller_of
from audit.correlation import current_correlation_id
from governance.admin.scoped import ScopedAdmin, TenantFilter, as_json, page_link
from governance.services.access import caller_in_tenant
from reconciliation.models import Alert, AlertState, Finding
from reconciliation.services.alert_answers import (
    AlertNotFound,
    CannotAcknowledge,
    acknowledge_alert,
)

_MOST_AT_ONCE = 100


class AcknowledgeForm(forms.Form):
    """A reason, and for how long; the states that are acknowledged travel beside it."""

    reason = forms.CharField(
        min_length=10,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 70}),
        help_text="At least 10 characters; it is kept in the audit trail.",
    )
    hours = forms.TypedChoiceField(
        coerce=int,
        initial=24,
        label="Holds for",
        choices=(
            (1, "1 hour"),
            (24, "24 hours"),
            (72, "3 days"),
            (168, "7 days"),
            (720, "30 days"),
        ),
    )


@admin.register(Finding)
class FindingAdmin(ScopedAdmin):
    """Findings, newest first."""

    list_display = (
        "id",
        "severity",
        "stable_class",
        "check_kind",
        "repository",
        "branch",
        "state",
        "last_seen_at",
        "page",
    )
    list_filter = (TenantFilter, "state", "severity", "check_kind")
    list_select_related = ("repository__tenant",)
    search_fields = ("branch", "fingerprint__exact")
    exclude = ("rule_hits", "expected", "actual")
    readonly_fields = ("why", "differs")

    def view_on_site(self, row: Finding) -> str:
        """Return the page of its branch."""
        where = (row.repository.tenant.slug, row.repository.slug)
        if not row.branch:
            return reverse("pages:repository", args=where)
        return reverse("pages:branch", args=(*where, row.branch))

    @admin.display(description="page")
    def page(self, row: Finding) -> str:
        """Return a link to it."""
        return page_link(self.view_on_site(row))

    @admin.display(description="rule hits")
    def why(self, row: Finding) -> str:
        """Return the rules that led to its severity."""
        return as_json(row.rule_hits)

    @admin.display(description="expected and actual")
    def differs(self, row: Finding) -> str:
        """Return what was expected and what there was."""
        return as_json({"expected": row.expected, "actual": row.actual})


@admin.register(Alert)
class AlertAdmin(ScopedAdmin):
    """Alerts, newest first."""

    list_display = (
        "id",
        "severity",
        "state",
        "about",
        "repository",
        "branch",
        "opened_at",
        "acknowledged_as",
        "page",
    )
    list_filter = (TenantFilter, "state", "severity")
    list_select_related = ("finding", "repository")
    search_fields = ("branch", "correlation_id__exact")
    date_hierarchy = "opened_at"
    actions = ("acknowledge",)

    def view_on_site(self, row: Alert) -> str:
        """Return the page of the product."""
        return reverse("pages:alert", args=(row.pk,))

    @admin.display(description="page")
    def page(self, row: Alert) -> str:
        """Return a link to it."""
        return page_link(self.view_on_site(row))

    @admin.display(description="class")
    def about(self, row: Alert) -> str:
        """Return what it is about."""
        return row.finding.stable_class

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        """Offer the action to those who may answer alerts; each alert is checked again."""
        known: bool | None = getattr(request, "_may_acknowledge", None)
        if known is None:
            caller = caller_of(request)
            known = caller.tenants is None or any(
                caller_in_tenant(request.user, tenant).has_scope("alerts")
                for tenant in sorted(caller.tenants)
            )
            # The admin asks for every list and every action.
            request._may_acknowledge = known  # type: ignore[attr-defined]
        return known

    @admin.action(description="Acknowledge with a reason…", permissions=["acknowledge"])
    def acknowledge(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask for a reason, then acknowledge each alert in the state that was on the screen."""
        rows = list(
            queryset.exclude(state=AlertState.RESOLVED)
            .select_related("finding", "repository__tenant")
            .order_by("id")[:_MOST_AT_ONCE]
        )
        if not rows:
            self.message_user(request, "All of them are resolved already.", messages.WARNING)
            return None
        form = AcknowledgeForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return TemplateResponse(
                request,
                "admin/reconciliation/alert/acknowledge.html",
                {
                    **self.admin_site.each_context(request),
                    "title": "Acknowledge alerts",
                    "opts": self.model._meta,
                    "rows": rows,
                    "form": form,
                },
            )
        for row in rows:
            self._acknowledge_one(request, row, form)
        return None

    def _acknowledge_one(self, request: HttpRequest, row: Alert, form: AcknowledgeForm) -> None:
        try:
            acknowledge_alert(
                row.pk,
                caller=caller_in_tenant(request.user, row.repository.tenant.slug),
                user_id=request.user.pk,
                reason=form.cleaned_data["reason"],
                lasts=timedelta(hours=form.cleaned_data["hours"]),
                expected_state_digest=request.POST.get(f"state_{row.pk}", ""),
                correlation_id=current_correlation_id(),
                now=timezone.now(),
            )
        except (AlertNotFound, CannotAcknowledge) as error:
            self.message_user(request, f"Alert {row.pk}: {error}", messages.ERROR)
        else:
            self.message_user(request, f"Alert {row.pk} is acknowledged.", messages.SUCCESS)
