"""What a decision comes to, and which classes its branches have under another policy."""

from dataclasses import replace
from typing import Any

import pytest

from audit.domain.canonical import canonical_json
from reconciliation.domain.codec import encode
from reconciliation.domain.simulation import (
    FindingKey,
    classified_under,
    outcome_of,
    stored_outcome,
)
from reconciliation.evaluators import EVALUATORS
from tests.unit.evaluators.facts import (
    DEFAULTS,
    NOON,
    PLACE,
    alert_facts,
    head_facts,
    missing_run_facts,
    place,
    policy,
    renewal_facts,
    request,
    seconds,
    stale_facts,
)

PROTECTING = policy(branches={"protected": ["topic", "main"]})
FACTS = {
    "head_drift": head_facts("diverged"),
    "stale_branch": stale_facts(),
    "missing_run": missing_run_facts(pull_requests=(request(state="merged"),)),
    "lease_renewal": renewal_facts(left=seconds(-5), last_heartbeat_at=NOON - seconds(3600)),
}


@pytest.mark.parametrize("check", sorted(FACTS))
def test_a_decision_comes_to_the_same_from_memory_and_from_its_stored_text(check: str) -> None:
    facts = FACTS[check]
    decision = EVALUATORS[check][1](facts, DEFAULTS, NOON)

    outcome = outcome_of(decision, place=PLACE, check=check)

    text = canonical_json(encode(decision))
    assert stored_outcome(text, place=PLACE, check=check) == outcome
    assert outcome.findings, "the case must state something, or the test would say nothing"


def test_an_outcome_names_its_findings_by_what_their_fingerprints_are_made_of() -> None:
    outcome = outcome_of(
        EVALUATORS["head_drift"][1](FACTS["head_drift"], DEFAULTS, NOON),
        place=PLACE,
        check="head_drift",
    )

    (stated,) = outcome.findings
    assert stated.key == FindingKey("acme", "api", "topic", "head_drift", "rewritten")
    assert (outcome.decision, stated.severity, stated.alerting) == ("drift", "low", False)
    assert stated.rules == (("drift.rewrite_other", 20),)


def test_the_wording_is_not_the_substance_of_an_outcome() -> None:
    decision = EVALUATORS["stale_branch"][1](FACTS["stale_branch"], DEFAULTS, NOON)
    reworded = replace(
        decision, findings=tuple(replace(one, summary="x") for one in decision.findings)
    )
    heavier = replace(
        decision, findings=tuple(replace(one, severity="high") for one in decision.findings)
    )

    one, same, other = (
        outcome_of(each, place=PLACE, check="stale_branch")
        for each in (decision, reworded, heavier)
    )

    assert one.substance == same.substance
    assert one.substance != other.substance


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"decision": "x"}', '{"decision": "x", "findings": [{}]}']
)
def test_what_is_no_stored_decision_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        stored_outcome(text, place=PLACE, check="head_drift")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (head_facts(), "protected"),
        (head_facts(branch_class="governed"), "protected"),
        (
            head_facts(place=place("elsewhere"), branch_class="protected", governed_head="b" * 40),
            "other",
        ),
        (head_facts(place=place("elsewhere"), branch_class="protected"), "protected"),
        (head_facts(place=place("main"), branch_class="default"), "default"),
        (head_facts(place=place("main"), branch_class="other"), "protected"),
        (stale_facts(), "protected"),
        (stale_facts(default_branch="topic"), "default"),
        (stale_facts(default_branch="main", branch_class="default"), "default"),
        (head_facts(branch_class="protected", place=place("old"), class_now="other"), "protected"),
        (missing_run_facts(), "protected"),
    ],
    ids=[
        "it is protected now",
        "the old class says nothing",
        "it is no longer protected",
        "it drifts, so it stays protected until its head is accepted",
        "the default branch stays it",
        "not the default branch",
        "of a branch that may be stale",
        "the facts name the default branch",
        "HEAD names another one, and nobody accepted that",
        "it drifts since it was protected",
        "of a branch without a run",
    ],
)
def test_a_branch_has_the_class_that_the_policy_gives_it(facts: Any, expected: str) -> None:
    assert classified_under(facts, PROTECTING).branch_class == expected


def test_the_bases_of_pull_requests_are_classified_too() -> None:
    bases = (("main", "default"), ("work/1", "other"), ("topic", "governed"))
    under = policy(branches={"protected": ["topic"], "governed": ["work/*"]})

    found = classified_under(missing_run_facts(base_classes=bases), under)

    assert found.base_classes == (
        ("main", "default"),
        ("work/1", "governed"),
        ("topic", "protected"),
    )


@pytest.mark.parametrize(
    "facts", [FACTS["lease_renewal"], alert_facts(), head_facts(branch_class="protected")]
)
def test_facts_that_stay_as_they_are_are_not_copied(facts: Any) -> None:
    assert classified_under(facts, PROTECTING) is facts
