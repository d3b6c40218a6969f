"""Read what differs between commits of a mirror, many pairs at once, and remember it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from reconciliation.remotes.base import NOT_THERE, ChangedEntries
from reconciliation.remotes.objects import parse_commit
from reconciliation.remotes.supply import Supply
from reconciliation.remotes.trees import all_changed_entries, files_at

Pair = tuple[str, str]

_PAIRS_AT_ONCE = 1000


def read_changes(
    supply: Supply, pairs: Sequence[Pair], *, limit: int
) -> dict[Pair, ChangedEntries]:
    """Return what differs between pairs of commits of the mirror, and remember it."""
    memo = supply.mirror.memo
    texts = {pair: f"change/1 {pair[0]} {pair[1]} {limit}" for pair in dict.fromkeys(pairs)}
    recalled = memo.recall(list(texts.values()))
    answers = {
        pair: ChangedEntries(
            {path: (old, new) for path, old, new in recalled[text]["entries"]},
            truncated=recalled[text]["truncated"],
        )
        for pair, text in texts.items()
        if text in recalled
    }
    missing = [pair for pair in texts if pair not in answers]
    trees = _trees_of(supply, {oid for pair in missing for oid in pair})
    for start in range(0, len(missing), _PAIRS_AT_ONCE):
        some = missing[start : start + _PAIRS_AT_ONCE]
        of_trees = {
            pair: (trees[pair[0]], trees[pair[1]])
            for pair in some
            if pair[0] in trees and pair[1] in trees
        }
        changed = all_changed_entries(of_trees.values(), limit=limit, read=supply.read_trees)
        read = {pair: changed[both] for pair, both in of_trees.items()}
        memo.remember({texts[pair]: _entries(one) for pair, one in read.items() if one.known})
        answers |= read
        answers |= {
            pair: ChangedEntries({}, truncated=False, known=False, reason=NOT_THERE)
            for pair in some
            if pair not in of_trees
        }
    return answers


def _trees_of(supply: Supply, oids: set[str]) -> dict[str, str]:
    return {
        oid: parse_commit(oid, content).tree
        for oid, (kind, content) in supply.read(sorted(oids)).items()
        if kind == b"commit"
    }


def read_files_at(supply: Supply, commit: str, paths: Collection[str]) -> dict[str, str | None]:
    """Return the object ids at some paths of a commit, None where no file is."""
    if not paths:
        return {}
    trees = _trees_of(supply, {commit})
    return files_at(trees[commit], paths, read=supply.read_trees) if commit in trees else {}


def _entries(changed: ChangedEntries) -> dict[str, Any]:
    return {
        "truncated": changed.truncated,
        "entries": [[path, *both] for path, both in changed.entries.items()],
    }
