"""Observes the merges on the way from a governed head to an observed one, and how they stand.

A merge of a pull request brings recorded work in under another commit; an update brings in what is
governed on another branch already. Every line is walked along first parents, and only so far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from governance.selectors.visible import PullRequest
from reconciliation.domain.facts import GateFact, LeaseFact, MergeFact, Push, RunFact, UpdateFact
from reconciliation.remotes.base import CommitInfo, HistoryUnknown, Relation, Remote, RemoteTarget
from reconciliation.services.observe.same_change import SameChange, same_change

LOOK_BACK_COMMITS = 200
"""How many commits between two heads are looked at."""
MOST_MERGES = 20
"""How many merges of one branch are compared at a time, the first ones."""

_ON_THE_LINE = frozenset({Relation.SAME, Relation.ANCESTOR})


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of the branch that a pull request comes from."""

    runs: tuple[RunFact, ...] = ()
    pushes: tuple[Push, ...] = ()
    leases: tuple[LeaseFact, ...] = ()
    gates: tuple[GateFact, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The commits from one head to another along first parents, both included, oldest first."""

    commits: tuple[str, ...]
    info: Mapping[str, CommitInfo]

    def merged_into(self, commit: str) -> str | None:
        """Return what a merge commit of two parents merged in, or None."""
        parents = self.info[commit].parents
        return parents[1] if len(parents) == 2 else None


@dataclass(frozen=True, slots=True)
class Updates:
    """The updates of a line, and what of the change is the branch's own.

    `governed_commits` counts the commits that came with updates and are governed already. `paths`
    are those that the line changed beside them; None when it has no update.
    """

    facts: tuple[UpdateFact, ...] = ()
    governed_commits: int = 0
    paths: tuple[str, ...] | None = None
    paths_known: bool = True


def line_between(remote: Remote, target: RemoteTarget, old: str, new: str) -> Line | None:
    """Return the line from `old` to `new`; None when it is too long or does not lead there."""
    try:
        oids = remote.commits_between(target, old, new, limit=LOOK_BACK_COMMITS)
    except HistoryUnknown:
        return None
    info = remote.commits(target, [*oids, old])
    found = [new]
    while found[-1] != old:
        commit = info.get(found[-1])
        if commit is None or not commit.parents or found[-1] not in info:
            return None
        found.append(commit.parents[0])
    return Line(tuple(reversed(found)), info)


def updates_on(
    remote: Remote, target: RemoteTarget, line: Line, governed: Mapping[str, str]
) -> Updates:
    """Return the merges on a line of commits that are governed on another branch.

    `governed` maps other branches to their governed heads.
    """
    facts: list[UpdateFact] = []
    paths: set[str] = set()
    known, own_since, commits = True, line.commits[0], 0
    for before, after in zip(line.commits, line.commits[1:], strict=False):
        merged = line.merged_into(after)
        source = _governed_at(remote, target, merged, governed) if merged else None
        if merged is None or source is None or len(facts) >= MOST_MERGES:
            continue
        relation = remote.compare(target, [(before, merged)])[before, merged]
        if relation.merge_base is None or relation.ahead is None:
            continue
        change = same_change(
            remote, target, landed=(before, after), wanted=(relation.merge_base, merged)
        )
        facts.append(UpdateFact(source, before, after, change.verdict, change.reason))
        commits += relation.ahead
        known &= _add_paths(remote, target, own_since, before, paths)
        known &= change.verdict == "same" or bool(change.paths)
        paths |= set(change.paths)
        own_since = after
    if not facts:
        return Updates()
    known &= _add_paths(remote, target, own_since, line.commits[-1], paths)
    return Updates(tuple(facts), commits, tuple(sorted(paths)), known)


def merges_on(
    remote: Remote,
    target: RemoteTarget,
    line: Line,
    requests: Sequence[PullRequest],
    sources: Mapping[int, Source],
) -> tuple[MergeFact, ...]:
    """Return how each pull request that was merged on this line stands, by number."""
    found = []
    for request in requests[:MOST_MERGES]:
        landed = request.merge_sha or request.head_sha
        if landed not in line.commits[1:] or not request.head_sha:
            continue
        source = Source() if request.from_fork else sources.get(request.number, Source())
        found += [
            _with_source(remote, target, merge, source)
            for merge in _merges_of(remote, target, line, request, line.commits.index(landed))
        ]
    return tuple(sorted(found, key=lambda one: (one.number, one.method)))


def _merges_of(
    remote: Remote, target: RemoteTarget, line: Line, request: PullRequest, place: int
) -> list[MergeFact]:
    """Return how a pull request landed at a place of the line.

    A commit of one parent may be a squash or the last of a rebase.
    """
    before, after, head = line.commits[place - 1], line.commits[place], request.head_sha
    merged = line.merged_into(after)
    if merged is not None and merged != head:
        change = SameChange("differs", f"it merges {merged[:10]}, not {head[:10]}")
        return [_fact(request, "merge", before, after, change)]
    if after == head:
        return [_fact(request, "fast_forward", line.commits[0], after, SameChange("same"))]
    change = _landed(remote, target, before, after, head)
    if merged is not None:
        return [_fact(request, "merge", before, after, change)]
    squashed = _fact(request, "squash", before, after, change)
    start = _rebased_from(remote, target, line, place, head)
    if start is None:
        return [squashed]
    # The first commits of a rebase may have stayed the same: then the last looks like a squash.
    rebased = _fact(request, "rebase", start, after, _landed(remote, target, start, after, head))
    alike = [one for one in (squashed, rebased) if one.change == "same"]
    return alike or [squashed, rebased]


def _landed(remote: Remote, target: RemoteTarget, before: str, after: str, head: str) -> SameChange:
    fork = remote.compare(target, [(before, head)])[before, head].merge_base
    if fork is None:
        return SameChange("unknown", f"the history of {head[:10]} is not known")
    return same_change(remote, target, landed=(before, after), wanted=(fork, head))


def _rebased_from(
    remote: Remote, target: RemoteTarget, line: Line, place: int, head: str
) -> str | None:
    """Return where as many commits began as the pull request has, merges left out."""
    fork = remote.compare(target, [(line.commits[0], head)])[line.commits[0], head].merge_base
    if fork is None:
        return None
    try:
        oids = remote.commits_between(target, fork, head, limit=LOOK_BACK_COMMITS)
    except HistoryUnknown:
        return None
    info = remote.commits(target, oids)
    number = sum(1 for oid in oids if oid in info and len(info[oid].parents) == 1)
    return line.commits[place - number] if 1 < number <= place else None


def _with_source(
    remote: Remote, target: RemoteTarget, merge: MergeFact, source: Source
) -> MergeFact:
    """Return the merge with what is recorded of its branch, up to the head that was merged."""
    head, before = merge.source_head, merge.before
    succeeded = [run for run in source.runs if run.status == "succeeded" and run.head_sha]
    bases = sorted({run.base_sha for run in succeeded if run.base_sha.strip("0")})
    pairs = [(base, before) for base in bases]
    relations = remote.compare(target, pairs) if pairs else {}
    governed = tuple(base for base in bases if relations[base, before].relation in _ON_THE_LINE)
    updates: tuple[UpdateFact, ...] = ()
    fork = remote.compare(target, [(before, head)])[before, head].merge_base
    start = next((base for base in governed if base == fork), governed[0] if governed else None)
    line = line_between(remote, target, start, head) if start is not None else None
    if line is not None:
        updates = updates_on(remote, target, line, {"": before}).facts
    return replace(
        merge,
        source_bases=governed,
        runs=tuple(succeeded),
        updates=tuple(replace(one, source="the target") for one in updates),
        pushes=source.pushes,
        leases=source.leases,
        gates=source.gates,
    )


def _fact(
    request: PullRequest, method: str, before: str, after: str, change: SameChange
) -> MergeFact:
    return MergeFact(
        number=request.number,
        method=method,
        before=before,
        after=after,
        change=change.verdict,
        reason=change.reason,
        source_branch=request.head_branch,
        source_bases=(),
        source_head=request.head_sha,
        from_fork=request.from_fork,
        runs=(),
        updates=(),
        pushes=(),
        leases=(),
        gates=(),
    )


def _governed_at(
    remote: Remote, target: RemoteTarget, commit: str, governed: Mapping[str, str]
) -> str | None:
    """Return the branch under whose governed head a commit is, the first by name."""
    names = sorted(governed)
    pairs = [(commit, governed[name]) for name in names]
    relations = remote.compare(target, sorted(set(pairs))) if pairs else {}
    return next(
        (
            name
            for name, pair in zip(names, pairs, strict=True)
            if relations[pair].relation in _ON_THE_LINE
        ),
        None,
    )


def _add_paths(remote: Remote, target: RemoteTarget, old: str, new: str, paths: set[str]) -> bool:
    """Add the paths that differ between two commits; return whether all of them are known."""
    if old == new:
        return True
    changed = remote.changed_paths(target, old, new, limit=2000)
    paths |= set(changed.paths)
    return changed.known and not changed.truncated
