"""Head drift as tables, complete: the class, the severity and the rules of every situation."""

from dataclasses import replace

import pytest

from reconciliation.domain.facts import HeadFacts
from reconciliation.evaluators.drift_class import classify
from reconciliation.evaluators.head_drift import evaluate_head_drift
from tests.unit.evaluators.facts import (
    DEFAULTS,
    NOON,
    A,
    B,
    head_facts,
    request,
)
from tests.unit.evaluators.tables import rows_of

CLASSES = ("default", "protected", "governed", "other")

# --- the class of a drift -------------------------------------------------------------------------

DRIFT_CLASSES = """
governed observed was_gone relation    class
none     none     *        *           in_sync
none     there    *        *           created
there    none     *        *           deleted
there    same     *        *           in_sync
there    other    yes      *           recreated
there    other    no       ancestor    fast_forward
there    other    no       descendant  rewound
there    other    no       diverged    rewritten
there    other    no       unrelated   unrelated
there    other    no       unknown     unknown
there    other    no       same        unknown
there    other    no       -           unknown
there    other    no       sideways    unknown
"""
RELATIONS = ("ancestor", "descendant", "diverged", "unrelated", "unknown", "same", "-", "sideways")
SITUATIONS = [
    (*heads, was_gone, relation)
    for heads in (
        ("none", "none"),
        ("none", "there"),
        ("there", "none"),
        ("there", "same"),
        ("there", "other"),
    )
    for was_gone in ("yes", "no")
    for relation in RELATIONS
]


@pytest.mark.parametrize(("governed", "observed", "was_gone", "relation"), SITUATIONS)
def test_every_situation_of_two_heads_has_exactly_one_class(
    governed: str, observed: str, was_gone: str, relation: str
) -> None:
    given = (governed, observed, was_gone, relation)
    (expected,) = [
        row[-1]
        for row in rows_of(DRIFT_CLASSES)
        if all(cell in {"*", one} for cell, one in zip(row, given, strict=False))
    ]

    facts = head_facts(
        "" if relation == "-" else relation,
        governed_head={"none": None, "there": A}[governed],
        observed_head={"none": None, "there": B, "same": A, "other": B}[observed],
        was_gone=was_gone == "yes",
    )

    assert classify(facts) == expected


# --- how bad a drift is ---------------------------------------------------------------------------

DRIFT_SEVERITIES = """
history           default   protected governed  other
ancestor          medium    medium    medium    info
descendant        critical  critical  medium    low
diverged          critical  critical  medium    low
unrelated         critical  critical  medium    low
unknown           medium    medium    medium    medium
deleted           critical  critical  medium    info
deleted-merged    critical  critical  low       info
created           medium    medium    low       recorded
back-ancestor     critical  critical  medium    medium
back-descendant   critical  critical  medium    medium
back-diverged     critical  critical  medium    medium
back-unrelated    critical  critical  medium    medium
back-unknown      critical  critical  medium    medium
"""
DRIFT_RULES = """
history           rules
ancestor          ungoverned
descendant        rewrite
diverged          rewrite
unrelated         rewrite
unknown           unknown
deleted           delete
deleted-merged    delete-merged
created           created
back-ancestor     recreated,delete,ungoverned
back-descendant   recreated,delete,rewrite
back-diverged     recreated,delete,rewrite
back-unrelated    recreated,delete,rewrite
back-unknown      recreated,delete,unknown
"""


def history(name: str) -> HeadFacts:
    """Return the facts of a line of the two tables above."""
    if name == "deleted":
        return head_facts("", observed_head=None, previous_head=A)
    if name == "deleted-merged":
        merged = (request(state="merged", head_sha=A),)
        return head_facts("", observed_head=None, previous_head=A, merged_from=merged)
    if name == "created":
        return head_facts("", governed_head=None)
    return head_facts(name.removeprefix("back-"), was_gone=name.startswith("back-"))


def rule_of(word: str, branch_class: str) -> str:
    """Return the rule that a word of the table stands for on a branch of this class."""
    level = "protected" if branch_class in {"default", "protected"} else branch_class
    if word == "delete-merged":
        return "drift.delete_merged" if level == "governed" else f"drift.delete_{level}"
    return f"drift.{word}" if word in {"recreated", "unknown"} else f"drift.{word}_{level}"


@pytest.mark.parametrize("branch_class", CLASSES)
@pytest.mark.parametrize(
    ("name", "severities"), [(row[0], row[1:]) for row in rows_of(DRIFT_SEVERITIES)]
)
def test_every_history_on_every_class_of_branch_has_its_severity(
    name: str, severities: list[str], branch_class: str
) -> None:
    expected = dict(zip(CLASSES, severities, strict=True))[branch_class]

    decision = evaluate_head_drift(
        replace(history(name), branch_class=branch_class), DEFAULTS, NOON
    )

    if expected == "recorded":
        assert decision.decision == "record_snapshot"
        return
    (finding,) = decision.findings
    assert finding.severity == expected
    assert finding.alerting == (expected in {"high", "critical"})


@pytest.mark.parametrize("branch_class", CLASSES)
@pytest.mark.parametrize(("name", "words"), [tuple(row) for row in rows_of(DRIFT_RULES)])
def test_every_history_on_every_class_of_branch_hits_its_rules(
    name: str, words: str, branch_class: str
) -> None:
    decision = evaluate_head_drift(
        replace(history(name), branch_class=branch_class), DEFAULTS, NOON
    )

    hits = {hit.rule for draft in decision.findings for hit in draft.rule_hits}
    expected = {rule_of(word, branch_class) for word in words.split(",")}
    assert hits == (set() if (name, branch_class) == ("created", "other") else expected)
