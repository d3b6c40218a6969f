"""How bad it is: the heaviest hit decides, and what no rule knows is for review."""

from itertools import permutations

import pytest

from governance.domain.policy import Mode
from reconciliation.domain.findings import Decision, FindingDraft, RuleHit
from reconciliation.domain.risk import (
    RULE_WEIGHTS,
    SEVERITIES,
    heard,
    hit,
    is_alerting,
    severity_of,
)
from tests.unit.evaluators.facts import DEFAULTS, policy


@pytest.mark.parametrize(
    ("weight", "severity"),
    [
        (0, "info"),
        (14, "info"),
        (15, "low"),
        (39, "low"),
        (40, "medium"),
        (69, "medium"),
        (70, "high"),
        (89, "high"),
        (90, "critical"),
        (100, "critical"),
    ],
)
def test_the_weight_of_the_heaviest_hit_is_the_severity(weight: int, severity: str) -> None:
    assert severity_of([RuleHit("x", weight)]) == severity
    assert severity_of([RuleHit("x", 0), RuleHit("y", weight), RuleHit("z", 0)]) == severity


def test_many_light_hits_do_not_add_up() -> None:
    assert severity_of([RuleHit(f"rule-{number}", 39) for number in range(20)]) == "low"


def test_no_hit_at_all_is_for_review() -> None:
    assert severity_of([]) == "medium"


@pytest.mark.parametrize("rule", sorted(RULE_WEIGHTS))
def test_every_rule_has_a_weight_that_a_policy_may_change(rule: str) -> None:
    assert 0 <= RULE_WEIGHTS[rule] <= 100
    assert hit(rule, DEFAULTS) == RuleHit(rule, RULE_WEIGHTS[rule])
    assert hit(rule, policy({rule: {"weight": 77}})).weight == 77


@pytest.mark.parametrize(
    "rule",
    [
        "drift.rewrite_protected",
        "drift.delete_protected",
        "drift.high_risk_path",
        "drift.not_lease_holder",
        "drift.moved_after_run",
        "drift.direct_push",
        "drift.two_leases",
    ],
)
def test_the_high_risks_of_the_domain_are_high_by_default(rule: str) -> None:
    assert SEVERITIES.index(severity_of([hit(rule, DEFAULTS)])) >= SEVERITIES.index("high")
    assert is_alerting([hit(rule, DEFAULTS)], DEFAULTS, Mode.ALERT)


@pytest.mark.parametrize(("set_to", "weight"), [(0, 40), (39, 40), (40, 40), (41, 41), (100, 100)])
def test_a_review_never_weighs_less_than_medium(set_to: int, weight: int) -> None:
    assert hit("review.unmapped", policy({"review.unmapped": {"weight": set_to}})).weight == weight


def test_hits_are_heard_heaviest_first_then_by_name() -> None:
    hits = [RuleHit("b", 50), RuleHit("a", 50), RuleHit("c", 90), RuleHit("a", 50, (("x", "1"),))]

    for order in permutations(hits):
        assert heard(order, DEFAULTS, Mode.ALERT) == (hits[2], hits[1], hits[3], hits[0])


def test_what_is_off_is_not_heard() -> None:
    hits = [hit("drift.unknown", DEFAULTS), hit("drift.recreated", DEFAULTS)]

    rules = policy({"drift.unknown": {"mode": "off"}})

    assert [one.rule for one in heard(hits, rules, Mode.ALERT)] == ["drift.recreated"]
    assert heard(hits, DEFAULTS, Mode.OFF) == ()
    louder = policy({"drift.unknown": {"mode": "observe"}})
    assert [one.rule for one in heard(hits, louder, Mode.OFF)] == ["drift.unknown"]


@pytest.mark.parametrize("from_severity", SEVERITIES)
@pytest.mark.parametrize("weight", [0, 15, 40, 70, 90])
def test_an_alert_needs_the_severity_that_the_policy_names(weight: int, from_severity: str) -> None:
    rules = policy(alerts={"from_severity": from_severity})
    hits = [RuleHit("drift.unknown", weight)]

    expected = SEVERITIES.index(severity_of(hits)) >= SEVERITIES.index(from_severity)
    assert is_alerting(hits, rules, Mode.ALERT) is expected
    assert not is_alerting(hits, rules, Mode.OBSERVE)


def test_an_observed_rule_lends_its_weight_to_no_alert() -> None:
    rules = policy({"drift.unknown": {"mode": "observe"}})
    hits = [RuleHit("drift.unknown", 95), RuleHit("drift.recreated", 50)]

    assert severity_of(hits) == "critical"
    assert not is_alerting(hits, rules, Mode.ALERT)
    assert not is_alerting([], rules, Mode.ALERT)


def draft(severity: str) -> FindingDraft:
    return FindingDraft("x", severity, False, (), "", "", "", (), ())


@pytest.mark.parametrize(
    ("severities", "worst"),
    [
        ((), ""),
        (("info",), "info"),
        (("low", "critical", "high"), "critical"),
        (SEVERITIES, "critical"),
    ],
)
def test_a_decision_is_as_bad_as_its_worst_finding(severities: tuple[str, ...], worst: str) -> None:
    decision = Decision("x", "x", clean=False, findings=tuple(map(draft, severities)))

    assert decision.severity == worst
