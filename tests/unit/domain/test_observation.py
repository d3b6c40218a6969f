"""What moved between two readings, who announced it, and what was announced late."""

from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.observation import (
    AnnouncedMove,
    HeadMove,
    KnownHead,
    late_announcements,
    moves_between,
)
from tests.unit.evaluators.facts import NOON, A, B, C, seconds
from tests.unit.evaluators.strategies import BRANCHES, HEADS, NAMES, SHAS


def known(head: str | None, changes: int = 0, **values: Any) -> KnownHead:
    return KnownHead(head, changes, **({"pusher": "", "announced_by": "sweep"} | values))


def call(
    branch: str, after: str | None, pusher: str = "alice", at: datetime = NOON
) -> AnnouncedMove:
    return AnnouncedMove(branch, None, after, pusher, at)


def moves(
    before: dict[str, KnownHead], after: dict[str, str], *calls: AnnouncedMove
) -> tuple[HeadMove, ...]:
    return moves_between(before, after, announced=calls, unannounced_are="sweep")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"x": known(A)}, {"x": A}, ()),
        ({"x": known(None, 2)}, {}, ()),
        ({"x": known(A, 4)}, {"x": B}, (A, B, 5)),
        ({"x": known(A, 4)}, {}, (A, None, 5)),
        ({"x": known(None, 4)}, {"x": B}, (None, B, 5)),
        ({}, {"x": B}, (None, B, 1)),
    ],
)
def test_a_move_is_a_head_that_differs(
    before: dict[str, KnownHead], after: dict[str, str], expected: tuple[Any, ...]
) -> None:
    found = [(one.before, one.after, one.ordinal) for one in moves(before, after)]

    assert found == ([expected] if expected else [])


def test_the_newest_announcement_names_the_pusher_if_it_named_this_head() -> None:
    (move,) = moves({"x": known(A)}, {"x": B}, call("x", B, "bob"))

    assert (move.announced_by, move.pusher, move.announced_at) == ("webhook", "bob", NOON)


@pytest.mark.parametrize(
    "calls",
    [
        (),
        (call("x", C, "bob"),),
        (call("y", B, "bob"),),
        (call("x", None, "bob"),),
    ],
)
def test_a_move_that_no_webhook_named_was_found_by_the_sweep(
    calls: tuple[AnnouncedMove, ...],
) -> None:
    (move,) = moves({"x": known(A)}, {"x": B}, *calls)

    assert (move.announced_by, move.pusher, move.announced_at) == ("sweep", "", None)


def test_a_deletion_may_be_announced_too() -> None:
    (move,) = moves({"x": known(A)}, {}, call("x", None, "bob"))

    assert (move.announced_by, move.pusher) == ("webhook", "bob")


def test_what_asked_for_the_observation_found_the_rest() -> None:
    (move,) = moves_between({}, {"x": B}, announced=(), unannounced_are="manual")

    assert move.announced_by == "manual"


WORLDS = st.dictionaries(BRANCHES, st.builds(known, HEADS, st.integers(0, 9)), max_size=5)
CALLS = st.lists(
    st.builds(call, BRANCHES, HEADS, NAMES, st.integers(0, 99).map(lambda n: NOON + seconds(n))),
    max_size=6,
    unique_by=lambda one: one.announced_at,
)


@settings(deadline=None)
@given(WORLDS, st.dictionaries(BRANCHES, SHAS, max_size=5), CALLS, st.integers(0, 99))
def test_the_order_of_heads_and_announcements_means_nothing(
    before: dict[str, KnownHead], after: dict[str, str], calls: list[AnnouncedMove], seed: int
) -> None:
    def mixed(items: Any) -> Any:
        found = list(items)
        Random(seed).shuffle(found)
        return found

    found = moves(before, after, *calls)

    assert found == moves(dict(mixed(before.items())), dict(mixed(after.items())), *mixed(calls))
    names = [one.branch for one in found]
    assert names == sorted(names)
    assert set(names) == {
        name
        for name in before.keys() | after.keys()
        if (before[name].head if name in before else None) != after.get(name)
    }
    assert late_announcements(before, after, announced=calls) == late_announcements(
        before, after, announced=mixed(calls)
    )


SEEN_FIRST = {"x": known(B, 1)}


def test_an_announcement_of_a_head_that_was_seen_before_it_came_is_late() -> None:
    late = call("x", B, "bob")

    assert late_announcements(SEEN_FIRST, {"x": B}, announced=[late]) == (late,)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (SEEN_FIRST, {"x": C}, call("x", B)),  # it moved on
        (SEEN_FIRST, {"x": C}, call("x", C)),  # it moves now: not late
        (SEEN_FIRST, {"x": B}, call("x", C)),  # another head
        (SEEN_FIRST, {"x": B}, call("y", B)),  # another branch
        ({"x": known(B, 1, announced_by="webhook")}, {"x": B}, call("x", B)),  # known already
        ({"x": known(B, 0)}, {"x": B}, call("x", B)),  # it never moved under our eyes
        ({}, {"x": B}, call("x", B)),
    ],
)
def test_what_is_not_late(
    before: dict[str, KnownHead], after: dict[str, str], told: AnnouncedMove
) -> None:
    assert late_announcements(before, after, announced=[told]) == ()


def test_a_late_deletion() -> None:
    late = call("x", None, "bob")

    assert late_announcements({"x": known(None, 2)}, {}, announced=[late]) == (late,)
