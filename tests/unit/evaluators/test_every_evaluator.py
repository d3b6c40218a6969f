"""What holds for every rule: pure, total, indifferent to order, storable and replayable."""

from dataclasses import fields, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.domain.canonical import canonical_json
from governance.domain.policy import Policy
from reconciliation.domain.codec import decode, encode
from reconciliation.domain.findings import Decision
from reconciliation.domain.risk import RULE_WEIGHTS, SEVERITIES
from reconciliation.evaluators import EVALUATORS
from tests.unit.evaluators.facts import NOON
from tests.unit.evaluators.strategies import FACTS, PATIENT, policies

KINDS = sorted(EVALUATORS)
IN_ORDER = {"ladder"}
"""The one sequence whose order means something."""


def shuffled(value: Any, chance: Random) -> Any:
    """Return facts with every tuple in another order."""
    changes = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if isinstance(item, tuple) and field.name not in IN_ORDER:
            items = [shuffled(one, chance) if hasattr(one, "__slots__") else one for one in item]
            chance.shuffle(items)
            changes[field.name] = tuple(items)
    return replace(value, **changes)


def text_of(decision: Decision) -> str:
    return canonical_json(encode(decision))


def decide(kind: str, facts: Any, rules: Policy) -> Decision:
    return EVALUATORS[kind][1](facts, rules, NOON)


@pytest.mark.parametrize("kind", KINDS)
@settings(PATIENT, max_examples=70)
@given(data=st.data(), seed=st.integers(0, 1000))
def test_the_same_facts_always_give_the_same_bytes(
    kind: str, data: st.DataObject, seed: int
) -> None:
    """Called again, on facts in another order, on facts read back from storage."""
    facts, rules = data.draw(FACTS[kind]), data.draw(policies())
    facts_type, _ = EVALUATORS[kind]
    stored = encode(facts)

    decision = decide(kind, facts, rules)
    text = text_of(decision)

    assert text_of(decide(kind, facts, rules)) == text
    assert text_of(decide(kind, shuffled(facts, Random(seed)), rules)) == text
    assert encode(facts) == stored
    assert decode(facts_type, stored) == facts
    assert text_of(decide(kind, decode(facts_type, stored), rules)) == text
    assert decode(Decision, encode(decision)) == decision
    can_be_stored_and_applied(decision)


def can_be_stored_and_applied(decision: Decision) -> None:
    assert 0 < len(decision.decision) <= 40
    assert len(decision.stable_class) <= 40
    assert decision.defer_until is None or decision.defer_until > NOON
    assert decision.defer_until is None or not decision.findings
    assert not (decision.clean and decision.findings)
    classes = [draft.stable_class for draft in decision.findings]
    assert len(set(classes)) == len(classes), "two findings with one fingerprint"
    for draft in decision.findings:
        assert len(draft.stable_class) <= 40
        assert draft.severity in SEVERITIES
        assert draft.summary
        assert {hit.rule for hit in draft.rule_hits} <= RULE_WEIGHTS.keys()
        weights = [hit.weight for hit in draft.rule_hits]
        assert weights
        assert weights == sorted(weights, reverse=True)
        if any(hit.rule.startswith("review.") for hit in draft.rule_hits):
            assert draft.severity not in {"info", "low"}


@PATIENT
@given(FACTS["head_drift"], policies())
def test_heads_that_differ_are_never_said_to_agree(facts: Any, rules: Policy) -> None:
    decision = decide("head_drift", facts, rules)

    nothing = {None, "", "0" * 40, "0" * 64}
    one, other = (
        None if head in nothing else head for head in (facts.governed_head, facts.observed_head)
    )
    assert (decision.decision == "in_sync") == (one == other)
    assert (decision.stable_class == "in_sync") == (one == other)


@PATIENT
@given(FACTS["head_drift"], policies())
def test_a_snapshot_only_ever_moves_to_the_observed_head(facts: Any, rules: Policy) -> None:
    decision = decide("head_drift", facts, rules)

    moves = decision.decision in {"advance_snapshot", "record_snapshot"}
    assert (decision.advance_to is not None) == moves
    if moves:
        assert decision.advance_to == facts.observed_head
        assert decision.clean
        known = {run.run_id: run for run in facts.runs}
        assert all(known[name].status == "succeeded" for name in decision.advance_run_ids)
        assert bool(decision.advance_run_ids) == (decision.decision == "advance_snapshot")


def test_every_task_kind_has_its_rule_and_arbitrary_facts() -> None:
    assert FACTS.keys() == EVALUATORS.keys()
