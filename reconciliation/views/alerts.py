"""Alerts and findings: the lists, one alert in full, and what a person may do about it."""

from collections.abc import Callable
from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from governance.selectors.visible import NotVisible, visible_tenants
from reconciliation.models import CHECK_KINDS, Alert, AlertState, FindingState, Severity
from reconciliation.selectors.alerts import UNRESOLVED, AlertFilter, alert_list, alert_page
from reconciliation.selectors.findings import FindingFilter, finding_list
from reconciliation.selectors.visible import visible_alerts
from reconciliation.services.alert_answers import (
    AlertNotFound,
    CannotAcknowledge,
    acknowledge_alert,
    snooze_alert,
    unacknowledge_alert,
)
from reconciliation.views.accepting import accept_from, is_acceptable
from reconciliation.views.address import any_text, one_of
from reconciliation.views.forms import (
    AcceptHeadForm,
    AcknowledgeForm,
    ReasonForm,
    ReopenForm,
    SnoozeForm,
)
from reconciliation.views.visit import Visit, for_people, takes

STATES = ((UNRESOLVED, "Unresolved"), *AlertState.choices, ("all", "All"))
SEVERITIES = tuple(reversed(Severity.choices))


@require_safe
@for_people
@takes(
    {
        "state": one_of(STATES),
        "severity": one_of(SEVERITIES),
        "check": one_of(CHECK_KINDS),
        "tenant": any_text,
        "repo": any_text,
        "after": any_text,
    }
)
def alerts(visit: Visit) -> HttpResponse:
    """List alerts; the filter is the address, so that it can be kept and shared."""
    asked = visit.asked
    chosen = AlertFilter(
        state=asked["state"] or UNRESOLVED,
        severity=asked["severity"],
        tenant=asked["tenant"],
        repo=asked["repo"],
        check=asked["check"],
    )
    return visit.page(
        "alerts.html",
        page=alert_list(visit.caller, chosen=chosen, after=asked["after"]),
        chosen=chosen,
        is_filtered=chosen != AlertFilter() or bool(asked["after"]),
        states=STATES,
        severities=SEVERITIES,
        checks=CHECK_KINDS,
        tenants=visible_tenants(visit.caller),
    )


@require_safe
@for_people
@takes(
    {
        "state": one_of(FindingState.choices),
        "severity": one_of(SEVERITIES),
        "check": one_of(CHECK_KINDS),
        "class": any_text,
        "tenant": any_text,
        "repo": any_text,
        "after": any_text,
    }
)
def findings(visit: Visit) -> HttpResponse:
    """List findings, also those that are no alert."""
    asked = visit.asked
    chosen = FindingFilter(
        state=asked["state"] or FindingState.OPEN.value,
        check=asked["check"],
        stable_class=asked["class"],
        severity=asked["severity"],
        tenant=asked["tenant"],
        repo=asked["repo"],
    )
    return visit.page(
        "findings.html",
        page=finding_list(visit.caller, chosen=chosen, after=asked["after"]),
        chosen=chosen,
        is_filtered=chosen != FindingFilter() or bool(asked["after"]),
        severities=SEVERITIES,
        checks=CHECK_KINDS,
    )


@require_safe
@for_people
def alert(visit: Visit, alert_id: int) -> HttpResponse:
    """Show one alert: the matrix, why this severity, what to do, what happened so far."""
    return _alert(visit, alert_id, wrong=None)


def _alert(visit: Visit, alert_id: int, *, wrong: ReasonForm | None) -> HttpResponse:
    seen = alert_page(alert_id, visit.caller, now=visit.now)
    tenant = seen.alert.repository.tenant.slug
    is_over = seen.alert.state == AlertState.RESOLVED
    forms: dict[str, ReasonForm] = {
        "acknowledge": AcknowledgeForm(),
        "snooze": SnoozeForm(),
        "reopen": ReopenForm(),
        "accept": AcceptHeadForm(),
    }
    failed = next((name for name, form in forms.items() if type(form) is type(wrong)), "")
    if wrong is not None:
        forms[failed] = wrong
    for name in ("acknowledge", "snooze"):
        forms[name].bind_to(expected_state_digest=seen.alert.state_digest)
    if seen.branch is not None:
        forms["accept"].bind_to(expected_head=seen.branch.observed_head or "")
    return visit.page(
        "alert.html",
        status=400 if wrong is not None else 200,
        seen=seen,
        can_answer=not is_over and visit.may("alerts", tenant=tenant),
        can_accept=seen.branch is not None
        and not is_over
        and is_acceptable(seen.branch)
        and visit.may("admin", tenant=tenant),
        forms=forms,
        failed=failed,
        # A form that is not offered any more cannot show why it was refused.
        refusals=wrong.non_field_errors() if wrong is not None and is_over else (),
    )


@require_POST
@for_people
def acknowledge(visit: Visit, alert_id: int) -> HttpResponse:
    """Acknowledge the alert in the state that was on the screen."""
    caller = visit.caller_with("alerts", tenant=_tenant_of(visit, alert_id))
    form = AcknowledgeForm(visit.request.POST)
    return _answer(
        visit,
        alert_id,
        form,
        act=lambda: acknowledge_alert(
            alert_id,
            caller=caller,
            user_id=visit.user.pk,
            reason=form.cleaned_data["reason"],
            lasts=form.lasts,
            expected_state_digest=form.cleaned_data["expected_state_digest"],
            correlation_id=visit.correlation_id,
            now=visit.now,
        ),
        done="Acknowledged. The alert opens again when the time is up or the branch moves.",
    )


@require_POST
@for_people
def snooze(visit: Visit, alert_id: int) -> HttpResponse:
    """Silence the alert until a moment, in the state that was on the screen."""
    caller = visit.caller_with("alerts", tenant=_tenant_of(visit, alert_id))
    form = SnoozeForm(visit.request.POST)
    return _answer(
        visit,
        alert_id,
        form,
        act=lambda: snooze_alert(
            alert_id,
            caller=caller,
            until=visit.now + timedelta(hours=form.cleaned_data["hours"]),
            reason=form.cleaned_data["reason"],
            expected_state_digest=form.cleaned_data["expected_state_digest"],
            correlation_id=visit.correlation_id,
            now=visit.now,
        ),
        done="Snoozed. The alert opens again when the snooze ends or the branch moves.",
    )


@require_POST
@for_people
def reopen(visit: Visit, alert_id: int) -> HttpResponse:
    """Take an acknowledgement or a snooze back."""
    caller = visit.caller_with("alerts", tenant=_tenant_of(visit, alert_id))
    form = ReopenForm(visit.request.POST)
    return _answer(
        visit,
        alert_id,
        form,
        act=lambda: unacknowledge_alert(
            alert_id,
            caller=caller,
            reason=form.cleaned_data["reason"],
            correlation_id=visit.correlation_id,
            now=visit.now,
        ),
        done="The alert is open again.",
    )


@require_POST
@for_people
def accept(visit: Visit, alert_id: int) -> HttpResponse:
    """Accept the head that the alert is about as the governed snapshot."""
    caller = visit.caller_with("admin", tenant=_tenant_of(visit, alert_id))
    seen = alert_page(alert_id, visit.caller, now=visit.now)
    if seen.branch is None:
        raise NotVisible(f"The branch of alert {alert_id} is not known any more.")
    form = AcceptHeadForm(visit.request.POST)
    if not accept_from(form, seen.branch, caller=caller, visit=visit):
        return _alert(visit, alert_id, wrong=form)
    messages.success(
        visit.request, "Accepted. The alert resolves itself once the checks come back clean."
    )
    return redirect("pages:alert", alert_id)


def _tenant_of(visit: Visit, alert_id: int) -> str:
    found = visible_alerts(visit.caller).filter(pk=alert_id).first()
    if found is None:
        raise NotVisible(f"There is no alert {alert_id}, or it is not yours to see.")
    return str(found.repository.tenant.slug)


def _answer(
    visit: Visit, alert_id: int, form: ReasonForm, *, act: Callable[[], Alert], done: str
) -> HttpResponse:
    if not form.is_valid():
        return _alert(visit, alert_id, wrong=form)
    try:
        act()
    except AlertNotFound as error:
        raise NotVisible(str(error)) from error
    except CannotAcknowledge as error:
        if error.code == "not_allowed":
            raise PermissionDenied(error.message) from error
        form.add_error("reason" if error.code == "reason_too_short" else None, error.message)
        return _alert(visit, alert_id, wrong=form)
    messages.success(visit.request, done)
    return redirect("pages:alert", alert_id)
