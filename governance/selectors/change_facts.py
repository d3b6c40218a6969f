"""What the reconciler asks about changes: run records, pull requests, gates; set-based reads.

Every answer is bounded: what a check is told of a branch does not grow with the branch's history.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from typing import Any, TypeVar

from django.db.models import F, Model, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from governance.models import (
    Branch,
    BranchClass,
    GateResult,
    PullRequest,
    PullRequestState,
    RunRecord,
    RunStatus,
)
from governance.selectors.branch_facts import BranchKey, among

RUNS_KEPT = 500
"""How many run records of a branch a check is told of, the newest; running ones always."""
GUARDED_KEPT = 20
"""How many default and protected branches a check looks for governed commits on, the last moved."""
MERGES_KEPT = 100
"""How many merged pull requests from a branch, or from forks onto it, the newest by number."""

Row = TypeVar("Row", bound=Model)
Sha = tuple[int, str]
"""Repository id and commit."""


def runs_by_branch(keys: Iterable[BranchKey]) -> dict[BranchKey, list[RunRecord]]:
    """Return the newest run records of each branch, and all that are running, sorted by run id."""
    wanted = set(keys)
    rows = RunRecord.objects.filter(**among(wanted, "branch"))
    newest = _newest(RUNS_KEPT, rows, of=("repository", "branch"), by="pk")
    found = {row.pk: row for row in (*newest, *rows.filter(status=RunStatus.RUNNING))}
    ordered = sorted(found.values(), key=lambda row: (row.run_id, row.pk))
    return _group((((row.repository_id, row.branch), row) for row in ordered), wanted)


def running_runs_by_branch(keys: Iterable[BranchKey]) -> dict[BranchKey, list[RunRecord]]:
    """Return the running runs of each branch, sorted by run id."""
    wanted = set(keys)
    rows = RunRecord.objects.filter(**among(wanted, "branch"), status=RunStatus.RUNNING)
    ordered = rows.order_by("run_id", "pk")
    return _group((((row.repository_id, row.branch), row) for row in ordered), wanted)


def runs_by_head(heads: Iterable[Sha]) -> dict[Sha, list[RunRecord]]:
    """Return the run records that ended at each commit, on whatever branch, sorted by run id."""
    wanted = set(heads)
    rows = RunRecord.objects.filter(**among(wanted, "head_sha")).order_by("run_id", "pk")
    return _group((((row.repository_id, row.head_sha), row) for row in rows), wanted)


def pull_requests_by_branch(
    keys: Iterable[BranchKey], *, merged_at: Iterable[Sha] = ()
) -> dict[BranchKey, list[PullRequest]]:
    """Return the pull requests from or onto each branch, sorted by number.

    Open ones all; of those merged from it, and of those merged onto it from a fork, the newest;
    and those merged onto it at one of the commits `merged_at`, as head or as merge. One from a
    fork is never one *from* our branch, even when the names agree.
    """
    wanted, shas = set(keys), {sha for _, sha in merged_at}
    names = {name for _, name in wanted}
    here = PullRequest.objects.filter(repository_id__in={pk for pk, _ in wanted})
    from_it = Q(head_branch__in=names, from_fork=False)
    from_forks = Q(base_branch__in=names, from_fork=True)
    over = ~Q(state=PullRequestState.OPEN)
    rows = {
        row.pk: row
        for found in (
            here.filter(from_it | Q(base_branch__in=names), state=PullRequestState.OPEN),
            _newest(
                MERGES_KEPT,
                here.filter(from_it, over),
                of=("repository", "head_branch"),
                by="number",
            ),
            _newest(
                MERGES_KEPT,
                here.filter(from_forks, state=PullRequestState.MERGED),
                of=("repository", "base_branch"),
                by="number",
            ),
            here.filter(
                Q(merge_sha__in=shas) | Q(head_sha__in=shas),
                base_branch__in=names,
                state=PullRequestState.MERGED,
            )
            if shas
            else (),
        )
        for row in found
    }
    touching: dict[BranchKey, list[PullRequest]] = defaultdict(list)
    for row in sorted(rows.values(), key=lambda one: (one.number, one.pk)):
        touched = {row.base_branch} if row.from_fork else {row.base_branch, row.head_branch}
        for name in sorted(touched):
            if (row.repository_id, name) in wanted:
                touching[row.repository_id, name].append(row)
    return dict(touching)


def merges_at(commits: Mapping[BranchKey, Set[str]]) -> dict[BranchKey, list[PullRequest]]:
    """Return the pull requests merged onto each branch at one of its commits, by number."""
    every = {sha for some in commits.values() for sha in some}
    rows = PullRequest.objects.filter(
        Q(merge_sha__in=every) | Q(merge_sha="", head_sha__in=every),
        repository_id__in={pk for pk, _ in commits},
        base_branch__in={name for _, name in commits},
        state=PullRequestState.MERGED,
    ).order_by("number", "pk")
    found: dict[BranchKey, list[PullRequest]] = defaultdict(list)
    for row in rows:
        key = (row.repository_id, row.base_branch)
        if (row.merge_sha or row.head_sha) in commits.get(key, ()):
            found[key].append(row)
    return dict(found)


def guarded_heads(repository_ids: Iterable[int]) -> dict[int, dict[str, str]]:
    """Return the governed heads of default and protected branches, at most 20 a repository."""
    rows = _newest(
        GUARDED_KEPT,
        Branch.objects.filter(
            repository_id__in=set(repository_ids),
            branch_class__in=(BranchClass.DEFAULT, BranchClass.PROTECTED),
            governed_head__isnull=False,
        ),
        of=("repository",),
        by="governed_at",
    )
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for row in rows:
        if row.governed_head:
            found[row.repository_id][row.name] = row.governed_head
    return {pk: dict(sorted(heads.items())) for pk, heads in found.items()}


def branches_judged_at(shas: Mapping[int, Set[str]]) -> dict[int, set[str]]:
    """Return, per repository, the drifting branches whose coverage hangs on one of these commits.

    That is the head of the branch, or the head or the merge of a pull request merged onto it. Two
    statements; none without commits.
    """
    wanted = {pk: some for pk, some in shas.items() if some}
    if not wanted:
        return {}
    every = {sha for some in wanted.values() for sha in some}
    drifting = Branch.objects.filter(repository_id__in=wanted, observed_head__in=every).exclude(
        governed_head=F("observed_head")
    )
    merged = PullRequest.objects.filter(
        Q(head_sha__in=every) | Q(merge_sha__in=every),
        repository_id__in=wanted,
        state=PullRequestState.MERGED,
    )
    told = [
        *drifting.values_list("repository_id", "name", "observed_head", "observed_head"),
        *merged.values_list("repository_id", "base_branch", "head_sha", "merge_sha"),
    ]
    found: dict[int, set[str]] = defaultdict(set)
    for pk, name, *commits in told:
        if not wanted[pk].isdisjoint(commits):
            found[pk].add(name)
    return dict(found)


def gates_by_sha(shas: Iterable[Sha]) -> dict[Sha, list[GateResult]]:
    """Return the gate results at each commit, sorted by context."""
    wanted = set(shas)
    rows = GateResult.objects.filter(**among(wanted, "sha")).order_by("context", "pk")
    return _group((((row.repository_id, row.sha), row) for row in rows), wanted)


def _newest(most: int, rows: QuerySet[Row], *, of: tuple[str, ...], by: str) -> Iterable[Row]:
    """Return so many rows of each group, those with the highest `by`."""
    numbered: QuerySet[Any] = rows.annotate(
        place=Window(RowNumber(), partition_by=[F(name) for name in of], order_by=F(by).desc())
    )
    return numbered.filter(place__lte=most)


def _group(
    pairs: Iterable[tuple[tuple[int, str], Row]], wanted: Set[tuple[int, str]]
) -> dict[tuple[int, str], list[Row]]:
    """Return the rows by key, only those wanted: `among` also selects a name elsewhere."""
    found: dict[tuple[int, str], list[Row]] = defaultdict(list)
    for key, row in pairs:
        if key in wanted:
            found[key].append(row)
    return dict(found)
