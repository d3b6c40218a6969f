"""When a moved head's check may be planned for later: only where it could but say "settle"."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.domain.policy import Policy
from reconciliation.evaluators.head_drift import evaluate_head_drift
from reconciliation.evaluators.settling import AT_ONCE, Moved, wait_to_settle
from tests.unit.evaluators.facts import NOON, head_facts, policy

HEAD_A, HEAD_B, HEAD_C = "a" * 40, "b" * 40, "c" * 40
ADVANCE = Moved(
    branch_class="other",
    governed_head=HEAD_A,
    before=HEAD_A,
    after=HEAD_B,
    is_forced=None,
    is_recorded=False,
)
SETTLE = timedelta(seconds=policy().head_drift.settle_seconds)


def test_a_working_branch_that_moved_is_checked_when_it_has_settled() -> None:
    assert wait_to_settle(ADVANCE, policy()) == SETTLE


@pytest.mark.parametrize("branch_class", ["default", "protected"])
def test_a_guarded_branch_waits_when_its_host_says_that_nothing_was_rewritten(
    branch_class: str,
) -> None:
    advance = replace(ADVANCE, branch_class=branch_class, is_forced=False)

    assert wait_to_settle(advance, policy()) == SETTLE


@pytest.mark.parametrize(
    "moved",
    [
        replace(ADVANCE, branch_class="default"),
        replace(ADVANCE, branch_class="protected", is_forced=True),
        replace(ADVANCE, branch_class="default", is_forced=False, before=HEAD_C),
        replace(ADVANCE, after=None),
        replace(ADVANCE, after="0" * 40),
        replace(ADVANCE, governed_head=None),
        replace(ADVANCE, after=HEAD_A),
        replace(ADVANCE, is_recorded=True),
    ],
    ids=[
        "guarded and the host says nothing",
        "guarded and forced",
        "guarded and already elsewhere",
        "deleted",
        "deleted, by a null id",
        "new",
        "back in sync",
        "covered by a run",
    ],
)
def test_what_may_be_decided_at_once_is_checked_at_once(moved: Moved) -> None:
    assert wait_to_settle(moved, policy()) == AT_ONCE


@given(
    branch_class=st.sampled_from(["default", "protected", "governed", "other"]),
    relation=st.sampled_from(["ancestor", "descendant", "diverged", "unrelated", "unknown"]),
    governed=st.sampled_from([None, HEAD_A]),
    after=st.sampled_from([None, HEAD_A, HEAD_B]),
    seconds=st.integers(0, SETTLE.seconds - 1),
)
def test_whatever_waits_would_have_been_told_to_settle(
    branch_class: str, relation: str, governed: str | None, after: str | None, seconds: int
) -> None:
    rules: Policy = policy()
    moved = replace(
        ADVANCE,
        branch_class=branch_class,
        governed_head=governed,
        after=after,
        is_forced=relation != "ancestor",
    )
    facts = head_facts(
        branch_class=branch_class,
        governed_head=governed,
        observed_head=after,
        relation=relation,
        head_changed_at=NOON,
    )

    decision = evaluate_head_drift(facts, rules, NOON + timedelta(seconds=seconds))

    if wait_to_settle(moved, rules) > AT_ONCE:
        assert decision.decision == "settle"
        assert decision.defer_until == NOON + wait_to_settle(moved, rules)
