"""Decides from trees whether a target branch holds a branch's change under other commits; pure.

A squash merge is one commit that changes the same files in the same way as the whole branch; a
rebase merge is one such commit for each commit of the branch. The same way means: from the same
file to the same file, or to the file as the branch has it. Where a file was another one on the
target before, only the lines inside could tell: then the answer is that it cannot be told.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Change = Mapping[str, tuple[str | None, str | None]]
"""Path to the object ids before and after; None for no file there."""


class Match(StrEnum):
    """How a commit of the target stands to a change of the branch."""

    SAME = "same"
    POSSIBLE = "possible"
    NONE = "none"
    UNKNOWN = "unknown"
    """A commit of the branch could not be read, or what its merges changed is in no commit."""


def match_changes(wanted: Change, other: Change) -> Match:
    """Return whether two changes of the same paths are one change.

    Every path ends as the branch has it: merging the branch there would change nothing. A path that
    starts *and* ends as another file may hold the same change of lines, beside others.
    """
    if not wanted or wanted.keys() != other.keys():
        return Match.NONE
    match = Match.SAME
    for path, (before, after) in wanted.items():
        other_before, other_after = other[path]
        if after == other_after:
            continue
        if before == other_before or None in (before, after, other_before, other_after):
            return Match.NONE
        match = Match.POSSIBLE
    return match


class Candidates:
    """Commits of the target with their changes, found by the paths that they change."""

    def __init__(self, changes: Iterable[tuple[str, Change]]) -> None:
        self._by_paths: dict[frozenset[str], list[tuple[str, Change]]] = defaultdict(list)
        for oid, change in changes:
            self._by_paths[frozenset(change)].append((oid, change))

    def matching(self, wanted: Change, *, among: frozenset[str]) -> dict[str, Match]:
        """Return the commits of `among` that make this change, or may; in the order given."""
        matches: dict[str, Match] = {}
        for oid, change in self._by_paths.get(frozenset(wanted), ()):
            if oid in among and (match := match_changes(wanted, change)) is not Match.NONE:
                matches[oid] = match
        return matches


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the target holds the change: `merged`, or not, or why that cannot be told.

    `questions` are the (commit of the branch or "", commit of the target) pairs on which the
    answer hangs; the empty id stands for the whole change.
    """

    merged: bool
    unknown: str = ""
    questions: tuple[tuple[str, str], ...] = ()


NOT_MERGED = Verdict(merged=False)
STEPS_UNKNOWN = (
    "commits there match some of the branch; its other commits or its merges could not be compared"
)
MERGED = Verdict(merged=True)

Steps = Sequence[tuple[str, Change | None]]
"""The commits of a branch without merges, as (id, change); None where that is not known."""
Proved = Mapping[tuple[str, str], bool | None]
"""Answers to questions of an earlier verdict, by the lines of the files."""


def is_absent(change: Change, at_target: Mapping[str, str | None]) -> bool:
    """Return whether the target shows that it does not hold the change, or no longer.

    `at_target` are files as the target has them now. One that is as it was before the change was
    never changed there, or changed back.
    """
    return any(
        path in at_target and at_target[path] == before for path, (before, _) in change.items()
    )


def judge(
    whole: Change,
    steps: Steps | None,
    candidates: Candidates,
    *,
    among: frozenset[str],
    unseen: int,
    why_no_steps: str = "",
    proved: Proved | None = None,
) -> Verdict:
    """Return whether the target holds the change of a branch, in whole or commit by commit.

    `among` are the commits of the target that may have brought it in and were looked at; `unseen`
    counts those that were not. `steps` is None where the commits of the branch were not read.
    """
    if not whole:
        return NOT_MERGED
    questions: list[tuple[str, str]] = []
    matches = [
        _settled("", whole, candidates, among, proved or {}, questions),
        _by_steps(whole, steps or (), candidates, among, proved or {}, questions),
    ]
    if Match.SAME in matches:
        return MERGED
    if Match.POSSIBLE in matches:
        return Verdict(
            merged=False,
            unknown="commits there change the same files, which had moved on before",
            questions=tuple(dict.fromkeys(questions)),
        )
    if Match.UNKNOWN in matches:
        return Verdict(merged=False, unknown=STEPS_UNKNOWN)
    if unseen:
        s = "" if unseen == 1 else "s"
        return Verdict(merged=False, unknown=f"{unseen} older commit{s} there were not compared")
    return NOT_MERGED if steps is not None else Verdict(merged=False, unknown=why_no_steps)


def _settled(
    step: str,
    change: Change,
    candidates: Candidates,
    among: frozenset[str],
    proved: Proved,
    open_questions: list[tuple[str, str]],
) -> Match:
    answer = Match.NONE
    for oid, match in candidates.matching(change, among=among).items():
        if match is Match.SAME or proved.get((step, oid)):
            return Match.SAME
        if proved.get((step, oid)) is None:
            open_questions.append((step, oid))
            answer = Match.POSSIBLE
    return answer


def _by_steps(
    whole: Change,
    steps: Steps,
    candidates: Candidates,
    among: frozenset[str],
    proved: Proved,
    open_questions: list[tuple[str, str]],
) -> Match:
    """Return whether every commit of the branch has its counterpart; empty ones need none."""
    changes = [(oid, change) for oid, change in steps if change is None or change]
    if not changes or (len(changes) == 1 and changes[0][1] == whole):  # compared already
        return Match.NONE
    questions: list[tuple[str, str]] = []
    matches = {
        Match.UNKNOWN
        if change is None
        else _settled(oid, change, candidates, among, proved, questions)
        for oid, change in changes
    }
    if Match.NONE in matches:
        return Match.NONE
    if Match.UNKNOWN in matches or not _make_up(whole, changes):
        return Match.UNKNOWN
    open_questions += questions
    return Match.POSSIBLE if Match.POSSIBLE in matches else Match.SAME


def _make_up(whole: Change, steps: Steps) -> bool:
    """Return whether each file of the whole change is as a step left it; merges may change more."""
    left = {(path, after) for _, change in steps for path, (_, after) in (change or {}).items()}
    return all((path, after) in left for path, (_, after) in whole.items())
