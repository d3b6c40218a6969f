"""Observes heads that moved: ancestry, changed paths, who pushed, and which leases stood then."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from governance.domain.policy import Policy
from governance.selectors.branch_facts import (
    BranchKey,
    BranchRow,
    RepositoryRow,
)
from governance.selectors.change_facts import (
    Sha,
    gates_by_sha,
    pull_requests_by_branch,
    runs_by_branch,
)
from governance.selectors.lease_facts import leases_at
from governance.selectors.visible import Lease, PullRequest, RunRecord
from governance.services.policies import PolicyResolver
from reconciliation.domain.codec import decode
from reconciliation.domain.coverage import steps_between, steps_of_runs
from reconciliation.domain.facts import ChangedPaths, GateFact, HeadFacts, PullRequestFact, Push
from reconciliation.remotes.base import Remote, RemoteError
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
from reconciliation.services.observe.remote import target_of, trouble_of
from reconciliation.services.observe.rows import lease_fact, pull_request_fact, run_fact
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
    runs = runs_by_branch(keys)
    pushes = {key: _pushes(rows[key]) for key in keys}
    requests = pull_requests_by_branch(keys, merged_at=_shas(rows, pushes))
    leases = leases_at({key: _moments(rows[key], pushes[key], now=now) for key in keys})
    policy_of = {key: policies.for_branch(*key) for key in keys}
    gates = _gates({key: runs.get(key, []) for key in keys}, rows, policy_of)
    for repository_id, tasks_there in by_repository(keys).items():
        repository = repositories[repository_id]
        pairs = {
            key[1]: (row.governed_head, row.observed_head)
            for key in tasks_there
            if (row := rows[key]).governed_head
            and row.observed_head
            and row.governed_head != row.observed_head
        }
        with_paths = {
            name
            for name in pairs
            if policy_of[repository_id, name].changes.high_risk_paths
            or any(lease.scope == "path-prefix" for lease in leases.get((repository_id, name), []))
        }
        try:
            ancestry = ancestry_of(remote, target_of(repository), pairs, with_paths=with_paths)
        except RemoteError as error:
            batch.troubles += [trouble_of(task, error) for task in tasks_there.values()]
            continue
        for key, task in tasks_there.items():
            policy = policy_of[key]
            facts = _head_facts(
                task,
                rows[key],
                repository,
                policy,
                ancestry.get(key[1], Ancestry()),
                pushes=pushes[key],
                runs=runs.get(key, []),
                leases=leases.get(key, []),
                requests=requests.get(key, []),
                gates=gates.get(key, ()),
            )
            batch.gathered.append(Gathered(task, facts, policy))
    batch.gathered = with_aliases(batch.gathered, repositories, names_of=_names)
    return batch


def _names(facts: HeadFacts) -> set[str]:
    """Return the names that the rules compare: none where neither run nor lease is about them."""
    if not facts.runs and not facts.leases:
        return set()
    return names_in(facts.runs, facts.leases, facts.pushes) | {facts.pusher}


def _gates(
    runs: Mapping[BranchKey, Sequence[RunRecord]],
    rows: Mapping[BranchKey, BranchRow],
    policy_of: Mapping[BranchKey, Policy],
) -> dict[BranchKey, tuple[GateFact, ...]]:
    """Return what hosts announced of required gates at the heads of runs on the way to the head."""
    shas: dict[BranchKey, set[str]] = {}
    for key, some in runs.items():
        head = rows[key].observed_head
        if not policy_of[key].changes.required_gates or head is None:
            continue
        steps = steps_of_runs(run_fact(one) for one in some)
        on_the_way = steps_between(steps, base=rows[key].governed_head, head=head)
        shas[key] = {step.head for step in on_the_way}
    found = gates_by_sha((key[0], sha) for key, some in shas.items() for sha in some)
    return {
        key: tuple(
            GateFact(gate.context, gate.sha, gate.state)
            for sha in sorted(some)
            for gate in found.get((key[0], sha), ())
            if gate.context in policy_of[key].changes.required_gates
        )
        for key, some in shas.items()
    }


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
    row: BranchRow,
    repository: RepositoryRow,
    policy: Policy,
    ancestry: Ancestry,
    *,
    pushes: tuple[Push, ...],
    runs: Sequence[RunRecord],
    leases: Sequence[Lease],
    requests: Sequence[PullRequest],
    gates: tuple[GateFact, ...],
) -> HeadFacts:
    now = class_of(task.branch, repository, policy)
    held = held_class_of(task.branch, row, repository, policy)
    known = [pull_request_fact(one) for one in requests]
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
        ahead=ancestry.ahead,
        behind=ancestry.behind,
        changed=ChangedPaths(ancestry.paths_known, ancestry.paths, ancestry.paths_truncated),
        committer=ancestry.committer,
        runs=tuple(run_fact(one) for one in runs),
        leases=tuple(lease_fact(one) for one in leases),
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
        gates=gates,
    )


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
