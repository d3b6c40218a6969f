"""Find out how branch heads stand to one target, from a history, trees and a memo; reads neither.

Everything that costs something is handed in, so that real mirrors and the one in memory answer by
the same steps: one walk over the history, then what differs between pairs of commits, all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciliation.domain.equivalence import (
    NOT_MERGED,
    Candidates,
    Change,
    Proved,
    Steps,
    Verdict,
    is_absent,
    judge,
)
from reconciliation.remotes.base import ChangedEntries, Comparison, LookBack, Relation, Standing
from reconciliation.remotes.lineage import History, Lineage, relate

Pair = tuple[str, str]
ChangesOf = Callable[[Sequence[Pair]], Mapping[Pair, ChangedEntries]]
"""Brings what differs between pairs of commits (old, new)."""
FilesAt = Callable[[str, Collection[str]], Mapping[str, str | None]]
"""Brings the object ids at some paths of a commit."""
Prove = Callable[[Sequence[tuple[Pair, Pair]]], Sequence[bool | None]]
"""Says of two pairs of commits each whether they change lines alike; None: not known."""

TOO_MANY_PATHS = "the branch changes more than {limit} files: raise RECONCILER_LOOK_BACK_PATHS"
TOO_MANY_COMMITS = (
    "the branch has more than {limit} commits of its own: raise RECONCILER_LOOK_BACK_BRANCH_COMMITS"
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from; `prove` is None where files must not be fetched."""

    changes_of: ChangesOf
    files_at: FilesAt
    prove: Prove | None = None


def find_standings(
    history: History,
    newest: Sequence[str],
    *,
    target: str,
    heads: Collection[str],
    look_for: Collection[str],
    prove_for: Collection[str],
    look_back: LookBack,
    sources: Sources,
) -> tuple[dict[str, Standing], set[str]]:
    """Return the standing of each head, and the heads of which something could not be read.

    `newest` are the commits of the target to look among.
    """
    lineages = relate(
        history,
        target=target,
        heads=sorted(heads),
        watched=newest,
        most_own=look_back.branch_commits,
    )
    standings = {
        head: Standing(lineage.comparison, _by_ancestry(lineage.comparison))
        for head, lineage in lineages.items()
    }
    apart = {
        head: lineage
        for head, lineage in lineages.items()
        if head in look_for and lineage.comparison.relation is Relation.DIVERGED
    }
    judging = _Judging(history, newest, apart, target=target, look_back=look_back, sources=sources)
    verdicts, unread = judging.verdicts(prove_for=prove_for) if apart else ({}, set())
    for head, verdict in verdicts.items():
        standings[head] = Standing(
            apart[head].comparison,
            "equivalence" if verdict.merged else "",
            verdict.unknown,
        )
    return standings, unread


def _by_ancestry(comparison: Comparison) -> str:
    return "ancestry" if comparison.relation in {Relation.SAME, Relation.ANCESTOR} else ""


class _Judging:
    """One target and the heads that diverged from it; reads only what is still undecided."""

    def __init__(
        self,
        history: History,
        newest: Sequence[str],
        apart: Mapping[str, Lineage],
        *,
        target: str,
        look_back: LookBack,
        sources: Sources,
    ) -> None:
        self._history = history
        self._newest = newest
        self._apart = apart
        self._target = target
        self._look_back = look_back
        self._sources = sources
        self._changes: dict[Pair, ChangedEntries] = {}
        self._whole = {head: (_base(lineage), head) for head, lineage in apart.items()}
        self._unread: set[str] = set()

    def verdicts(self, *, prove_for: Collection[str]) -> tuple[dict[str, Verdict], set[str]]:
        """Return a verdict on each head, and the heads of which something could not be read."""
        self._read(self._whole.values())
        verdicts = {head: self._too_large(head) for head in self._apart}
        readable = {head: self._entries(self._whole[head]) for head in verdicts}
        paths = {path for one in readable.values() for path in sorted(one)[:_PATHS_LOOKED_UP]}
        at_target = self._sources.files_at(self._target, paths)
        decided = {head: verdict for head, verdict in verdicts.items() if verdict is not None}
        decided |= {
            head: NOT_MERGED
            for head, change in readable.items()
            if head not in decided and (not change or is_absent(change, at_target))
        }
        rest = sorted(self._apart.keys() - decided.keys())
        return (decided | self._compared(rest, prove_for=prove_for) if rest else decided), (
            self._unread
        )

    def _too_large(self, head: str) -> Verdict | None:
        changed = self._changes[self._whole[head]]
        if not changed.known:
            self._unread.add(head)
            return Verdict(merged=False, unknown=changed.reason)
        if changed.truncated:
            return Verdict(merged=False, unknown=TOO_MANY_PATHS.format(limit=self._look_back.paths))
        return None

    def _compared(self, heads: Sequence[str], *, prove_for: Collection[str]) -> dict[str, Verdict]:
        """Compare these heads with the newest commits of the target, then commit by commit."""
        lacked = frozenset[str]().union(*(self._apart[head].lacks for head in heads))
        # A merge commit says nothing by itself: its other parent is ancestry's business.
        pairs = {
            oid: (self._history[oid][0], oid)
            for oid in self._newest
            if oid in lacked and len(self._history[oid]) == 1
        }
        self._read(pairs.values())
        unreadable = frozenset(oid for oid, pair in pairs.items() if not self._changes[pair].known)
        candidates = Candidates(
            (oid, change)
            for oid, pair in pairs.items()
            if (change := self._change(pair)) is not None
        )
        self._unread |= {head for head in heads if self._apart[head].lacks & unreadable}

        def judged(head: str, steps: Steps | None, proved: Proved) -> Verdict:
            lineage = self._apart[head]
            return judge(
                self._entries(self._whole[head]),
                steps,
                candidates,
                among=lineage.lacks,
                unseen=max(0, (lineage.comparison.ahead or 0) - len(lineage.lacks - unreadable)),
                why_no_steps=TOO_MANY_COMMITS.format(limit=self._look_back.branch_commits),
                proved=proved,
            )

        verdicts = {head: judged(head, (), {}) for head in heads}
        rest = [head for head in heads if not verdicts[head].merged]
        steps = self._steps(rest)
        verdicts |= {head: judged(head, steps[head], {}) for head in rest}
        asked = [
            (head, question)
            for head in rest
            if head in prove_for
            for question in verdicts[head].questions
        ]
        if self._sources.prove is None or not asked:
            return verdicts
        answers = self._sources.prove(
            [
                (self._pair(step) if step else self._whole[head], pairs[candidate])
                for head, (step, candidate) in asked
            ]
        )
        proved: dict[str, dict[tuple[str, str], bool | None]] = {}
        for (head, question), answer in zip(asked, answers, strict=True):
            proved.setdefault(head, {})[question] = answer
        return verdicts | {head: judged(head, steps[head], known) for head, known in proved.items()}

    def _steps(self, heads: Sequence[str]) -> dict[str, Steps | None]:
        """Read the commits of branches one by one; those without a parent have no change."""
        own = {head: self._apart[head].own for head in heads}
        self._read(
            self._pair(oid) for oids in own.values() for oid in oids or () if self._history[oid]
        )
        return {
            head: None
            if oids is None
            else tuple(
                (oid, self._change(self._pair(oid)) if self._history[oid] else None) for oid in oids
            )
            for head, oids in own.items()
        }

    def _pair(self, oid: str) -> Pair:
        return self._history[oid][0], oid

    def _read(self, pairs: Iterable[Pair]) -> None:
        missing = sorted(set(pairs) - self._changes.keys())
        self._changes |= self._sources.changes_of(missing)

    def _change(self, pair: Pair) -> Change | None:
        changed = self._changes[pair]
        return changed.entries if changed.known and not changed.truncated else None

    def _entries(self, pair: Pair) -> Change:
        return self._change(pair) or {}


def _base(lineage: Lineage) -> str:
    if lineage.comparison.merge_base is None:
        raise ValueError("heads that diverged have a common ancestor")
    return lineage.comparison.merge_base


_PATHS_LOOKED_UP = 20
"""Of each branch, on the target: any of them may show that its change is not there."""
