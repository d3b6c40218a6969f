"""Plans single checks outside of a sweep: for an API call, a click, a command."""

from datetime import datetime

from reconciliation.domain.worklist import WorkItem
from reconciliation.services.queue import PRIORITY_EVENT, PRIORITY_SWEEP, Planned, enqueue
from reconciliation.services.wake import wake


def plan_check(
    *,
    tenant: str,
    workspace: str,
    repo: str,
    repository_id: int,
    branch: str,
    task_kind: str,
    about: str,
    origin: str,
    correlation_id: str,
    now: datetime,
    run_id: str | None = None,
    lease_id: str | None = None,
) -> int:
    """Queue one check and ask for a drain, in the caller's transaction; return the task's id.

    `about` names what it concerns by stable identifiers: the same thing asked for twice is one
    task, worked again.
    """
    item = WorkItem(
        tenant=tenant,
        workspace=workspace,
        repo=repo,
        branch=branch,
        task_kind=task_kind,
        about=about,
        run_id=run_id,
        lease_id=lease_id,
    )
    planned = Planned(
        item=item,
        repository_id=repository_id,
        correlation_id=correlation_id,
        origin=origin,
        priority=PRIORITY_SWEEP if origin == "sweep" else PRIORITY_EVENT,
        run_after=now,
        announced_at=now,
    )
    [(task_id, _)] = enqueue([planned], now=now, revive=True)
    wake(now)
    return task_id
