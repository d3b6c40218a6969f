"""Plain values of what a simulation found, the same for the API and the command."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.domain.canonical import utc_text
from governance.services.policy_reports import plan_values
from reconciliation.domain.consequences import Consequences
from reconciliation.domain.simulation import Rules, Stated
from reconciliation.services.simulation import Example, Simulation

MOST_REPOSITORIES = 100
MOST_CONSEQUENCES = 200


def simulation_values(found: Simulation) -> dict[str, Any]:
    """Return what a simulation found; of many repositories the most changed hundred."""
    differences, gaps = found.differences, found.gaps
    shown = differences.by_repository[:MOST_REPOSITORIES]
    return {
        "against": found.against.value,
        "since": utc_text(found.since),
        "until": utc_text(found.until),
        "oldest_at": _moment(found.oldest_at),
        "is_complete": found.is_complete,
        "evaluations": differences.evaluations,
        "differing": differences.differing,
        "total": dict(differences.total),
        "repositories": [
            {"tenant": tenant, "repo": repo, **counts} for (tenant, repo), counts in shown
        ],
        "repositories_left_out": len(differences.by_repository) - len(shown),
        "if_published": _published_values(found.if_published),
        "groups": [
            {
                "check": group.check,
                "stable_class": group.stable_class,
                "severity": group.severity,
                **counts,
            }
            for group, counts in differences.by_group
        ],
        "decisions": [
            {
                "check": one.check,
                "before": one.before,
                "after": one.after,
                "evaluations": one.evaluations,
            }
            for one in differences.decisions
        ],
        "examples": [_example_values(one) for one in found.examples],
        "gaps": {
            "unreadable": gaps.unreadable,
            "without_paths": gaps.without_paths,
            "without_merges": gaps.without_merges,
        },
        "plan": plan_values(found.plan),
    }


def _published_values(found: Consequences) -> dict[str, Any]:
    places, each = found.by_repository[:MOST_REPOSITORIES], found.each[:MOST_CONSEQUENCES]
    return {
        "total": dict(found.total),
        "repositories": [
            {"tenant": tenant, "repo": repo, **counts} for (tenant, repo), counts in places
        ],
        "repositories_left_out": len(found.by_repository) - len(places),
        "consequences": [
            {
                "changes": list(one.changes),
                **one.key._asdict(),
                "severity_before": one.severity_before,
                "severity_after": one.severity_after,
                "summary": one.summary,
            }
            for one in each
        ],
        "consequences_left_out": len(found.each) - len(each),
    }


def _example_values(one: Example) -> dict[str, Any]:
    speaking: Stated | None = one.would_be or one.was
    return {
        "change": one.change,
        "tenant": one.place.tenant,
        "workspace": one.place.workspace,
        "repo": one.place.repo,
        "branch": one.place.branch,
        "check": one.check,
        "stable_class": one.stable_class,
        "evaluated_at": utc_text(one.evaluated_at),
        "evaluation": one.evaluation_id,
        "task": one.task_id,
        "decision_before": one.before,
        "decision_after": one.after,
        "severity_before": one.was.severity if one.was else "",
        "severity_after": one.would_be.severity if one.would_be else "",
        "alerting_before": one.was is not None and one.was.alerting,
        "alerting_after": one.would_be is not None and one.would_be.alerting,
        "rules_gained": _rules(one.rules_gained),
        "rules_lost": _rules(one.rules_lost),
        "summary": speaking.summary if speaking else "",
    }


def _rules(rules: Rules) -> list[Mapping[str, Any]]:
    return [{"rule": rule, "weight": weight} for rule, weight in rules]


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)
