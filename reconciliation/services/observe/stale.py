"""Observes branches that may be stale: activity, merges, and everything that speaks for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from governance.selectors.change_facts import pull_requests_by_branch, running_runs_by_branch
from governance.selectors.lease_facts import leases_by_branch
from governance.services.policies import PolicyResolver
from reconciliation.domain.activity import if_true
from reconciliation.domain.facts import StaleFacts
from reconciliation.remotes.base import Comparison, Remote, RemoteError, Standing
from reconciliation.services.observe.activity import dates_of_commits
from reconciliation.services.observe.known import (
    Repositories,
    by_repository,
    held_class_of,
    known_branches,
    place_of,
)
from reconciliation.services.observe.remote import target_of, trouble_of
from reconciliation.services.observe.rows import lease_fact, pull_request_fact, run_fact
from reconciliation.services.observe.standing import standings_of
from reconciliation.services.observe.values import Batch, Gathered
from reconciliation.services.queue import ClaimedTask


def observe_stale_branch(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather a branch's activity, how it stands to the default branch, and what keeps it."""
    batch, keys, rows = known_branches(tasks, with_default_of=repositories)
    runs, leases = running_runs_by_branch(keys), leases_by_branch(keys, now=now)
    requests = pull_requests_by_branch(keys)
    for repository_id, tasks_there in by_repository(keys).items():
        repository = repositories[repository_id]
        default = rows.get((repository_id, repository.default_branch))
        heads = {key[1]: head for key in tasks_there if (head := rows[key].observed_head)}
        activity = {key[1]: if_true(rows[key].last_activity_at, now=now) for key in tasks_there}
        try:
            activity |= dates_of_commits(
                remote,
                target_of(repository),
                {name: head for name, head in heads.items() if activity[name] is None},
                now=now,
            )
        except RemoteError as error:
            batch.troubles += [trouble_of(task, error) for task in tasks_there.values()]
            continue
        rules = {key[1]: policies.for_branch(*key).stale_branch for key in tasks_there}
        standings = standings_of(
            remote,
            target_of(repository),
            heads,
            default_branch=repository.default_branch,
            default_head=default.observed_head if default else None,
            idle={
                name: rules[name].compare_files
                for name, active_at in activity.items()
                if active_at is not None
                and now - active_at >= timedelta(days=rules[name].idle_days)
            },
        )
        for key, task in tasks_there.items():
            if key[1] in standings.unknown:
                batch.troubles.append(trouble_of(task, standings.unknown[key[1]]))
                continue
            policy = policies.for_branch(*key)
            row = rows[key]
            known = [pull_request_fact(one) for one in requests.get(key, [])]
            from_it = tuple(one for one in known if one.head_branch == key[1] and not one.from_fork)
            standing = standings.known.get(key[1], Standing(Comparison.unknown("")))
            is_merged = any(
                one.state == "merged" and one.head_sha == row.observed_head for one in from_it
            )
            facts = StaleFacts(
                place=place_of(task),
                branch_class=held_class_of(key[1], row, repository, policy),
                default_branch=repository.default_branch,
                observed_head=row.observed_head,
                last_activity_at=activity[key[1]],
                merged_by="pull_request" if is_merged else standing.merged_by,
                behind_default=standing.comparison.ahead,
                pull_requests_from=from_it,
                pull_requests_onto=tuple(one for one in known if one.base_branch == key[1]),
                leases=tuple(lease_fact(one) for one in leases.get(key, [])),
                running_runs=tuple(run_fact(one) for one in runs.get(key, [])),
                merge_unknown="" if is_merged else standing.merge_unknown,
            )
            was_unknown = row.last_activity_at is None
            batch.gathered.append(
                Gathered(
                    task,
                    facts,
                    policy,
                    found_activity=activity[key[1]] if was_unknown else None,
                )
            )
    return batch
