"""Keys and fingerprints: made of stable identifiers only, never alike for different things."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.domain.identity import (
    announcement_subject,
    finding_fingerprint,
    head_move,
    idempotency_key,
    is_absent,
    is_null_id,
)

A, B = "a" * 40, "b" * 40
PARTS = ("tenant", "workspace", "repo", "branch", "task_kind", "subject")
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(TEXT, min_size=6, max_size=6), st.lists(TEXT, min_size=6, max_size=6))
def test_different_work_has_different_keys(one: list[str], other: list[str]) -> None:
    keys = [idempotency_key(**dict(zip(PARTS, parts, strict=True))) for parts in (one, other)]

    assert (keys[0] == keys[1]) == (one == other)
    assert all(len(key) == 64 and not set(key) - set("0123456789abcdef") for key in keys)


def test_parts_that_run_together_are_told_apart() -> None:
    known = dict.fromkeys(PARTS, "x")

    one = idempotency_key(**known | {"tenant": "ab", "workspace": "c"})
    other = idempotency_key(**known | {"tenant": "a", "workspace": "bc"})

    assert one != other


def test_a_fingerprint_knows_no_sha_no_count_and_no_time() -> None:
    names = set(inspect.signature(finding_fingerprint).parameters)

    assert names == {"tenant", "repo", "branch", "check_kind", "stable_class"}


@pytest.mark.parametrize("part", ["tenant", "repo", "branch", "check_kind", "stable_class"])
def test_everything_that_names_a_finding_is_in_its_fingerprint(part: str) -> None:
    known = dict.fromkeys(["tenant", "repo", "branch", "check_kind", "stable_class"], "x")

    assert finding_fingerprint(**known | {part: "y"}) != finding_fingerprint(**known)


def test_the_ordinal_tells_a_move_from_the_same_move_later() -> None:
    assert head_move(A, B, ordinal=1) != head_move(A, B, ordinal=3)
    assert head_move(None, B, ordinal=1) == f"-..{B}@1"
    assert head_move(A, None, ordinal=2) == f"{A}..-@2"


def test_two_hooks_that_announce_one_push_ask_for_one_observation() -> None:
    moves = [("main", A, B), ("dev", B, A)]

    assert announcement_subject(moves) == announcement_subject([*moves[::-1], moves[0]])


@pytest.mark.parametrize("count", [1, 3, 4, 50])
def test_a_subject_stays_short_however_many_branches_a_push_moves(count: int) -> None:
    moves = [(f"b{number}", A, B) for number in range(count)]

    subject = announcement_subject(moves)

    assert len(subject) <= 300
    assert subject.startswith("push sha256:" if count > 3 else "push b0:")
    assert subject != announcement_subject([*moves[:-1], ("b0", B, A)])


@pytest.mark.parametrize(
    ("oid", "is_null"),
    [
        ("0" * 40, True),
        ("0" * 64, True),
        ("0" * 39, False),
        ("0" * 41, False),
        ("", False),
        (A, False),
    ],
)
def test_a_null_id_has_40_or_64_zeros(oid: str, is_null: bool) -> None:
    assert is_null_id(oid) is is_null
    assert is_absent(oid) is (is_null or oid == "")


def test_no_head_is_absent() -> None:
    assert is_absent(None)
