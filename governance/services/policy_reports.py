"""Plain values of what is known and done about policies, the same for the API and the command."""

from collections.abc import Sequence
from typing import Any

from audit.domain.canonical import utc_text
from governance.domain.policy_layers import Origin
from governance.domain.policy_schema import setting_of
from governance.domain.policy_text import PolicyProblem
from governance.models import PolicyVersion
from governance.selectors.policies import Explanation
from governance.services.policy_planning import Plan
from governance.services.policy_publishing import Published

MOST_PROBLEMS = 100
"""A text may hold thousands of mistakes of one kind; nobody reads past the first hundred."""


def problem_values(problems: Sequence[PolicyProblem]) -> list[dict[str, Any]]:
    """Return the first hundred problems; line and column are 0 where there was no text."""
    return [
        {
            "pointer": problem.pointer,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "code": problem.code,
            "detail": problem.message,
            "severity": problem.severity,
        }
        for problem in problems[:MOST_PROBLEMS]
    ]


def plan_values(plan: Plan) -> dict[str, Any]:
    """Return what publishing would do; `current_version` is 0 where none is in force."""
    return {
        "digest": plan.digest,
        "current_version": plan.previous.version if plan.previous else 0,
        "changes": [
            {"key": change.key, "before": change.before, "after": change.after}
            for change in plan.changes
        ],
        "loosened_floors": list(plan.loosened_floors),
        "overruled_below": [
            {
                "layer": below.layer,
                "key": below.key,
                "wanted": below.wanted,
                "in_force": below.in_force,
            }
            for below in plan.overruled_below
        ],
        "warnings": problem_values(plan.warnings),
    }


def published_values(published: Published) -> dict[str, Any]:
    """Return the version in force after publishing, and what changed."""
    return {
        "is_new": published.is_new,
        "version": _version_values(published.version),
        "plan": plan_values(published.plan),
    }


def explanation_values(explanation: Explanation) -> dict[str, Any]:
    """Return the policy in force and the origin of each value."""
    return {
        "digest": explanation.digest,
        "layers": [
            {"name": layer.name, "version": layer.version, "digest": layer.digest}
            for layer in explanation.layers
        ],
        "values": [_origin_values(origin) for origin in explanation.origins],
    }


def _origin_values(origin: Origin) -> dict[str, Any]:
    floor = origin.floor
    return {
        "key": origin.key,
        "value": origin.value,
        "unit": setting_of(origin.key).unit,
        "set_by": [layer.label for layer in origin.layers],
        "floor": {"value": floor.value, "by": floor.by.label} if floor else None,
        "overruled": [
            {"layer": overruled.layer.label, "wanted": overruled.wanted}
            for overruled in origin.overruled
        ],
        "capped_by": origin.capped_by,
    }


def _version_values(version: PolicyVersion) -> dict[str, Any]:
    return {
        "id": version.pk,
        "layer": version.layer,
        "target": version.target,
        "branch_pattern": version.branch_pattern,
        "version": version.version,
        "digest": version.digest,
        "author": version.author,
        "approved_by": version.approved_by,
        "reason": version.reason,
        "published_at": utc_text(version.published_at),
    }
