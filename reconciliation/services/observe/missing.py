"""Observes signs of governance over branches, what was merged from them, and their run records."""

from collections.abc import Sequence
from datetime import datetime

from governance.selectors.branch_facts import gates_by_sha, pull_requests_by_branch, runs_by_branch
from governance.selectors.lease_facts import leases_by_branch
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import GateFact, MissingRunFacts
from reconciliation.remotes.base import Remote
from reconciliation.services.observe.known import Repositories, class_of, known_branches, place_of
from reconciliation.services.observe.rows import lease_fact, pull_request_fact, run_fact
from reconciliation.services.observe.values import Batch, Gathered
from reconciliation.services.queue import ClaimedTask


def observe_missing_run(
    tasks: Sequence[ClaimedTask],
    repositories: Repositories,
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather the signs of governance over branches and the run records they have."""
    batch, keys, rows = known_branches(tasks)
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
            place=place_of(task),
            branch_class=class_of(key[1], repository, policy),
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
                (base, class_of(base, repository, policies.for_branch(key[0], base)))
                for base in bases
            ),
        )
        batch.gathered.append(Gathered(task, facts, policy))
    return batch
