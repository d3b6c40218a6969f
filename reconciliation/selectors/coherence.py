"""The coherence matrix of a branch: what its five sources say, side by side; changes nothing.

The branch page, the status API and the alert all show this one matrix. Reading it costs four
queries beside the branch itself, whatever the number of branches, runs or deliveries.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from audit.domain.caller import Caller
from governance.selectors.visible import Branch, branch_named, leases_over, runs_of
from reconciliation.models import (
    DeliveryOutcome,
    Finding,
    FindingState,
    ReconciliationTask,
    TaskKind,
    WebhookDelivery,
)
from reconciliation.selectors.coherence_rows import (
    Announced,
    BranchView,
    CoherenceRow,
    LeaseView,
    RunView,
    lease_row,
    remote_row,
    run_row,
    snapshot_row,
    webhook_row,
)

_TASKS_LOOKED_AT = 20
_DELIVERIES_LOOKED_AT = 50
_RUNS_LOOKED_AT = 10
_HEAD_EVENTS = frozenset({"push", "ref_create", "ref_delete"})


@dataclass(frozen=True, slots=True)
class CoherenceMatrix:
    """Five rows and their sum: True all agree, False some disagree, None some cannot tell."""

    rows: tuple[CoherenceRow, ...]
    coherent: bool | None


def coherence_matrix(branch: Branch, *, now: datetime) -> CoherenceMatrix:
    """Return the matrix of a branch, as far as it is known at `now`."""
    view = _view_of(branch, now=now)
    rows = (
        remote_row(view),
        snapshot_row(view),
        run_row(view),
        lease_row(view),
        webhook_row(view),
    )
    return CoherenceMatrix(rows=rows, coherent=_sum_of([row.agrees for row in rows]))


def coherence_of(
    caller: Caller, *, tenant: str, repo: str, branch: str, now: datetime
) -> CoherenceMatrix:
    """Return the matrix of a branch by name.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    found = branch_named(caller, tenant=tenant, repo=repo, branch=branch)
    return coherence_matrix(found, now=now)


def _sum_of(answers: Sequence[bool | None]) -> bool | None:
    if False in answers:
        return False
    return None if None in answers else True


def _view_of(branch: Branch, *, now: datetime) -> BranchView:
    repository = branch.repository
    watch = getattr(repository, "watch", None)
    read_times = [at for at in (repository.observed_at, branch.observed_at, branch.gone_at) if at]
    runs = [
        RunView(
            run_id=run.run_id,
            base_sha=run.base_sha,
            head_sha=run.head_sha,
            status=run.status,
            actor=run.actor,
            as_of=run.ended_at or run.last_heartbeat_at,
        )
        for run in runs_of(branch)[:_RUNS_LOOKED_AT]
    ]
    leases = [
        LeaseView(
            lease_id=lease.lease_id,
            scope=lease.scope,
            holders=tuple(
                name for name in (lease.user_id, lease.device_id, lease.agent_id) if name
            ),
            fencing_token=lease.fencing_token,
            acquired_at=lease.acquired_at,
            expires_at=lease.expires_at,
            as_of=lease.last_heartbeat_at,
        )
        for lease in leases_over(branch)
    ]
    return BranchView(
        branch_class=branch.branch_class,
        observed_head=branch.observed_head,
        observed_at=branch.observed_at,
        announced_by=branch.announced_by,
        pusher=branch.pusher,
        gone_at=branch.gone_at,
        governed_head=branch.governed_head,
        governed_at=branch.governed_at,
        governed_by=branch.governed_by,
        read_at=max(read_times, default=None),
        failing_since=watch.failing_since if watch else None,
        failure=watch.last_error_code if watch else "",
        last_delivery_at=watch.last_delivery_at if watch else None,
        runs=tuple(runs),
        leases=tuple(leases),
        announced=_last_announcement(branch),
        complaints=dict(
            Finding.objects.filter(
                repository_id=branch.repository_id, branch=branch.name, state=FindingState.OPEN
            )
            .order_by("-id")
            .values_list("check_kind", "summary")
        ),
        now=now,
        pushes=_pushes(branch),
    )


def _pushes(branch: Branch) -> tuple[tuple[str, datetime], ...]:
    if branch.governed_head == branch.observed_head:
        return ()
    return tuple((push["pusher"], datetime.fromisoformat(push["at"])) for push in branch.pushes)


def _last_announcement(branch: Branch) -> Announced | None:
    # Deliveries have no branch column: look through those behind the newest observations of the
    # repository, a bounded number whatever its age.
    tasks = ReconciliationTask.objects.filter(
        repository_id=branch.repository_id, branch="", task_kind=TaskKind.OBSERVE_REFS
    ).order_by("-id")[:_TASKS_LOOKED_AT]
    deliveries = (
        WebhookDelivery.objects.filter(
            task_id__in=tasks.values("id"), outcome=DeliveryOutcome.ACCEPTED
        )
        .order_by("-id")
        .values_list("events", "received_at")[:_DELIVERIES_LOOKED_AT]
    )
    for events, received_at in deliveries:
        for event in reversed(json.loads(events)):
            if event.get("branch") == branch.name and event.get("kind") in _HEAD_EVENTS:
                return Announced(
                    after=event.get("after"),
                    actor=event.get("actor") or "",
                    received_at=received_at,
                )
    return None
