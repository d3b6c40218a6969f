"""Answer how branch heads stand to a target from a mirror, with a constant number of processes.

One walk over the history serves all heads, and is kept for the next question; trees are read level
by level for all branches together. What was found out is remembered beside the mirror, so that work
cut short is not done again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from reconciliation.remotes.base import (
    NOT_THERE,
    Comparison,
    LookBack,
    Relation,
    Standing,
    is_null_id,
)
from reconciliation.remotes.git import Git
from reconciliation.remotes.history import LoadedHistory, load_history
from reconciliation.remotes.mirror_changes import read_changes, read_files_at
from reconciliation.remotes.patches import prove_alike
from reconciliation.remotes.standings import Pair, Sources, find_standings
from reconciliation.remotes.supply import Supply

HISTORY_TOO_LONG = (
    "the history has more than {limit} commits or is incomplete: raise RECONCILER_HISTORY_COMMITS"
)
_MOST_HISTORIES = 4

Compare = Callable[[Sequence[Pair]], Mapping[Pair, Comparison]]


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of the memo about one head."""

    base: str
    head: str
    looks_for_changes: bool
    compares_files: bool

    def text(self, limits: str) -> str:
        """Return the question with its form and limits, so that no other has the same text."""
        flags = f"{self.looks_for_changes:d}{self.compares_files:d}"
        return f"standing/2 {self.base} {self.head} {flags} {limits}"


class MirrorStandings:
    """Finds standings in mirrors; keeps the histories that were asked about last. Thread-safe."""

    def __init__(self, git: Git, look_back: LookBack) -> None:
        self._git = git
        self._look_back = look_back
        self._limits = " ".join(str(limit) for limit in astuple(look_back))
        self._lock = threading.Lock()
        self._histories: OrderedDict[str, LoadedHistory] = OrderedDict()

    def of(
        self,
        supply: Supply,
        heads: Mapping[str, str],
        *,
        base: tuple[str, str],
        look_for: Collection[str],
        prove_for: Collection[str],
        compare: Compare,
    ) -> dict[str, Standing]:
        """Return the standing of each head, by branch name; see `Remote.standings`."""
        questions = {
            name: _Question(base[1], oid, name in look_for, name in look_for and name in prove_for)
            for name, oid in sorted(heads.items())
        }
        memo = supply.mirror.memo
        texts = {question: question.text(self._limits) for question in questions.values()}
        recalled = memo.recall(list(texts.values()))
        answers = {
            question: _standing(recalled[text])
            for question, text in texts.items()
            if text in recalled
        }
        open_questions = [question for question in texts if question not in answers]
        if open_questions:
            branches = {base[0]: base[1]} | {
                name: question.head
                for name, question in questions.items()
                if question not in answers and not is_null_id(question.head)
            }
            found, unread = self._found(supply, open_questions, branches, compare)
            answers |= found
            memo.remember(
                {
                    texts[question]: _row(standing)
                    for question, standing in found.items()
                    if question.head not in unread
                    and standing.comparison.relation is not Relation.UNKNOWN
                }
            )
        return {name: answers[question] for name, question in questions.items()}

    def _found(
        self,
        supply: Supply,
        questions: Sequence[_Question],
        branches: Mapping[str, str],
        compare: Compare,
    ) -> tuple[dict[_Question, Standing], set[str]]:
        base = questions[0].base
        lacking = supply.obtain(set(branches.values()), heads=branches)
        found = {
            question: Standing(Comparison.unknown(reason), "", reason)
            for question in questions
            if (reason := lacking.get(base) or lacking.get(question.head) or _null(question.head))
        }
        askable = [question for question in questions if question not in found]
        if not askable:
            return found, set()
        history = self._history(supply, {base, *(question.head for question in askable)})
        if history is None:
            return found | self._one_by_one(askable, compare), set()
        standings, unread = find_standings(
            history.parents,
            history.newest(base, limit=self._look_back.commits),
            target=base,
            heads={question.head for question in askable},
            look_for={question.head for question in askable if question.looks_for_changes},
            prove_for={question.head for question in askable if question.compares_files},
            look_back=self._look_back,
            sources=Sources(
                changes_of=lambda pairs: read_changes(supply, pairs, limit=self._look_back.paths),
                files_at=lambda commit, paths: read_files_at(supply, commit, paths),
                prove=lambda asked: prove_alike(self._git, supply, asked),
            ),
        )
        answers = {
            question: _without_looking(standings[question.head], question) for question in askable
        }
        return found | answers, unread

    def _history(self, supply: Supply, tips: set[str]) -> LoadedHistory | None:
        """Return a history that holds all tips: the one kept, or one read now."""
        git_dir = supply.mirror.git_dir
        with self._lock:
            kept = self._histories.get(git_dir)
            if kept is not None and tips <= kept.parents.keys():
                self._histories.move_to_end(git_dir)
                return kept
        with supply.mirror.reading():
            loaded = load_history(self._git, git_dir, tips, limit=self._look_back.history)
        if loaded is not None:
            with self._lock:
                self._histories[git_dir] = loaded
                self._histories.move_to_end(git_dir)
                while len(self._histories) > 1 and (
                    len(self._histories) > _MOST_HISTORIES
                    or sum(len(one.parents) for one in self._histories.values())
                    > self._look_back.history
                ):
                    self._histories.popitem(last=False)
        return loaded

    def _one_by_one(
        self, questions: Sequence[_Question], compare: Compare
    ) -> dict[_Question, Standing]:
        """Answer from git, pair by pair; equal changes are not looked for, and that is said."""
        compared = compare([(question.head, question.base) for question in questions])
        unknown = HISTORY_TOO_LONG.format(limit=self._look_back.history)
        answers = {}
        for question in questions:
            comparison = compared[question.head, question.base]
            is_merged = comparison.relation in {Relation.SAME, Relation.ANCESTOR}
            looks = question.looks_for_changes and comparison.relation is Relation.DIVERGED
            answers[question] = Standing(
                comparison, "ancestry" if is_merged else "", unknown if looks else ""
            )
        return answers


def _without_looking(standing: Standing, question: _Question) -> Standing:
    """Two branches may be at one head, and only one of them be looked at for equal changes."""
    if question.looks_for_changes or standing.merged_by == "ancestry":
        return standing
    return Standing(standing.comparison)


def _null(oid: str) -> str:
    return NOT_THERE if is_null_id(oid) else ""


def _row(standing: Standing) -> list[Any]:
    compared = standing.comparison
    return [
        compared.relation.value,
        compared.ahead,
        compared.behind,
        compared.merge_base,
        standing.merged_by,
        standing.merge_unknown,
    ]


def _standing(row: Sequence[Any]) -> Standing:
    relation, ahead, behind, merge_base, merged_by, merge_unknown = row
    return Standing(
        Comparison(Relation(relation), ahead, behind, merge_base), merged_by, merge_unknown
    )
