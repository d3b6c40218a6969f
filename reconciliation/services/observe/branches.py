"""Observes branches: gathers the facts of head drift, missing runs and stale branches."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from governance.domain.policy import Policy, branch_class_of
from governance.selectors.branch_facts import (
    BranchKey,
    BranchRow,
    RepositoryRow,
    branches_by_key,
    gates_by_sha,
    pull_requests_by_branch,
    runs_by_branch,
)
from governance.selectors.lease_facts import leases_by_branch, leases_during
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import (
    ChangedPaths,
    GateFact,
    HeadFacts,
    MissingRunFacts,
    Place,
    StaleFacts,
)
from reconciliation.domain.retry import ErrorClass
from reconciliation.remotes.base import Remote, RemoteError
from reconciliation.services.observe.ancestry import Ancestry, Standing, ancestry_of, standing_of
from reconciliation.services.observe.heads import read_heads
from reconciliation.services.observe.remote import target_of, trouble_of
from reconciliation.services.observe.rows import lease_fact, pull_request_fact, run_fact
from reconciliation.services.observe.values import Batch, Gathered, Outdated, Trouble
from reconciliation.services.queue import ClaimedTask

FRESH = timedelta(minutes=2)
"""Heads read longer ago than this are read again before a decision about one of them."""

Repositories = Mapping[int, RepositoryRow]


def observe_head_drift(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather head facts; ancestry and changed paths are read only for heads that differ."""
    batch, keys, rows = _known_branches(tasks)
    batch, keys = _only_fresh(batch, keys, rows, repositories, remote=remote, now=now)
    runs = runs_by_branch(keys)
    requests = pull_requests_by_branch(keys)
    moments = {key: rows[key].observed_at or now for key in keys}
    leases = leases_during({key: (moment, moment) for key, moment in moments.items()})
    policy_of = {key: policies.for_branch(*key) for key in keys}
    for repository_id, tasks_there in _by_repository(keys).items():
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
                runs=runs.get(key, []),
                leases=leases.get(key, []),
                requests=requests.get(key, []),
            )
            batch.gathered.append(Gathered(task, facts, policy))
    return batch


def observe_missing_run(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather the signs of governance over branches and the run records they have."""
    batch, keys, rows = _known_branches(tasks)
    runs, leases = runs_by_branch(keys), leases_by_branch(keys, now=now)
    requests = pull_requests_by_branch(keys)
    shas = {(key[0], head) for key in keys if (head := rows[key].observed_head)}
    shas |= {
        (key[0], sha)
        for key in keys
        for one in requests.get(key, [])
        for sha in (one.head_sha, one.merge_sha)
        if sha
    }
    gates = gates_by_sha(shas)
    for key, task in keys.items():
        row, repository = rows[key], repositories[key[0]]
        policy = policies.for_branch(*key)
        known = [pull_request_fact(one) for one in requests.get(key, [])]
        bases = sorted({one.base_branch for one in known if one.base_branch})
        own = {row.observed_head} | {sha for one in known for sha in (one.head_sha, one.merge_sha)}
        facts = MissingRunFacts(
            place=_place(task),
            branch_class=_class_of(key[1], repository, policy),
            observed_head=row.observed_head,
            governed_head=row.governed_head,
            head_changed_at=row.observed_at or row.first_seen_at,
            runs=tuple(run_fact(one) for one in runs.get(key, [])),
            leases=tuple(lease_fact(one) for one in leases.get(key, [])),
            gates=tuple(
                GateFact(gate.context, gate.sha, gate.state)
                for sha in sorted(sha for sha in own if sha)
                for gate in gates.get((key[0], sha), [])
            ),
            pull_requests=tuple(known),
            base_classes=tuple(
                (base, _class_of(base, repository, policies.for_branch(key[0], base)))
                for base in bases
            ),
        )
        batch.gathered.append(Gathered(task, facts, policy))
    return batch


def observe_stale_branch(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather a branch's activity, how it stands to the default branch, and what keeps it."""
    batch, keys, rows = _known_branches(tasks)
    runs, leases = runs_by_branch(keys), leases_by_branch(keys, now=now)
    requests = pull_requests_by_branch(keys)
    defaults = branches_by_key((pk, repositories[pk].default_branch) for pk, _ in keys)
    for repository_id, tasks_there in _by_repository(keys).items():
        repository = repositories[repository_id]
        default = defaults.get((repository_id, repository.default_branch))
        heads = {key[1]: head for key in tasks_there if (head := rows[key].observed_head)}
        try:
            standings = standing_of(
                remote,
                target_of(repository),
                heads,
                default_branch=repository.default_branch,
                default_head=default.observed_head if default else None,
                idle={
                    key[1]
                    for key in tasks_there
                    if (active_at := rows[key].last_activity_at) is not None
                    and now - active_at
                    >= timedelta(days=policies.for_branch(*key).stale_branch.idle_days)
                },
            )
        except RemoteError as error:
            batch.troubles += [trouble_of(task, error) for task in tasks_there.values()]
            continue
        for key, task in tasks_there.items():
            policy = policies.for_branch(*key)
            row = rows[key]
            known = [pull_request_fact(one) for one in requests.get(key, [])]
            from_it = tuple(one for one in known if one.head_branch == key[1] and not one.from_fork)
            standing = standings.get(key[1], Standing())
            is_merged = any(
                one.state == "merged" and one.head_sha == row.observed_head for one in from_it
            )
            facts = StaleFacts(
                place=_place(task),
                branch_class=_class_of(key[1], repository, policy),
                default_branch=repository.default_branch,
                observed_head=row.observed_head,
                last_activity_at=row.last_activity_at,
                merged_by="pull_request" if is_merged else standing.merged_by,
                behind_default=standing.behind,
                pull_requests_from=from_it,
                pull_requests_onto=tuple(one for one in known if one.base_branch == key[1]),
                leases=tuple(lease_fact(one) for one in leases.get(key, [])),
                running_runs=tuple(
                    run_fact(one) for one in runs.get(key, []) if one.status == "running"
                ),
            )
            batch.gathered.append(Gathered(task, facts, policy))
    return batch


def _known_branches(
    tasks: Sequence[ClaimedTask],
) -> tuple[Batch, dict[BranchKey, ClaimedTask], dict[BranchKey, BranchRow]]:
    batch = Batch()
    wanted = {(task.repository_id, task.branch): task for task in tasks}
    rows = branches_by_key(wanted)
    for key, task in wanted.items():
        if key not in rows:
            message = f"{task.branch} is not known in {task.tenant}/{task.repo}."
            batch.troubles.append(Trouble(task, ErrorClass.TERMINAL, "branch_unknown", message))
    return batch, {key: task for key, task in wanted.items() if key in rows}, rows


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
    runs: list,  # type: ignore[type-arg]
    leases: list,  # type: ignore[type-arg]
    requests: list,  # type: ignore[type-arg]
) -> HeadFacts:
    known = [pull_request_fact(one) for one in requests]
    return HeadFacts(
        place=_place(task),
        branch_class=_class_of(task.branch, repository, policy),
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
            for one in known
            if one.state == "merged"
            and one.base_branch == task.branch
            and row.observed_head in {one.merge_sha, one.head_sha}
        ),
        open_pull_requests=tuple(
            one for one in known if one.state == "open" and one.head_branch == task.branch
        ),
    )


def _by_repository(
    keys: Mapping[BranchKey, ClaimedTask],
) -> dict[int, dict[BranchKey, ClaimedTask]]:
    found: dict[int, dict[BranchKey, ClaimedTask]] = defaultdict(dict)
    for key, task in keys.items():
        found[key[0]][key] = task
    return dict(found)


def _class_of(branch: str, repository: RepositoryRow, policy: Policy) -> str:
    return branch_class_of(branch, default_branch=repository.default_branch, policy=policy)


def _place(task: ClaimedTask) -> Place:
    return Place(task.tenant, task.workspace, task.repo, task.branch)
