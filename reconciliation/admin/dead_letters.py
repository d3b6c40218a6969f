"""Dealing with dead letters from the admin's list of tasks: a preview, a reason, then the act."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from audit.admin.read_only import caller_of
from audit.correlation import current_correlation_id
from governance.services.access import caller_in_tenant
from reconciliation.domain.dead_letters import probable_fix
from reconciliation.models import ReconciliationTask, TaskState
from reconciliation.selectors.dead_letters import DeadLetterChoice
from reconciliation.services.dead_letters import (
    MIN_REASON,
    Dealt,
    NotAllowed,
    discard_dead_letters,
    requeue_dead_letters,
)

_MOST_AT_ONCE = 100
_DONE = {"requeue": "requeued", "discard": "discarded"}


class DealForm(forms.Form):
    """Why dead letters are requeued or discarded."""

    reason = forms.CharField(
        min_length=MIN_REASON,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 70}),
        help_text=f"At least {MIN_REASON} characters; it is kept in the audit trail.",
    )


class DeadLetterActions:
    """The two actions, for the admin of tasks; what is chosen and is no dead letter is left."""

    message_user: Callable[..., None]
    admin_site: admin.AdminSite

    def has_deal_permission(self, request: HttpRequest) -> bool:
        """Offer the actions to those who may deal with tasks; each tenant is checked again."""
        known: bool | None = getattr(request, "_may_deal", None)
        if known is None:
            caller = caller_of(request)
            known = caller.tenants is None or any(
                caller_in_tenant(request.user, tenant).has_scope("tasks")
                for tenant in sorted(caller.tenants)
            )
            # The admin asks for every list and every action.
            request._may_deal = known  # type: ignore[attr-defined]
        return known

    @admin.action(description="Requeue dead letters with a reason…", permissions=["deal"])
    def requeue(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask for a reason, then give the dead letters chosen a new series of attempts."""
        return self._deal(request, queryset, requeue_dead_letters, "requeue")

    @admin.action(description="Discard dead letters with a reason…", permissions=["deal"])
    def discard(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask for a reason, then put the dead letters chosen away for good."""
        return self._deal(request, queryset, discard_dead_letters, "discard")

    def _deal(
        self, request: HttpRequest, queryset: QuerySet[Any], act: Callable[..., Dealt], name: str
    ) -> HttpResponse | None:
        rows = list(queryset.filter(state=TaskState.DEAD).order_by("id")[:_MOST_AT_ONCE])
        form = DealForm(request.POST if "apply" in request.POST else None)
        if not form.is_valid():
            return self._preview(request, rows, form, name)
        done = refused = 0
        for tenant in sorted({row.tenant for row in rows}):
            dealt = self._act(request, tenant, rows, act, form.cleaned_data["reason"])
            done, refused = done + len(dealt.done), refused + len(dealt.refused)
        self.message_user(
            request,
            f"{done} dead letter{'' if done == 1 else 's'} {_DONE[name]}.",
            messages.SUCCESS,
        )
        if refused:
            told = f"{refused} were requeued too often already: mend their cause first."
            self.message_user(request, told, messages.WARNING)
        return None

    def _preview(
        self, request: HttpRequest, rows: list[ReconciliationTask], form: DealForm, name: str
    ) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/reconciliation/reconciliationtask/deal.html",
            {
                **self.admin_site.each_context(request),
                "title": f"{name.capitalize()} dead letters",
                "opts": ReconciliationTask._meta,
                "rows": [(row, probable_fix(row.last_error_code)) for row in rows],
                "form": form,
                "act": name,
                "done": _DONE[name],
            },
        )

    def _act(
        self,
        request: HttpRequest,
        tenant: str,
        rows: list[ReconciliationTask],
        act: Callable[..., Dealt],
        reason: str,
    ) -> Dealt:
        try:
            return act(
                DeadLetterChoice(task_ids=tuple(row.pk for row in rows if row.tenant == tenant)),
                caller=caller_in_tenant(request.user, tenant),
                reason=reason,
                correlation_id=current_correlation_id(),
                now=timezone.now(),
                cap=_MOST_AT_ONCE,
            )
        except NotAllowed as error:
            self.message_user(request, f"{tenant}: {error}", messages.ERROR)
            return Dealt((), (), 0, dry_run=False)
