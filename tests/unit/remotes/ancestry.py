"""Ancestry by its definition: sets of ancestors, written for clarity and not for speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciliation.remotes.base import Comparison, Relation


def ancestors(parents: Mapping[str, Sequence[str]], oid: str) -> set[str]:
    """Return the commit and everything it descends from."""
    found: set[str] = set()
    waiting = [oid]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting.extend(parents[current])
    return found


def compare_by_definition(parents: Mapping[str, Sequence[str]], old: str, new: str) -> Comparison:
    """Relate two commits by comparing their sets of ancestors."""
    of_old, of_new = ancestors(parents, old), ancestors(parents, new)
    ahead, behind = len(of_new - of_old), len(of_old - of_new)
    common = of_old & of_new
    best = {
        oid
        for oid in common
        if not any(oid in ancestors(parents, other) for other in common - {oid})
    }
    base = min(best, default=None)
    if old == new:
        relation = Relation.SAME
    elif old in of_new:
        relation = Relation.ANCESTOR
    elif new in of_old:
        relation = Relation.DESCENDANT
    else:
        relation = Relation.DIVERGED if common else Relation.UNRELATED
    return Comparison(relation, ahead, behind, base)
