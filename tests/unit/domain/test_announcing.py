"""What moved, who announced it, and what was announced late: in whatever order hosts speak."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from reconciliation.domain.observation import (
    AnnouncedMove,
    KnownHead,
    late_announcements,
    moves_between,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
A, B, C = "a" * 40, "b" * 40, "c" * 40
SEEN_BY_SWEEP = KnownHead(B, 1, "", "sweep")


def call(after: str | None, pusher: str, *, branch: str = "main", second: int = 0) -> AnnouncedMove:
    return AnnouncedMove(branch, None, after, pusher, NOON + timedelta(seconds=second))


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_move_is_announced_by_whoever_named_the_head_that_is_there(
    order: tuple[int, ...],
) -> None:
    calls = [call(A, "ann"), call(B, "bob"), call(C, "cem")]
    announced = [
        AnnouncedMove(one.branch, None, one.after, one.pusher, NOON + timedelta(seconds=second))
        for second, one in enumerate(calls[place] for place in order)
    ]

    [move] = moves_between(
        {"main": KnownHead(A, 4, "", "webhook")},
        {"main": B},
        announced=announced,
        unannounced_are="sweep",
    )

    assert (move.before, move.after, move.ordinal) == (A, B, 5)
    assert (move.announced_by, move.pusher) == ("webhook", "bob")


def test_of_two_that_named_the_head_the_later_one_counts() -> None:
    announced = [call(B, "late", second=1), call(B, "early")]

    [move] = moves_between({}, {"main": B}, announced=announced, unannounced_are="sweep")

    assert move.pusher == "late"


@pytest.mark.parametrize("announced", [[], [call(C, "cem")], [call(B, "bob", branch="other")]])
def test_a_head_that_nobody_named_was_seen_by_whoever_looked(
    announced: list[AnnouncedMove],
) -> None:
    [move] = moves_between({}, {"main": B}, announced=announced, unannounced_are="manual")

    assert (move.announced_by, move.pusher, move.announced_at) == ("manual", "", None)


def test_a_deletion_is_announced_by_who_named_no_head() -> None:
    [move] = moves_between(
        {"main": KnownHead(A, 0, "", "manual")},
        {},
        announced=[call(None, "bob")],
        unannounced_are="sweep",
    )

    assert (move.after, move.announced_by, move.pusher) == (None, "webhook", "bob")


def test_an_announcement_of_a_head_that_a_sweep_saw_first_is_late() -> None:
    calls = [call(B, "bob"), call(C, "cem", second=1)]

    late = late_announcements({"main": SEEN_BY_SWEEP}, {"main": B}, announced=calls)

    assert late == (calls[0],)


@pytest.mark.parametrize(
    ("known", "observed"),
    [
        (KnownHead(B, 1, "bob", "webhook"), B),
        (KnownHead(B, 0, "", "manual"), B),
        (KnownHead(A, 1, "", "sweep"), B),
        (SEEN_BY_SWEEP, C),
    ],
    ids=["announced before", "there when connected", "moves only now", "moved on"],
)
def test_what_is_no_late_announcement(known: KnownHead, observed: str) -> None:
    announced = [call(B, "bob")]

    assert late_announcements({"main": known}, {"main": observed}, announced=announced) == ()
