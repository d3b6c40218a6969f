"""Decisions are what they always were, or the number of the rules that make them was raised."""

import json
from typing import Any

import pytest

from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS
from tests.determinism.golden_decisions import decided, golden, main

GOLDEN = golden()
HOW = "If that was meant, raise {kind} in RULES_VERSIONS; then run golden_decisions."


@pytest.mark.parametrize("kind", sorted(EVALUATORS))
def test_rules_decide_what_they_always_did_or_have_another_number(kind: str) -> None:
    assert RULES_VERSIONS[kind] == GOLDEN["rules_versions"][kind], (
        "the number was raised: write down what is decided now, with golden_decisions"
    )
    for case in (one for one in GOLDEN["cases"] if one["task_kind"] == kind):
        facts, decision = decided(case, GOLDEN["policies"])

        assert facts == case["facts"], HOW.format(kind=kind)
        assert decision == case["decision"], HOW.format(kind=kind)


def test_the_golden_file_leaves_no_check_no_rule_and_no_act_out() -> None:
    decisions = [case["decision"] for case in GOLDEN["cases"]]
    rules = {
        hit["rule"] for one in decisions for draft in one["findings"] for hit in draft["rule_hits"]
    }
    acts = {act["act"] for one in decisions for act in one["alert_acts"]}

    assert {case["task_kind"] for case in GOLDEN["cases"]} == EVALUATORS.keys()
    assert rules >= RULE_WEIGHTS.keys() - {"review.unmapped"}
    assert acts == {
        "open",
        "reopen",
        "update",
        "void_acknowledgement",
        "expire_acknowledgement",
        "void_snooze",
        "end_snooze",
        "escalation_due",
        "resolve",
    }


def test_another_decision_is_not_written_down_under_the_same_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    changed = golden()
    changed["cases"][0]["decision"]["reason"] = "as it never was"
    kind = changed["cases"][0]["task_kind"]
    file = tmp_path / "golden.json"
    file.write_text(json.dumps(changed), encoding="utf-8")
    monkeypatch.setattr("tests.determinism.golden_decisions.FILE", file)
    monkeypatch.setattr("sys.argv", ["golden_decisions"])

    assert main() == 1
    assert f"Raise the number of {kind}" in capsys.readouterr().out
    monkeypatch.setitem(RULES_VERSIONS, kind, RULES_VERSIONS[kind] + 1)
    assert main() == 0
    written = json.loads(file.read_text(encoding="utf-8"))
    assert written["cases"] == GOLDEN["cases"]
    assert written["rules_versions"][kind] == GOLDEN["rules_versions"][kind] + 1
