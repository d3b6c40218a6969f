"""The planner of sweeps: how often each repository is checked, and when the lap ends."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from reconciliation.selectors.sweep_planner import planner
from reconciliation.services.planner_terms import planner_terms
from reconciliation.views.address import any_text
from reconciliation.views.visit import Visit, for_people, takes


@require_safe
@for_people
@takes({"tenant": any_text, "after": any_text})
def sweep_planner(visit: Visit) -> HttpResponse:
    """Show what the budget of sweeps means: the lap, the hosts, who waits, every repository."""
    seen = planner(
        visit.caller,
        terms=planner_terms(),
        now=visit.now,
        tenant=visit.asked["tenant"],
        after=visit.asked["after"],
    )
    return visit.page("sweep_planner.html", seen=seen, page=seen.page, terms=seen.terms)
