"""What moved between two readings, who announced it, and what was announced late."""

from datetime import datetime
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.facts import Push
from reconciliation.domain.observation import (
    AnnouncedMove,
    HeadMove,
    KnownHead,
    added_pushes,
    late_announcements,
    late_pushes,
    moves_between,
    named_pushes,
)
from tests.unit.evaluators.facts import NOON, A, B, C, D, seconds
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


# --- every push, not the last one only ------------------------------------------------------------


def step(
    before: str | None, after: str | None, pusher: str, *, at: int, branch: str = "x"
) -> AnnouncedMove:
    return AnnouncedMove(branch, before, after, pusher, NOON + seconds(at))


@pytest.mark.parametrize(
    ("head_before", "head_now", "calls", "pushers"),
    [
        (A, C, (step(A, B, "bob", at=1), step(B, C, "carol", at=2)), ["bob", "carol"]),
        # In whatever order they came.
        (A, C, (step(B, C, "carol", at=1), step(A, B, "bob", at=2)), ["carol", "bob"]),
        # One that led to the head that was known already is no part of the move.
        (B, C, (step(A, B, "bob", at=1), step(B, C, "carol", at=2)), ["carol"]),
        (B, C, (step(B, C, "carol", at=1), step(A, B, "bob", at=2)), ["carol"]),
        (
            C,
            D,
            (step(A, B, "ann", at=1), step(B, C, "bob", at=2), step(C, D, "carol", at=3)),
            ["carol"],
        ),
        # There and back again, then onward: what was taken back is no part of it either.
        (
            A,
            C,
            (step(A, B, "bob", at=1), step(B, A, "bob", at=2), step(A, C, "carol", at=3)),
            ["carol"],
        ),
        (
            A,
            B,
            (step(A, B, "ann", at=1), step(B, A, "bob", at=2), step(A, B, "carol", at=3)),
            ["carol"],
        ),
        # Gone and back.
        (A, B, (step(A, None, "bob", at=1), step(None, B, "carol", at=2)), ["bob", "carol"]),
        (None, B, (step(A, None, "bob", at=1), step(None, B, "carol", at=2)), ["carol"]),
        # A host that does not say what was before.
        (A, C, (step(None, B, "bob", at=1), step(None, C, "carol", at=2)), ["bob", "carol"]),
        (A, B, (), []),
        (A, B, (step(A, B, "bob", at=1, branch="y"),), []),
    ],
)
def test_a_move_names_every_push_that_led_there(
    head_before: str | None,
    head_now: str | None,
    calls: tuple[AnnouncedMove, ...],
    pushers: list[str],
) -> None:
    after = {} if head_now is None else {"x": head_now}

    (move,) = (one for one in moves({"x": known(head_before)}, after, *calls) if one.branch == "x")

    assert [push.pusher for push in move.pushes] == pushers


def test_of_very_many_pushes_the_newest_fifty_are_named() -> None:
    chain = [f"{number:040x}" for number in range(61)]
    calls = [
        step(one, other, f"u{place}", at=place)
        for place, (one, other) in enumerate(pairwise(chain))
    ]

    (move,) = moves({"x": known(chain[0])}, {"x": chain[-1]}, *calls)

    assert [push.pusher for push in move.pushes] == [f"u{place}" for place in range(10, 60)]


PUSHED_IN_TURN = [
    step(A, B, "bob", at=1),
    step(B, C, "carol", at=2),
    step(A, B, "dan", at=3, branch="y"),
]


@pytest.mark.parametrize(
    ("seen", "head_now", "pushers"),
    [
        # Still where a sweep saw it: its announcement brings the pushes below it along.
        (known(C, 1), C, ["bob", "carol"]),
        # Moved on since: those that led to where a sweep had seen it.
        (known(B, 1), C, ["bob"]),
        (known(C, 1), D, ["bob", "carol"]),
        # Announced when it was seen, or there from the start: nobody is missing.
        (known(B, 1, announced_by="webhook"), C, []),
        (known(B, 0), C, []),
        # Not announced yet.
        (known(D, 1), D, []),
    ],
)
def test_late_announcements_bring_the_pushes_that_led_to_what_was_seen_before(
    seen: KnownHead, head_now: str, pushers: list[str]
) -> None:
    found = late_pushes({"x": seen}, {"x": head_now}, announced=PUSHED_IN_TURN)

    assert [one.pusher for one in found] == pushers
    assert {one.branch for one in found} <= {"x"}


UNNAMED = Push("", A, C, NOON)


def test_the_push_that_nobody_had_announced_is_replaced_by_its_announcements() -> None:
    late = [step(A, B, "bob", at=60).push, step(B, C, "carol", at=61).push]

    found = named_pushes([UNNAMED], late, seen_at=NOON)

    # What was told of a minute later was done by the time it was seen.
    assert found == (Push("bob", A, B, NOON), Push("carol", B, C, NOON))
    assert named_pushes(found, late, seen_at=NOON) == found


def test_pushes_add_up_and_one_of_nobody_knows_whom_stays_until_it_is_told() -> None:
    back_there = Push("dan", D, C, NOON + seconds(5))

    assert added_pushes([UNNAMED], [back_there]) == (UNNAMED, back_there)
    assert added_pushes([UNNAMED], [UNNAMED]) == (UNNAMED,)
    assert named_pushes([UNNAMED], [], seen_at=NOON) == (UNNAMED,)
