"""The budget of sweeps that is in force here, as the planner's view tells it."""

from datetime import timedelta

from reconciliation.selectors.sweep_planner import PlannerTerms
from reconciliation.services.installation import configured_budget
from reconciliation.services.sweep_repositories import budget_in_force


def planner_terms() -> PlannerTerms:
    """Return what a tick plans with the settings of this installation."""
    budget = configured_budget()
    per_tick, per_tenant = budget_in_force(budget)
    return PlannerTerms(
        per_tick=per_tick,
        per_tenant=per_tenant,
        host_calls_per_minute=budget.host_calls_per_minute,
        tick=budget.tick,
        interval=max(budget.interval, timedelta(seconds=1)),
    )
