"""Packing: whatever is stored is read again exactly, and takes a third of the room."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.domain.canonical import canonical_json
from reconciliation.domain.packing import packed, unpacked

GOLDEN = Path(__file__).parents[2] / "determinism" / "golden_decisions.json"
PACKED_BY_THE_FIRST_RELEASE = "z1:q0bviCHmgdCVAgA="


@given(st.text())
def test_what_is_packed_is_read_again_exactly(text: str) -> None:
    assert unpacked(packed(text)) == text


@given(st.text(alphabet="z1:{}ab", min_size=3).map(lambda text: f"z1:{text}"))
def test_a_text_that_looks_packed_is_no_exception(text: str) -> None:
    assert unpacked(packed(text)) == text


def test_what_was_stored_before_is_read_as_it_is() -> None:
    assert unpacked('{"place":{"branch":"main"}}') == '{"place":{"branch":"main"}}'


def test_what_was_packed_once_can_be_read_for_ever() -> None:
    assert unpacked(PACKED_BY_THE_FIRST_RELEASE) == '{"branch_class":"default","was_gone":false}'


def test_facts_and_decisions_take_a_third_of_the_room() -> None:
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
    texts = [canonical_json(case[part]) for case in cases for part in ("facts", "decision")]

    assert 3 * sum(len(packed(text)) for text in texts) < sum(map(len, texts))


@pytest.mark.parametrize("damage", ["z1:", "z1:0000000000", "cut"])
def test_a_damaged_text_is_an_error_and_never_another_text(damage: str) -> None:
    stored = packed('{"branch_class":"default","leases":[],"runs":[],"was_gone":false}')

    with pytest.raises(ValueError, match=r"damaged|base64|padding"):
        unpacked(stored[:-4] if damage == "cut" else damage)
