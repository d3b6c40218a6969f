"""Observes heads that moved: ancestry, changed paths, who pushed, and which leases stood then."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from governance.domain.policy import Policy
from governance.selectors.branch_facts import (
    BranchKey,
    BranchRow,
    RepositoryRow,
)
from governance.selectors.change_facts import (
    Sha,
    pull_requests_by_branch,
    runs_by_branch,
)
from governance.selectors.lease_facts import leases_at
from governance.selectors.visible import Lease, PullRequest, RunRecord
from governance.services.policies import PolicyResolver
from reconciliation.domain.codec import decode
from reconciliation.domain.coverage import chain_between, steps_of_runs
from reconciliation.domain.facts import ChangedPaths, HeadFacts, PullRequestFact, Push
from reconciliation.remotes.base import Relation, Remote, RemoteError
from reconciliation.services.observe.aliases import names_in, with_aliases
from reconciliation.services.observe.ancestry import Ancestry, ancestry_of
from reconciliation.services.observe.heads import read_heads
from reconciliation.services.observe.known import (
    Repositories,
    by_repository,
    class_of,
    held_class_of,
    known_branches,
    place_of,
)
from reconciliation.services.observe.merged_work import (
    Candidates,
    MergedWork,
    candidates_of,
    work_of,
)
from reconciliation.services.observe.merges import Line, line_between
from reconciliation.services.observe.remote import target_of, trouble_of
from reconciliation.services.observe.rows import lease_fact, pull_request_fact, run_fact
from reconciliation.services.observe.run_gates import run_gates
from reconciliation.services.observe.values import Batch, Gathered, Outdated
from reconciliation.services.queue import ClaimedTask

FRESH = timedelta(minutes=2)
"""Heads read longer ago than this are read again before a decision about one of them."""


def observe_head_drift(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather head facts; ancestry and changed paths are read only for heads that differ."""
    batch, keys, rows = known_branches(tasks)
    batch, keys = _only_fresh(batch, keys, rows, repositories, remote=remote, now=now)
    pushes = {key: _pushes(rows[key]) for key in keys}
    runs, policy_of = runs_by_branch(keys), {key: policies.for_branch(*key) for key in keys}
    stored = _Stored(
        rows=rows,
        policy_of=policy_of,
        pushes=pushes,
        runs=runs,
        requests=pull_requests_by_branch(keys, merged_at=_shas(rows, pushes)),
        leases=leases_at({key: _moments(rows[key], pushes[key], now=now) for key in keys}),
    )
    related: dict[BranchKey, Ancestry] = {}
    lines: dict[BranchKey, Line | None] = {}
    read: dict[int, dict[BranchKey, ClaimedTask]] = {}
    for pk, tasks_there in by_repository(keys).items():
        try:
            related |= _related(tasks_there, repositories[pk], stored, remote=remote)
            lines |= _lines(tasks_there, repositories[pk], stored, related, remote=remote)
        except RemoteError as error:
            batch.troubles += [trouble_of(task, error) for task in tasks_there.values()]
            continue
        read[pk] = tasks_there
    candidates = candidates_of(
        {key: line for key, line in lines.items() if line},
        policy_of,
        seen_at={key: rows[key].observed_at or rows[key].first_seen_at for key in lines},
    )
    work: dict[BranchKey, MergedWork] = {}
    for pk, tasks_there in list(read.items()):
        try:
            work |= _work(tasks_there, repositories[pk], stored, lines, candidates, remote=remote)
        except RemoteError as error:
            batch.troubles += [trouble_of(task, error) for task in tasks_there.values()]
            del read[pk]
    gates = run_gates(runs, rows, policy_of, {key: one.inside_runs for key, one in work.items()})
    for pk, tasks_there in read.items():
        for key, task in tasks_there.items():
            ancestry, merged = related.get(key, Ancestry()), work.get(key, MergedWork())
            facts = _head_facts(task, key, repositories[pk], stored, ancestry, merged)
            facts = replace(facts, gates=gates.get(key, ()))
            batch.gathered.append(Gathered(task, facts, policy_of[key]))
    batch.gathered = with_aliases(batch.gathered, repositories, names_of=_names)
    return batch


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the database knows of the branches of a batch."""

    rows: Mapping[BranchKey, BranchRow]
    policy_of: Mapping[BranchKey, Policy]
    pushes: Mapping[BranchKey, tuple[Push, ...]]
    runs: Mapping[BranchKey, Sequence[RunRecord]]
    requests: Mapping[BranchKey, Sequence[PullRequest]]
    leases: Mapping[BranchKey, Sequence[Lease]]


def _related(
    keys: Iterable[BranchKey], repository: RepositoryRow, stored: _Stored, *, remote: Remote
) -> dict[BranchKey, Ancestry]:
    """Return how the heads of one repository's branches relate, for those whose heads differ.

    The history of a new branch is read while it is there: once it is merged and deleted, that is
    what the merge is compared with.
    """
    pairs = {
        key[1]: (row.governed_head, row.observed_head)
        for key in keys
        if (row := stored.rows[key]).governed_head
        and row.observed_head
        and row.governed_head != row.observed_head
    }
    with_paths = {
        name
        for name in pairs
        if stored.policy_of[repository.id, name].changes.high_risk_paths
        or any(one.scope == "path-prefix" for one in stored.leases.get((repository.id, name), ()))
    }
    created = {
        key[1]: head
        for key in keys
        if stored.rows[key].governed_head is None
        and (head := stored.rows[key].observed_head)
        and (key in stored.runs or key in stored.requests)
    }
    target = target_of(repository)
    if created:
        remote.sync(target, created)
    found = ancestry_of(remote, target, pairs, with_paths=with_paths)
    return {(repository.id, name): one for name, one in found.items()}


def _work(
    keys: Iterable[BranchKey],
    repository: RepositoryRow,
    stored: _Stored,
    lines: Mapping[BranchKey, Line | None],
    candidates: Candidates,
    *,
    remote: Remote,
) -> dict[BranchKey, MergedWork]:
    """Return what leads to heads beside run records, for the branches with lines to look at."""
    found = {}
    for key in keys:
        row = stored.rows[key]
        if key not in lines or not row.governed_head or not row.observed_head:
            continue
        found[key] = work_of(
            remote,
            target_of(repository),
            key,
            lines[key],
            candidates,
            runs=[run_fact(one) for one in stored.runs.get(key, ())],
            heads=(row.governed_head, row.observed_head),
            branch_class=held_class_of(key[1], row, repository, stored.policy_of[key]),
        )
    return found


def _lines(
    keys: Iterable[BranchKey],
    repository: RepositoryRow,
    stored: _Stored,
    related: Mapping[BranchKey, Ancestry],
    *,
    remote: Remote,
) -> dict[BranchKey, Line | None]:
    """Return the lines of the branches that moved on and whose runs alone do not lead there.

    None for one on which no merge can be looked for.
    """
    found: dict[BranchKey, Line | None] = {}
    for key in keys:
        row, ancestry = stored.rows[key], related.get(key, Ancestry())
        if ancestry.relation != Relation.ANCESTOR or not row.governed_head or not row.observed_head:
            continue
        steps = steps_of_runs(run_fact(one) for one in stored.runs.get(key, ()))
        if chain_between(steps, base=row.governed_head, head=row.observed_head):
            continue
        may_hold_merges = ancestry.ahead != 1 or key in stored.requests
        found[key] = (
            line_between(remote, target_of(repository), row.governed_head, row.observed_head)
            if may_hold_merges
            else None
        )
    return found


def _names(facts: HeadFacts) -> set[str]:
    """Return the names that the rules compare: none where neither run nor lease is about them."""
    merged = {name for one in facts.merges for name in names_in(one.runs, one.leases, one.pushes)}
    if not facts.runs and not facts.leases:
        return merged
    return names_in(facts.runs, facts.leases, facts.pushes) | {facts.pusher} | merged


def _only_fresh(
    batch: Batch,
    keys: dict[BranchKey, ClaimedTask],
    rows: Mapping[BranchKey, BranchRow],
    repositories: Repositories,
    *,
    remote: Remote,
    now: datetime,
) -> tuple[Batch, dict[BranchKey, ClaimedTask]]:
    old = [
        pk
        for pk in sorted({pk for pk, _ in keys})
        if (seen := repositories[pk].observed_at) is None or now - seen > FRESH
    ]
    answers = dict(
        zip(
            old,
            read_heads([target_of(repositories[pk]) for pk in old], remote) if old else [],
            strict=True,
        )
    )
    fresh: dict[BranchKey, ClaimedTask] = {}
    for key, task in keys.items():
        answer = answers.get(key[0])
        if isinstance(answer, RemoteError):
            batch.troubles.append(trouble_of(task, answer))
        elif answer is not None and answer.heads.get(key[1]) != rows[key].observed_head:
            batch.outdated.append(Outdated(task, answer.heads.get(key[1])))
        else:
            fresh[key] = task
    return batch, fresh


def _head_facts(
    task: ClaimedTask,
    key: BranchKey,
    repository: RepositoryRow,
    stored: _Stored,
    ancestry: Ancestry,
    work: MergedWork,
) -> HeadFacts:
    row, policy, pushes = stored.rows[key], stored.policy_of[key], stored.pushes[key]
    now = class_of(task.branch, repository, policy)
    held = held_class_of(task.branch, row, repository, policy)
    known = [pull_request_fact(one) for one in stored.requests.get(key, ())]
    onto = [one for one in known if one.base_branch == task.branch]
    from_it = [one for one in known if one.head_branch == task.branch and not one.from_fork]
    heads = {row.observed_head, *(push.after for push in pushes)} - {None}
    return HeadFacts(
        place=place_of(task),
        branch_class=held,
        class_now="" if held == now else now,
        governed_head=row.governed_head,
        observed_head=row.observed_head,
        head_changed_at=row.observed_at or row.first_seen_at,
        was_gone=row.gone_at is not None,
        announced_by=row.announced_by,
        pusher=row.pusher,
        relation=ancestry.relation,
        relation_reason=ancestry.reason,
        ahead=None if ancestry.ahead is None else ancestry.ahead - work.governed_commits,
        behind=ancestry.behind,
        changed=_changed(ancestry, work),
        committer=ancestry.committer,
        runs=tuple(run_fact(one) for one in stored.runs.get(key, ())),
        leases=tuple(lease_fact(one) for one in stored.leases.get(key, ())),
        merged_pull_requests=tuple(
            one
            for one in onto
            if one.state == "merged" and not heads.isdisjoint({one.merge_sha, one.head_sha})
        ),
        open_pull_requests=tuple(one for one in from_it if one.state == "open"),
        previous_head=row.previous_head,
        pushes=pushes,
        merged_from=_merged_away(row, from_it),
        open_onto=(() if row.observed_head else tuple(one for one in onto if one.state == "open")),
        merges=work.merges,
        updates=work.updates,
        inside_runs=work.inside_runs,
    )


def _changed(ancestry: Ancestry, work: MergedWork) -> ChangedPaths:
    """Return the paths that changed, but for those that came governed from another branch."""
    if work.own_paths is None or not work.own_paths_known or not ancestry.paths:
        return ChangedPaths(ancestry.paths_known, ancestry.paths, ancestry.paths_truncated)
    return ChangedPaths(known=True, paths=work.own_paths, truncated=False)


def _merged_away(row: BranchRow, from_it: Sequence[PullRequestFact]) -> tuple[PullRequestFact, ...]:
    """Return the pull requests that merged what a branch that is gone held, or was to hold."""
    if row.observed_head:
        return ()
    held = {row.governed_head, row.previous_head} - {None}
    return tuple(one for one in from_it if one.state == "merged" and one.head_sha in held)


def _pushes(row: BranchRow) -> tuple[Push, ...]:
    if row.governed_head == row.observed_head:
        return ()
    return tuple(decode(Push, push) for push in row.pushes)


def _shas(
    rows: Mapping[BranchKey, BranchRow], pushes: Mapping[BranchKey, Sequence[Push]]
) -> set[Sha]:
    """Return every commit at which a merge may have been pushed."""
    found = {(key[0], rows[key].observed_head) for key in pushes}
    found |= {(key[0], push.after) for key, some in pushes.items() for push in some}
    return {(pk, sha) for pk, sha in found if sha}


def _moments(row: BranchRow, pushes: Sequence[Push], *, now: datetime) -> list[datetime]:
    """Return when leases matter: at every push, or when the head was seen."""
    return [push.at for push in pushes] or [row.observed_at or now]
