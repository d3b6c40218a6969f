"""Observe: gathers the facts of claimed tasks, kind by kind; the only place that reads remotes."""

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby

from governance.selectors.branch_facts import repositories_by_id
from governance.services.policies import PolicyResolver, load_policies_at
from reconciliation.domain.retry import ErrorClass
from reconciliation.models import TaskKind
from reconciliation.remotes.base import Remote
from reconciliation.services.observe.alerts import observe_alerts
from reconciliation.services.observe.counting import CountingRemote
from reconciliation.services.observe.head_drift import observe_head_drift
from reconciliation.services.observe.heads import observe_refs
from reconciliation.services.observe.leases import observe_leases
from reconciliation.services.observe.missing import observe_missing_run
from reconciliation.services.observe.patience import PatientRemote
from reconciliation.services.observe.remote import configured_remote
from reconciliation.services.observe.stale import observe_stale_branch
from reconciliation.services.observe.values import Batch, Gathered, Outdated, Seen, Trouble
from reconciliation.services.queue import ClaimedTask

__all__ = [
    "Batch",
    "CountingRemote",
    "Gathered",
    "Outdated",
    "PatientRemote",
    "Remote",
    "Seen",
    "Trouble",
    "configured_remote",
    "observe",
]

_OBSERVERS: dict[str, Callable[..., Batch]] = {
    "divergence_alert": observe_alerts,
    "head_drift": observe_head_drift,
    "lease_renewal": observe_leases,
    "missing_run": observe_missing_run,
    "observe_refs": observe_refs,
    "stale_branch": observe_stale_branch,
}


def observe(
    tasks: Sequence[ClaimedTask], *, remote: Remote, now: datetime
) -> tuple[Batch, PolicyResolver]:
    """Gather the facts of tasks of any kinds; trouble of one never touches another.

    A repository that is no longer active has nothing to observe: its tasks are terminal trouble,
    but for its leases, which end whether or not anybody reads it.
    """
    repository_ids = sorted({task.repository_id for task in tasks})
    repositories = repositories_by_id(repository_ids)
    policies = load_policies_at(
        {pk: (row.tenant_id, row.workspace_id) for pk, row in repositories.items()}
    )
    outcome = Batch()
    live = []
    for task in tasks:
        if repositories[task.repository_id].is_active or task.task_kind == TaskKind.LEASE_RENEWAL:
            live.append(task)
            continue
        message = f"{task.tenant}/{task.repo} is no longer governed; connect it again to go on."
        outcome.troubles.append(Trouble(task, ErrorClass.TERMINAL, "repository_inactive", message))
    ordered = sorted(live, key=lambda task: (task.task_kind, task.tenant, task.repo, task.branch))
    for kind, group in groupby(ordered, key=lambda task: task.task_kind):
        outcome.add(_OBSERVERS[kind](list(group), repositories, policies, remote=remote, now=now))
    return outcome, policies
