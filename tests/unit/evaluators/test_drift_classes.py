"""The class of a drift: a pure function of two heads and their ancestry, read like the table."""

import pytest

from reconciliation.evaluators.drift_class import classify
from tests.unit.evaluators.facts import NULL_IDS, A, B, head_facts


@pytest.mark.parametrize(
    ("relation", "drift_class"),
    [
        ("ancestor", "fast_forward"),
        ("descendant", "rewound"),
        ("diverged", "rewritten"),
        ("unrelated", "unrelated"),
        ("unknown", "unknown"),
    ],
)
def test_heads_that_differ_are_classed_by_their_ancestry(relation: str, drift_class: str) -> None:
    assert classify(head_facts(relation)) == drift_class


@pytest.mark.parametrize("relation", ["same", "", "sideways"])
def test_heads_that_differ_are_never_in_sync_whatever_is_said_of_them(relation: str) -> None:
    assert classify(head_facts(relation)) == "unknown"


@pytest.mark.parametrize("was_gone", [False, True])
@pytest.mark.parametrize("relation", ["same", "ancestor", "unknown", ""])
def test_equal_heads_are_in_sync(relation: str, was_gone: bool) -> None:
    assert classify(head_facts(relation, observed_head=A, was_gone=was_gone)) == "in_sync"


@pytest.mark.parametrize("relation", ["ancestor", "diverged", "unknown", ""])
@pytest.mark.parametrize(
    ("governed", "observed", "was_gone", "drift_class"),
    [
        (A, None, False, "deleted"),
        (A, None, True, "deleted"),
        (None, B, False, "created"),
        (None, B, True, "created"),
        (A, B, True, "recreated"),
        (None, None, False, "in_sync"),
        (None, None, True, "in_sync"),
    ],
)
def test_a_head_that_is_missing_decides_before_ancestry(
    governed: str | None, observed: str | None, was_gone: bool, drift_class: str, relation: str
) -> None:
    facts = head_facts(relation, governed_head=governed, observed_head=observed, was_gone=was_gone)

    assert classify(facts) == drift_class


@pytest.mark.parametrize("nothing", NULL_IDS)
def test_the_null_id_is_nothing_here_in_either_object_format(nothing: str) -> None:
    assert classify(head_facts(observed_head=nothing)) == "deleted"
    assert classify(head_facts(governed_head=nothing)) == "created"
    assert classify(head_facts(governed_head=nothing, observed_head=None)) == "in_sync"


def test_39_zeros_are_no_null_id() -> None:
    assert classify(head_facts("unknown", observed_head="0" * 39)) == "unknown"
