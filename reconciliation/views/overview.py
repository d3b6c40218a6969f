"""The first page: what is broken now, since when, who has it, and is the picture fresh."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from audit.correlation import is_well_formed
from governance.selectors.visible import NotVisible
from reconciliation.selectors.alerts import AlertFilter, alert_list
from reconciliation.selectors.overview import overview
from reconciliation.selectors.trace import trace_of
from reconciliation.views.address import any_text
from reconciliation.views.visit import Visit, for_people, takes

_ALERTS_SHOWN = 8


@require_safe
@for_people
def overview_page(visit: Visit) -> HttpResponse:
    """Show the overview, or only its live part when the page refreshes itself."""
    alerts = alert_list(visit.caller, chosen=AlertFilter())
    return visit.page(
        "parts/overview_live.html" if visit.is_refresh else "overview.html",
        seen=overview(visit.caller, now=visit.now),
        alerts=alerts.lines[:_ALERTS_SHOWN],
    )


@require_safe
@for_people
@takes({"q": any_text})
def find(visit: Visit) -> HttpResponse:
    """Go to what was typed: an alert number, a correlation id, or repositories by name."""
    asked = visit.asked["q"].strip()
    if asked.startswith("#") and asked[1:].isdecimal():
        return redirect("pages:alert", int(asked[1:]))
    if is_well_formed(asked) and "/" not in asked:
        try:
            trace_of(asked, visit.caller)
        except NotVisible:
            pass
        else:
            return redirect("pages:trace", asked)
    tenant, _, rest = asked.partition("/")
    repo, at, branch = rest.partition("@")
    if at and tenant and repo.strip() and branch.strip():
        return redirect("pages:branch", tenant.strip(), repo.strip(), branch.strip())
    response = redirect("pages:repositories")
    response["Location"] += f"?{visit.request.GET.urlencode()}" if asked else ""
    return response
