"""Observes leases: the lease as it stands and the signs of life of its operation."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from governance.selectors.branch_facts import RepositoryRow
from governance.selectors.lease_facts import leases_by_id, running_runs_of
from governance.services.policies import PolicyResolver
from reconciliation.domain.facts import LeaseRenewalFacts, Place
from reconciliation.domain.retry import ErrorClass
from reconciliation.remotes.base import Remote
from reconciliation.services.observe.rows import run_fact
from reconciliation.services.observe.values import Batch, Gathered, Trouble
from reconciliation.services.queue import ClaimedTask


def observe_leases(
    tasks: Sequence[ClaimedTask],
    repositories: Mapping[int, RepositoryRow],
    policies: PolicyResolver,
    *,
    remote: Remote,
    now: datetime,
) -> Batch:
    """Gather lease facts by three statements; one that ended meanwhile has nothing to decide."""
    rows = leases_by_id((task.repository_id, task.lease_id or "") for task in tasks)
    running = running_runs_of(lease for lease, _ in rows.values())
    batch = Batch()
    for task in tasks:
        found = rows.get((task.repository_id, task.lease_id or ""))
        if found is None:
            message = f"Lease {task.lease_id} is not known in {task.tenant}/{task.repo}."
            batch.troubles.append(Trouble(task, ErrorClass.TERMINAL, "lease_unknown", message))
            continue
        lease, run = found
        facts = LeaseRenewalFacts(
            place=Place(task.tenant, task.workspace, task.repo, task.branch),
            lease_id=lease.lease_id,
            state=lease.state,
            holder=lease.user_id,
            acquired_at=lease.acquired_at,
            expires_at=lease.expires_at,
            max_expires_at=lease.max_expires_at,
            ttl_seconds=lease.ttl_seconds,
            last_heartbeat_at=lease.last_heartbeat_at,
            run_id=lease.run_id,
            run_status=run.status if run else "",
            run_last_heartbeat_at=run.last_heartbeat_at if run else None,
            other_runs=tuple(
                run_fact(one)
                for one in running.get((lease.repository_id, lease.lease_id), [])
                if one.run_id != lease.run_id
            ),
        )
        policy = policies.for_branch(task.repository_id, task.branch)
        batch.gathered.append(Gathered(task, facts, policy))
    return batch
