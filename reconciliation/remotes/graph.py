"""Relate commits to each other when their whole ancestry is at hand; pure.

Works on generation numbers (a commit's is one more than its highest parent's), never on dates:
commit dates are what a clock said, and clocks lie.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from reconciliation.remotes.base import Comparison, Relation

_OLD, _NEW, _COMMON, _BELOW_COMMON = 1, 2, 3, 4


class CommitGraph:
    """Commits with their parents; every parent must be in the graph as well."""

    def __init__(self, parents: Mapping[str, Sequence[str]]) -> None:
        self._parents = parents
        self._generations = _generations(parents)

    def compare(self, old: str, new: str) -> Comparison:
        """Return the relation of two commits of this graph. Costs what differs, not the history.

        Walks down from both in generation order, so that a commit is met after all its children:
        what it was painted with by then is final.
        """
        if old == new:
            return Comparison(Relation.SAME, 0, 0, old)
        paint = {old: _OLD, new: _NEW}
        queue = [(-self._generations[oid], oid) for oid in (old, new)]
        heapq.heapify(queue)
        open_ends, counts, bases = 2, {_OLD: 0, _NEW: 0}, []
        while open_ends:
            _, oid = heapq.heappop(queue)
            colour = paint[oid]
            if not colour & _BELOW_COMMON:
                open_ends -= 1
                if colour == _COMMON:
                    bases.append(oid)
                    colour |= _BELOW_COMMON
                else:
                    counts[colour] += 1
            for parent in self._parents[oid]:
                before = paint.get(parent, 0)
                paint[parent] = after = before | colour
                if not before:
                    heapq.heappush(queue, (-self._generations[parent], parent))
                open_ends += _is_open(after) - _is_open(before)
        return _conclude(old, new, counts[_NEW], counts[_OLD], bases)


def _is_open(colour: int) -> bool:
    return bool(colour) and not colour & _BELOW_COMMON


def _conclude(old: str, new: str, ahead: int, behind: int, bases: list[str]) -> Comparison:
    base = min(bases, default=None)
    if base is None:
        return Comparison(Relation.UNRELATED, ahead, behind, None)
    if base == old:
        return Comparison(Relation.ANCESTOR, ahead, behind, base)
    if base == new:
        return Comparison(Relation.DESCENDANT, ahead, behind, base)
    return Comparison(Relation.DIVERGED, ahead, behind, base)


def _generations(parents: Mapping[str, Sequence[str]]) -> dict[str, int]:
    generations: dict[str, int] = {}
    for start in parents:
        stack = [start]
        while stack:
            oid = stack[-1]
            waiting = [p for p in parents[oid] if p not in generations]
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            generations[oid] = 1 + max((generations[p] for p in parents[oid]), default=0)
    return generations


def newest_first(
    parents: Mapping[str, Sequence[str]], committed_at: Mapping[str, int], *, limit: int
) -> tuple[str, ...]:
    """Order the commits of `parents`: children before parents, then newest first, then by id.

    Parents outside of `parents` are not counted and not listed.
    """
    children = dict.fromkeys(parents, 0)
    for oid in parents:
        for parent in set(parents[oid]) & children.keys():
            children[parent] += 1
    ready = [(-committed_at[oid], oid) for oid, count in children.items() if not count]
    heapq.heapify(ready)
    ordered: list[str] = []
    while ready and len(ordered) < limit:
        _, oid = heapq.heappop(ready)
        ordered.append(oid)
        for parent in set(parents[oid]) & children.keys():
            children[parent] -= 1
            if not children[parent]:
                heapq.heappush(ready, (-committed_at[parent], parent))
    return tuple(ordered)
