"""How bad it is: rules with weights, and the severity that their hits add up to; pure.

Severity comes from the heaviest hit, not from a sum: a person can check it by reading one line.
A state that no rule speaks about is never harmless: it gets `review`, at medium severity or above
whatever a policy says.
"""

from collections.abc import Sequence

from governance.domain.policy import Mode, Policy
from reconciliation.domain.findings import Inputs, RuleHit

SEVERITIES = ("info", "low", "medium", "high", "critical")

RULE_WEIGHTS: dict[str, int] = {
    # head drift
    "drift.rewrite_protected": 95,
    "drift.delete_protected": 95,
    "drift.rewrite_governed": 60,
    "drift.delete_governed": 60,
    "drift.rewrite_other": 20,
    "drift.delete_other": 5,
    "drift.delete_merged": 15,
    "drift.recreated": 55,
    "drift.high_risk_path": 80,
    "drift.paths_unknown": 50,
    "drift.not_lease_holder": 80,
    "drift.pusher_unknown_under_lease": 50,
    "drift.two_leases": 85,
    "drift.moved_after_run": 75,
    "drift.run_gates_missing": 70,
    "drift.run_not_of_pusher": 75,
    "drift.run_owner_unknown": 50,
    "drift.run_without_lease": 60,
    "drift.merge_differs": 80,
    "drift.merge_unknown": 50,
    "drift.merge_unrecorded": 50,
    "drift.direct_push": 75,
    "drift.ungoverned_protected": 50,
    "drift.ungoverned_governed": 45,
    "drift.ungoverned_other": 10,
    "drift.created_protected": 50,
    "drift.created_governed": 30,
    "drift.created_other": 5,
    "drift.unknown": 50,
    "drift.expected_rewrite": 10,
    # stale branches
    "stale.idle_merged": 20,
    "stale.idle_unmerged": 25,
    "stale.idle_merge_unknown": 25,
    "stale.notice": 5,
    "stale.base_behind": 30,
    # missing run records
    "run.missing_for_head": 50,
    "run.missing_under_lease": 60,
    "run.missing_for_merge": 75,
    "run.gates_missing": 70,
    # leases
    "lease.expired_without_life": 50,
    "lease.life_cap_reached": 55,
    # anything else
    "review.unmapped": 50,
}
"""Default weights; a policy may set others under `rules`."""

_LIMITS = ((90, "critical"), (70, "high"), (40, "medium"), (15, "low"))
_REVIEW_AT_LEAST = 40


def hit(rule: str, policy: Policy, *, inputs: Inputs = ()) -> RuleHit:
    """Return a hit of `rule` with the weight that the policy gives it.

    A review never weighs less than medium: "an unmapped case means review, never info".
    """
    weight = policy.weight_of(rule, RULE_WEIGHTS[rule])
    if rule.startswith("review."):
        weight = max(weight, _REVIEW_AT_LEAST)
    return RuleHit(rule, weight, inputs)


def heard(hits: Sequence[RuleHit], policy: Policy, check_mode: Mode) -> tuple[RuleHit, ...]:
    """Return the hits of rules that are not off, heaviest first, then by rule id."""
    live = [one for one in hits if policy.mode_of(one.rule, check_mode) is not Mode.OFF]
    return tuple(sorted(live, key=lambda one: (-one.weight, one.rule, one.inputs)))


def severity_of(hits: Sequence[RuleHit]) -> str:
    """Return the severity of the heaviest hit: 90 critical, 70 high, 40 medium, 15 low, else info.

    No hit at all means that nobody thought of this case: medium, for review.
    """
    if not hits:
        return "medium"
    weight = max(one.weight for one in hits)
    return next((level for limit, level in _LIMITS if weight >= limit), "info")


def is_alerting(hits: Sequence[RuleHit], policy: Policy, check_mode: Mode) -> bool:
    """Return whether the hits may raise an alert: heavy enough, by rules whose mode is alert."""
    speaking = [one for one in hits if policy.mode_of(one.rule, check_mode) is Mode.ALERT]
    if not speaking:
        return False
    return SEVERITIES.index(severity_of(speaking)) >= SEVERITIES.index(policy.alerts.from_severity)
