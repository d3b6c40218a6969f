"""Gathers who pushed what since a branch's heads last agreed, for its row; stores nothing."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from audit.domain.canonical import utc_text
from governance.selectors.branch_facts import BranchKey, pushes_so_far
from reconciliation.domain.codec import decode, encode
from reconciliation.domain.facts import Push
from reconciliation.domain.observation import (
    PUSHES_KEPT,
    HeadMove,
    added_pushes,
    named_pushes,
)
from reconciliation.services.apply.values import Worked
from reconciliation.services.observe.values import Seen

StoredPushes = Mapping[BranchKey, Sequence[Mapping[str, str | None]]]


def gather_pushes(read: Sequence[tuple[Worked, Seen]], *, now: datetime) -> StoredPushes:
    """Return the pushes of every branch that moved or was announced late, oldest first.

    While a branch drifts, pushes add up: a stranger's stays though the holder pushes over it. A
    move that nobody announced is a push by nobody knows whom, seen now.
    """
    moves, late = _new_pushes(read, now=now)
    known = pushes_so_far(moves.keys() | late.keys())
    found = {}
    for key in moves.keys() | late.keys():
        new = moves.get(key, ())
        if key not in known:
            # The heads agreed until now: what led there is settled.
            found[key] = encode(added_pushes((), new))
            continue
        pushes, seen_at = known[key]
        if key not in late and _come_after(pushes, new):
            # They are in order already: reading them all again would be most of a sweep's cost.
            found[key] = [*pushes, *encode(added_pushes((), new))][-PUSHES_KEPT:]
            continue
        named = named_pushes(_decoded(pushes), late.get(key, ()), seen_at=seen_at)
        found[key] = encode(added_pushes(named, new))
    return found


def _come_after(stored: Sequence[Mapping[str, str | None]], new: Sequence[Push]) -> bool:
    last = str(stored[-1]["at"]) if stored else ""
    return all(utc_text(push.at) > last for push in new)


def _new_pushes(
    read: Sequence[tuple[Worked, Seen]], *, now: datetime
) -> tuple[dict[BranchKey, tuple[Push, ...]], dict[BranchKey, tuple[Push, ...]]]:
    moves: dict[BranchKey, tuple[Push, ...]] = {}
    late: dict[BranchKey, tuple[Push, ...]] = {}
    for one, _ in read:
        facts, pk = one.gathered.facts, one.task.repository_id
        for move in facts.moves:
            moves[pk, move.branch] = _all_of(move, now=now)
        for call in facts.late_pushes:
            late[pk, call.branch] = (*late.get((pk, call.branch), ()), call.push)
    return moves, late


def _all_of(move: HeadMove, *, now: datetime) -> tuple[Push, ...]:
    pushes = move.pushes
    if move.after in {push.after for push in pushes}:
        return pushes
    start = pushes[-1].after if pushes else move.before
    return (*pushes, Push(move.pusher, start, move.after, now))


def _decoded(pushes: Sequence[Mapping[str, str | None]]) -> tuple[Push, ...]:
    return tuple(decode(Push, push) for push in pushes)
