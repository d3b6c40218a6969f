"""Answer questions of ancestry from a mirror, with git; never fetches and never guesses.

Where history is incomplete the answer is "unknown": git's own merge-base says "no common
ancestor" then (2.39), which would be reported as a rewrite that never happened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reconciliation.remotes.base import Comparison, HistoryUnknown, Relation
from reconciliation.remotes.git import Call, Git, GitSaidTooMuch, run_git
from reconciliation.remotes.graph import CommitGraph, newest_first

INCOMPLETE = "the mirror's history is incomplete here (is the remote a shallow clone?)"
_PAIRS_WORTH_ONE_WALK = 12
_COMMITS_A_PAIR_IS_WORTH = 500  # what loading them costs is what asking for one pair costs
_MAX_COMMITS_PER_WALK = 50_000


def compare_pairs(
    git: Git, git_dir: str, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Comparison]:
    """Relate pairs of commits that are in the mirror.

    A few pairs are asked one by one, which costs what differs. Many are answered from one walk
    over the history of all of them, unless that history is long.
    """
    if len(pairs) >= _PAIRS_WORTH_ONE_WALK:
        limit = min(len(pairs) * _COMMITS_A_PAIR_IS_WORTH, _MAX_COMMITS_PER_WALK)
        graph = _load_graph(git, git_dir, {oid for pair in pairs for oid in pair}, limit=limit)
        if graph is not None:
            return {(old, new): graph.compare(old, new) for old, new in pairs}
    return {(old, new): _compare_pair(git, git_dir, old, new) for old, new in pairs}


@dataclass(frozen=True, slots=True)
class LoadedHistory:
    """Commits with their parents, children first, and when each was committed (Unix seconds)."""

    parents: Mapping[str, tuple[str, ...]]
    committed_at: Mapping[str, int]

    def newest(self, tip: str, *, limit: int) -> tuple[str, ...]:
        """Return at most `limit` commits of `tip`; order as in `newest_first`."""
        found, waiting = {tip: self.parents[tip]}, [tip]
        while waiting:
            for parent in self.parents[waiting.pop()]:
                if parent not in found:
                    found[parent] = self.parents[parent]
                    waiting.append(parent)
        return newest_first(found, self.committed_at, limit=limit)


def load_history(
    git: Git, git_dir: str, tips: Collection[str], *, limit: int
) -> LoadedHistory | None:
    """Load the history of `tips` and of all kept heads, by one process.

    Return None when it is longer than `limit` commits, or not all there.
    """
    try:
        lines = _rev_list(
            git,
            git_dir,
            "--topo-order",
            "--parents",
            "--timestamp",
            f"--max-count={limit + 1}",
            "--all",
            tips=sorted(tips),
        )
    except GitSaidTooMuch:
        return None
    if lines is None or len(lines) > limit:
        return None
    return LoadedHistory(
        {oid: tuple(parents) for _, oid, *parents in lines},
        {oid: int(seconds) for seconds, oid, *_ in lines},
    )


def _load_graph(git: Git, git_dir: str, tips: set[str], *, limit: int) -> CommitGraph | None:
    """Load all ancestors of `tips`; None if they are more than `limit` or not all there."""
    lines = _rev_list(
        git,
        git_dir,
        "--parents",
        f"--max-count={limit + 1}",
        tips=sorted(tips),
    )
    if lines is None or len(lines) > limit:
        return None
    return CommitGraph({oid: parents for oid, *parents in lines})


def _compare_pair(git: Git, git_dir: str, old: str, new: str) -> Comparison:
    if old == new:
        return Comparison(Relation.SAME, 0, 0, old)
    counts = _rev_list(git, git_dir, "--left-right", "--count", tips=[f"{old}...{new}"])
    if counts is None:
        return Comparison.unknown(INCOMPLETE)
    behind, ahead = (int(count) for count in counts[0])
    if not behind:
        return Comparison(Relation.ANCESTOR, ahead, 0, old)
    if not ahead:
        return Comparison(Relation.DESCENDANT, 0, behind, new)
    # rev-list walked without a missing parent, so "none" here means none.
    result = run_git(git, "merge-base", "--all", old, new, call=Call(git_dir=git_dir))
    if result.status not in (0, 1) or result.stderr:
        return Comparison.unknown(INCOMPLETE)
    base = min(result.stdout.decode().split(), default=None)
    relation = Relation.UNRELATED if base is None else Relation.DIVERGED
    return Comparison(relation, ahead, behind, base)


def commits_between(git: Git, git_dir: str, old: str, new: str, *, limit: int) -> tuple[str, ...]:
    """Return at most `limit` commits that new has and old has not; order as in `newest_first`."""
    lines = _rev_list(git, git_dir, "--parents", "--timestamp", tips=[new, f"^{old}"])
    if lines is None:
        raise HistoryUnknown(INCOMPLETE)
    parents = {oid: tuple(rest) for _, oid, *rest in lines}
    committed_at = {oid: int(seconds) for seconds, oid, *_ in lines}
    return newest_first(parents, committed_at, limit=limit)


def _rev_list(git: Git, git_dir: str, *options: str, tips: Sequence[str]) -> list[list[str]] | None:
    """Return the words of each line, or None when git met a commit it does not have."""
    stdin = "".join(f"{tip}\n" for tip in tips).encode()
    call = Call(git_dir=git_dir, stdin=stdin)
    result = run_git(git, "rev-list", *options, "--stdin", call=call)
    if result.status != 0:
        return None
    return [line.split() for line in result.stdout.decode().splitlines()]
