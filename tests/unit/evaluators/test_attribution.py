"""Who is answerable for a head: every push that led to it, each under the leases of its moment."""

from dataclasses import replace
from typing import Any

import pytest

from governance.domain.policy import Policy
from reconciliation.domain.facts import HeadFacts, LeaseFact, PullRequestFact, Push, RunFact
from reconciliation.domain.findings import Decision, FindingDraft
from reconciliation.evaluators.head_drift import evaluate_head_drift
from tests.unit.evaluators.facts import (
    DEFAULTS,
    INSTANT,
    NOON,
    A,
    B,
    C,
    D,
    head_facts,
    lease,
    policy,
    push,
    request,
    run,
    running,
    seconds,
)

PR_FLOW = policy(changes={"required_pr_flow": True})


def decide(facts: HeadFacts, rules: Policy = DEFAULTS) -> Decision:
    return evaluate_head_drift(facts, rules, NOON)


def finding_of(facts: HeadFacts, rules: Policy = DEFAULTS) -> FindingDraft:
    (finding,) = decide(facts, rules).findings
    return finding


def rules_of(facts: HeadFacts, rules: Policy = DEFAULTS) -> list[str]:
    return [hit.rule for draft in decide(facts, rules).findings for hit in draft.rule_hits]


def held(lease_id: str = "lease-1", **values: Any) -> LeaseFact:
    """Return a lease of alice since two hours before noon."""
    return lease(lease_id, **({"acquired_at": NOON - seconds(7200)} | values))


TWO = (push("mallory", A, C, ago=3700), push("alice", C, B, ago=3600))
"""A stranger's push, and the holder's on top of it."""
COALESCED = head_facts(branch_class="governed", pusher="alice", pushes=TWO, leases=(held(),))


# --- every push counts ----------------------------------------------------------------------------


def test_a_strangers_push_is_not_hidden_by_the_holders_on_top_of_it() -> None:
    finding = finding_of(COALESCED)

    assert finding.rule_hits[0].rule == "drift.not_lease_holder"
    assert finding.rule_hits[0].inputs == (
        ("pusher", "mallory"),
        ("holder", "alice"),
        ("lease", "lease-1"),
    )
    assert (finding.severity, finding.alerting) == ("high", True)
    assert ("pushers", "alice, mallory") in finding.actual
    assert ("pusher", "alice") in finding.actual


@pytest.mark.parametrize(
    ("pushers", "rule"),
    [
        (("alice", "alice"), "drift.ungoverned_governed"),
        (("alice", "reach-cli"), "drift.ungoverned_governed"),
        (("mallory", "alice"), "drift.not_lease_holder"),
        (("alice", "mallory"), "drift.not_lease_holder"),
        (("", "alice"), "drift.pusher_unknown_under_lease"),
        (("alice", ""), "drift.pusher_unknown_under_lease"),
        (("", "mallory"), "drift.not_lease_holder"),
    ],
)
def test_of_several_pushes_the_worst_counts(pushers: tuple[str, str], rule: str) -> None:
    first, last = (replace(one, pusher=name) for one, name in zip(TWO, pushers, strict=True))

    assert rules_of(replace(COALESCED, pusher=pushers[1], pushes=(first, last)))[0] == rule


def test_facts_that_name_the_last_pusher_only_are_judged_by_that() -> None:
    before = replace(COALESCED, pushes=())

    assert rules_of(before) == ["drift.ungoverned_governed"]
    assert "pushers" not in dict(finding_of(before).actual)


# --- the lease at that time -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "is_breach"),
    [
        ({}, True),
        ({"acquired_at": NOON - seconds(3700)}, True),
        ({"acquired_at": NOON - seconds(3700) + INSTANT}, False),
        ({"ended_at": NOON - seconds(3700)}, False),
        ({"ended_at": NOON - seconds(3700) + INSTANT}, True),
        ({"expires_at": NOON - seconds(3700)}, False),
        ({"expires_at": NOON - seconds(3700) + INSTANT}, True),
        # Written down as expired long after it had run out.
        ({"expires_at": NOON - seconds(3800), "ended_at": NOON}, False),
        ({"acquired_at": None}, True),
    ],
)
def test_a_push_counts_against_the_leases_that_stood_when_it_was_made(
    values: dict[str, Any], is_breach: bool
) -> None:
    facts = replace(COALESCED, leases=(held(**values),))

    assert ("drift.not_lease_holder" in rules_of(facts)) is is_breach


def test_the_finding_says_who_held_the_branch_then() -> None:
    mine = replace(COALESCED, pushes=TWO[1:])

    assert ("lease_holder", "alice (lease-1)") in finding_of(mine).actual
    over = replace(mine, leases=(held(ended_at=NOON - seconds(3700)),))
    assert "lease_holder" not in dict(finding_of(over).actual)


@pytest.mark.parametrize(
    ("first_ended_ago", "collide"), [(3650, False), (3649, True), (3651, False)]
)
def test_leases_collide_only_while_both_stand(first_ended_ago: int, collide: bool) -> None:
    first = held(ended_at=NOON - seconds(first_ended_ago))
    second = held(lease_id="lease-2", acquired_at=NOON - seconds(3650))

    facts = replace(COALESCED, leases=(first, second))

    assert ("drift.two_leases" in rules_of(facts)) is collide


def test_of_leased_paths_nobody_can_tell_whose_push_touched_them() -> None:
    paths = replace(COALESCED.changed, known=True, paths=("auth/session.py",), truncated=False)
    facts = replace(COALESCED, changed=paths, leases=(held(scope="path-prefix", paths=("auth",)),))

    finding = finding_of(facts)

    assert finding.rule_hits[0].rule == "drift.pusher_unknown_under_lease"
    assert finding.rule_hits[0].inputs[0] == ("among", "mallory")
    strangers_only = replace(facts, pushes=TWO[:1])
    assert rules_of(strangers_only)[0] == "drift.not_lease_holder"


# --- plans, runs and the pull request flow --------------------------------------------------------


@pytest.mark.parametrize(
    ("pushers", "actor", "decision"),
    [
        (("bob", "bob"), "bob", "expected"),
        (("mallory", "bob"), "bob", "drift"),
        (("bob", ""), "bob", "drift"),
        (("mallory", ""), "*", "expected"),
    ],
)
def test_a_plan_for_one_covers_no_push_of_another(
    pushers: tuple[str, str], actor: str, decision: str
) -> None:
    window = {
        "branch": "topic",
        "actor": actor,
        "starts_at": "2026-03-02T10:00:00.000000Z",
        "ends_at": "2026-03-02T12:00:00.000000Z",
    }
    pushes = tuple(replace(one, pusher=name) for one, name in zip(TWO, pushers, strict=True))
    facts = head_facts("diverged", branch_class="default", pusher=pushers[1], pushes=pushes)

    assert decide(facts, policy(head_drift={"expected_rewrites": [window]})).decision == decision


def test_a_living_run_is_not_waited_for_when_somebody_else_pushed_as_well() -> None:
    facts = replace(COALESCED, leases=(), runs=(running(actor="alice"),))

    assert decide(replace(facts, pushes=TWO[1:])).decision == "running"
    assert decide(facts).decision == "drift"


DIRECT = head_facts(
    branch_class="default",
    pusher="merge-bot",
    pushes=(push("bob", A, C, ago=3601), push("merge-bot", C, B)),
)


@pytest.mark.parametrize(
    ("merges", "runs", "is_direct"),
    [
        ((), (), True),
        ((request(state="merged", merge_sha=B),), (), True),
        (
            (request(state="merged", merge_sha=C), request(8, state="merged", merge_sha=B)),
            (),
            False,
        ),
        ((request(state="merged", head_sha=C), request(8, state="merged", head_sha=B)), (), False),
        ((request(state="merged", merge_sha=B),), (run(A, C),), False),
        ((request(state="merged", merge_sha=B),), (run(D, C),), True),
    ],
)
def test_a_merge_on_top_excuses_no_direct_push_below_it(
    merges: tuple[PullRequestFact, ...], runs: tuple[RunFact, ...], is_direct: bool
) -> None:
    facts = replace(DIRECT, merged_pull_requests=merges, runs=runs)

    assert ("drift.direct_push" in rules_of(facts, PR_FLOW)) is is_direct


def test_which_push_was_direct_is_told() -> None:
    facts = replace(DIRECT, merged_pull_requests=(request(state="merged", merge_sha=B),))

    assert finding_of(facts, PR_FLOW).rule_hits[0].inputs == (("pushes", f"bob {C}"),)


def test_the_order_in_which_pushes_are_stored_means_nothing() -> None:
    assert decide(COALESCED) == decide(replace(COALESCED, pushes=TWO[::-1]))
    assert isinstance(COALESCED.pushes[0], Push)
