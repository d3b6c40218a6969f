"""Relate many heads to one target by one walk over their history; pure.

Works on an order in which every commit comes after all its children, never on dates. A commit is
painted with a set of heads that reach it, written as the bits of a number: 1,000 heads over 25,000
commits are 25,000 operations on numbers of 1,000 bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reconciliation.remotes.base import Comparison, Relation

History = Mapping[str, Sequence[str]]
"""Commits with their parents: every commit before its parents, every parent among them."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """How one head stands to the target: `comparison` is of (head, target).

    `own` are the commits that only the head has, without merges, children first; None when they
    are more than were asked for. `lacks` are those of the watched commits that it does not have.
    """

    comparison: Comparison
    own: tuple[str, ...] | None
    lacks: frozenset[str]


def relate(
    history: History,
    *,
    target: str,
    heads: Sequence[str],
    watched: Collection[str],
    most_own: int,
) -> dict[str, Lineage]:
    """Relate each head to `target`; all of them, and what is watched, are in `history`."""
    of_target = _reachable(history, target)
    bits = {head: 1 << number for number, head in enumerate(dict.fromkeys(heads))}
    painted: dict[str, int] = dict(bits)
    covered: dict[str, int] = {}
    shared: Counter[int] = Counter()
    single: Counter[int] = Counter()
    bases: dict[int, list[str]] = {}
    all_watched, reached = frozenset(watched), dict[str, int]()
    for oid, parents in history.items():
        paint = painted.pop(oid, 0)
        if not paint:
            continue
        if oid in all_watched:
            reached[oid] = paint
        is_shared = oid in of_target
        (shared if is_shared else single)[paint] += 1
        if is_shared and (new := paint & ~covered.pop(oid, 0)):
            bases.setdefault(new, []).append(oid)
        for parent in parents:
            painted[parent] = painted.get(parent, 0) | paint
            if is_shared:
                covered[parent] = covered.get(parent, 0) | paint
    common, ahead = _by_head(shared, len(bits)), _by_head(single, len(bits))
    best: list[list[str]] = [[] for _ in bits]
    for paint, oids in bases.items():
        for number in _numbers(paint):
            best[number] += oids
    lacking = _lacking(all_watched, reached, len(bits))
    return {
        head: Lineage(
            _comparison(
                head,
                target,
                ahead=len(of_target) - common[number],
                behind=ahead[number],
                base=min(best[number], default=None),
            ),
            _own_commits(history, head, of_target, most=most_own),
            lacking[number],
        )
        for number, head in enumerate(bits)
    }


def _reachable(history: History, tip: str) -> set[str]:
    found = {tip}
    waiting = [tip]
    while waiting:
        for parent in history[waiting.pop()]:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def _own_commits(
    history: History, head: str, of_target: set[str], *, most: int
) -> tuple[str, ...] | None:
    own: list[str] = []
    seen, waiting = {head}, [head]
    while waiting:
        oid = waiting.pop()
        if oid in of_target:
            continue
        if len(seen) > 2 * most + 2 or len(own) > most:
            return None
        parents = history[oid]
        if len(parents) < 2:
            own.append(oid)
        for parent in parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return tuple(own) if len(own) <= most else None


def _by_head(counts: Counter[int], heads: int) -> list[int]:
    """Return how many commits each head reaches of those counted by their paint.

    One paint mostly differs from the next in few heads: only those are looked at.
    """
    totals = [0] * heads
    so_far, current = 0, 0
    for paint, count in counts.items():
        for number in _numbers(paint ^ current):
            totals[number] += so_far if current >> number & 1 else -so_far
        current = paint
        so_far += count
    for number in _numbers(current):
        totals[number] += so_far
    return totals


def _lacking(
    watched: frozenset[str], reached: Mapping[str, int], heads: int
) -> list[frozenset[str]]:
    """Return the watched commits that each head does not reach; most heads reach none."""
    has: list[set[str]] = [set() for _ in range(heads)]
    for oid, paint in reached.items():
        for number in _numbers(paint):
            has[number].add(oid)
    return [watched - some if some else watched for some in has]


def _numbers(paint: int) -> list[int]:
    numbers = []
    while paint:
        lowest = paint & -paint
        numbers.append(lowest.bit_length() - 1)
        paint ^= lowest
    return numbers


def _comparison(head: str, target: str, *, ahead: int, behind: int, base: str | None) -> Comparison:
    if head == target:
        return Comparison(Relation.SAME, 0, 0, head)
    if base is None:
        return Comparison(Relation.UNRELATED, ahead, behind, None)
    if base == head:
        return Comparison(Relation.ANCESTOR, ahead, 0, base)
    if base == target:
        return Comparison(Relation.DESCENDANT, 0, behind, base)
    return Comparison(Relation.DIVERGED, ahead, behind, base)
