"""Every rule has an example that hits it, and none of a rule that is none."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from governance.domain.policy import Mode, Policy
from reconciliation.domain.facts import ChangedPaths
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.evaluators import EVALUATORS
from tests.unit.evaluators.facts import (
    DEFAULTS,
    NOON,
    A,
    B,
    C,
    D,
    head_facts,
    lease,
    merge,
    missing_run_facts,
    policy,
    push,
    renewal_facts,
    request,
    run,
    stale_facts,
)

DAY = timedelta(days=1)

GOVERNED = head_facts(branch_class="governed")
RISKY = policy(changes={"high_risk_paths": ["auth/**"]})
FLOW = policy(changes={"required_pr_flow": True})
GATED = policy(changes={"required_gates": ["ci"]})
LEASED = policy(runs={"require_lease": True})
PLANNED = policy(
    head_drift={
        "expected_rewrites": [
            {
                "branch": "**",
                "actor": "*",
                "starts_at": "2026-01-01T00:00:00.000000Z",
                "ends_at": "2026-12-31T00:00:00.000000Z",
            }
        ]
    }
)
MERGED = missing_run_facts(leases=(), pull_requests=(request(state="merged", merge_sha=C),))
MERGED_AND_DELETED = replace(
    GOVERNED, observed_head=None, merged_from=(request(state="merged", head_sha=A),)
)
LIFELESS = renewal_facts(left=timedelta(0), last_heartbeat_at=NOON - DAY)

CHECKS = {
    "drift": "head_drift",
    "lease": "lease_renewal",
    "review": "head_drift",
    "run": "missing_run",
    "stale": "stale_branch",
}
"""The first word of a rule to the check whose rule it is."""

EXAMPLES: dict[str, tuple[Any, Policy]] = {
    "drift.rewrite_protected": (
        replace(GOVERNED, relation="diverged", branch_class="default"),
        DEFAULTS,
    ),
    "drift.delete_protected": (
        replace(GOVERNED, observed_head=None, branch_class="protected"),
        DEFAULTS,
    ),
    "drift.rewrite_governed": (replace(GOVERNED, relation="descendant"), DEFAULTS),
    "drift.delete_governed": (replace(GOVERNED, observed_head=None), DEFAULTS),
    "drift.rewrite_other": (head_facts("unrelated"), DEFAULTS),
    "drift.delete_other": (head_facts(observed_head=None), DEFAULTS),
    "drift.delete_merged": (MERGED_AND_DELETED, DEFAULTS),
    "drift.recreated": (head_facts(was_gone=True), DEFAULTS),
    "drift.high_risk_path": (head_facts(changed=ChangedPaths(True, ("auth/x",), False)), RISKY),
    "drift.paths_unknown": (head_facts(changed=ChangedPaths(False, (), False)), RISKY),
    "drift.not_lease_holder": (head_facts(leases=(lease(),)), DEFAULTS),
    "drift.pusher_unknown_under_lease": (head_facts(leases=(lease(),), pusher=""), DEFAULTS),
    "drift.two_leases": (head_facts(leases=(lease(), lease("lease-2"))), DEFAULTS),
    "drift.moved_after_run": (head_facts(runs=(run(D, A),)), DEFAULTS),
    "drift.run_gates_missing": (head_facts(runs=(run(A, B, gates=(("ci", "failed"),)),)), GATED),
    "drift.run_not_of_pusher": (head_facts(runs=(run(A, B, actor="alice"),)), DEFAULTS),
    "drift.run_owner_unknown": (head_facts(runs=(run(A, B),), pusher=""), DEFAULTS),
    "drift.run_without_lease": (head_facts(runs=(run(A, B),)), LEASED),
    "drift.merge_differs": (head_facts(merges=(merge(change="differs"),)), DEFAULTS),
    "drift.merge_unknown": (head_facts(merges=(merge(change="unknown"),)), DEFAULTS),
    "drift.merge_unrecorded": (head_facts(merges=(merge(runs=()),)), DEFAULTS),
    "drift.direct_push": (head_facts(branch_class="default", pushes=(push("bob", A, B),)), FLOW),
    "drift.ungoverned_protected": (head_facts(branch_class="protected"), DEFAULTS),
    "drift.ungoverned_governed": (GOVERNED, DEFAULTS),
    "drift.ungoverned_other": (head_facts(), DEFAULTS),
    "drift.created_protected": (
        head_facts("", governed_head=None, branch_class="protected"),
        DEFAULTS,
    ),
    "drift.created_governed": (replace(GOVERNED, governed_head=None, relation=""), DEFAULTS),
    "drift.created_other": (head_facts("", governed_head=None, leases=(lease(),)), DEFAULTS),
    "drift.unknown": (head_facts("unknown"), DEFAULTS),
    "drift.expected_rewrite": (head_facts("diverged"), PLANNED),
    "stale.idle_merged": (stale_facts(merged_by="ancestry"), DEFAULTS),
    "stale.idle_unmerged": (stale_facts(), DEFAULTS),
    "stale.idle_merge_unknown": (stale_facts(merge_unknown="too large"), DEFAULTS),
    "stale.notice": (stale_facts(idle=61 * DAY), DEFAULTS),
    "stale.base_behind": (stale_facts(leases=(lease(),), behind_default=9), DEFAULTS),
    "run.missing_for_head": (
        replace(missing_run_facts(leases=()), pull_requests=(request(),)),
        DEFAULTS,
    ),
    "run.missing_under_lease": (missing_run_facts(), DEFAULTS),
    "run.missing_for_merge": (MERGED, DEFAULTS),
    "run.gates_missing": (replace(MERGED, runs=(run(A, B),)), GATED),
    "lease.expired_without_life": (LIFELESS, DEFAULTS),
    "lease.life_cap_reached": (renewal_facts(left=timedelta(0), max_expires_at=NOON), DEFAULTS),
    "review.unmapped": (head_facts("sideways"), DEFAULTS),
}


def hits_of(rule: str, facts: Any, rules: Policy) -> dict[str, int]:
    _, evaluate = EVALUATORS[CHECKS[rule.partition(".")[0]]]
    decision = evaluate(facts, rules, NOON)
    return {hit.rule: hit.weight for draft in decision.findings for hit in draft.rule_hits}


@pytest.mark.parametrize("rule", RULE_WEIGHTS)
def test_every_rule_can_be_hit_with_its_weight_and_is_silent_when_it_is_off(rule: str) -> None:
    facts, rules = EXAMPLES[rule]

    assert hits_of(rule, facts, rules)[rule] == RULE_WEIGHTS[rule]
    silenced = replace(rules, rule_modes=((rule, Mode.OFF),))
    assert rule not in hits_of(rule, facts, silenced)


def test_there_is_no_example_of_a_rule_that_is_none() -> None:
    assert EXAMPLES.keys() == RULE_WEIGHTS.keys()
