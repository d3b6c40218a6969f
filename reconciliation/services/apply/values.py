"""What applying works on and what it leads to."""

from dataclasses import dataclass, field
from datetime import datetime

from audit.domain.canonical import canonical_json
from audit.domain.entries import RECONCILER, Entry
from reconciliation.domain.codec import encode
from reconciliation.domain.findings import Decision
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Origin
from reconciliation.services.observe.values import Gathered
from reconciliation.services.queue import PRIORITY_EVENT, PRIORITY_SWEEP, ClaimedTask, Planned


@dataclass(frozen=True, slots=True)
class Worked:
    """A task with its facts and the decision made on them."""

    gathered: Gathered
    decision: Decision
    decision_text: str
    decision_digest: str
    now: datetime

    @property
    def task(self) -> ClaimedTask:
        """The claimed task."""
        return self.gathered.task

    @property
    def facts_text(self) -> str:
        """The facts as stored."""
        return canonical_json(encode(self.gathered.facts))


@dataclass(slots=True)
class Effects:
    """What applying adds: tasks to queue and entries for the trail, in order."""

    planned: list[Planned] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    def follow_up(
        self,
        task: ClaimedTask,
        *,
        branch: str,
        task_kind: str,
        about: str,
        run_after: datetime,
        lease_id: str | None = None,
    ) -> None:
        """Plan a task that follows from another: same correlation id, same urgency.

        A follow-up of a sweep stays as unurgent as the sweep, so that sweeps never hold up
        webhook work.
        """
        self.planned.append(
            Planned(
                item=WorkItem(
                    tenant=task.tenant,
                    workspace=task.workspace,
                    repo=task.repo,
                    branch=branch,
                    task_kind=task_kind,
                    about=about,
                    lease_id=lease_id,
                ),
                repository_id=task.repository_id,
                correlation_id=task.correlation_id,
                origin=Origin.FOLLOW_UP,
                priority=PRIORITY_SWEEP if task.priority >= PRIORITY_SWEEP else PRIORITY_EVENT,
                run_after=run_after,
                announced_at=task.announced_at,
                sweep_id=task.sweep_id,
                parent_id=task.id,
            )
        )


def entry_of(
    task: ClaimedTask,
    *,
    now: datetime,
    action: str,
    object_kind: str,
    object_id: str,
    outcome: str = "ok",
    reason: str = "",
    policy_version: str = "",
    branch: str | None = None,
    data: dict[str, object] | None = None,
) -> Entry:
    """Return an audit entry of something that the reconciler did while working on a task."""
    return Entry(
        tenant=task.tenant,
        at=now,
        actor=RECONCILER,
        action=action,
        object_kind=object_kind,
        object_id=object_id,
        correlation_id=task.correlation_id,
        outcome=outcome,
        reason=reason,
        workspace=task.workspace,
        repo=task.repo,
        branch=task.branch if branch is None else branch,
        task_kind=task.task_kind,
        policy_version=policy_version,
        data=data or {},
    )
