"""The coherence matrix of a branch: what its five sources say, side by side; changes nothing.

The branch page, the status API and the alert all show this one matrix. Reading it costs five
queries beside the branch itself, whatever the number of branches, runs or deliveries.
"""

import json
from collections.abc import Sequence
from datetime import datetime

from audit.domain.caller import Caller
from governance.selectors.lease_facts import leases_at
from governance.selectors.visible import Branch, branch_named, leases_over, runs_of
from reconciliation.domain.coherence import matrix_of
from reconciliation.domain.coherence_values import (
    Announced,
    BranchView,
    CoherenceMatrix,
    LeaseView,
    OpenFinding,
    RunView,
)
from reconciliation.models import (
    DeliveryOutcome,
    Finding,
    FindingState,
    ReconciliationTask,
    TaskKind,
    WebhookDelivery,
)

_TASKS_LOOKED_AT = 20
_DELIVERIES_LOOKED_AT = 50
_RUNS_LOOKED_AT = 10
_HEAD_EVENTS = frozenset({"push", "ref_create", "ref_delete"})


def coherence_matrix(branch: Branch, *, now: datetime) -> CoherenceMatrix:
    """Return the matrix of a branch, as far as it is known at `now`."""
    return matrix_of(_view_of(branch, now=now))


def coherence_of(
    caller: Caller, *, tenant: str, repo: str, branch: str, now: datetime
) -> CoherenceMatrix:
    """Return the matrix of a branch by name.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    found = branch_named(caller, tenant=tenant, repo=repo, branch=branch)
    return coherence_matrix(found, now=now)


def open_finding_of(row: Finding) -> OpenFinding:
    """Return what the matrix looks at of a finding."""
    return OpenFinding(
        check_kind=row.check_kind,
        stable_class=row.stable_class,
        summary=row.summary,
        rules={hit["rule"]: dict(hit.get("inputs") or ()) for hit in row.rule_hits},
        heads=heads_of(row),
    )


def heads_of(row: Finding) -> tuple[str | None, str | None] | None:
    """Return the governed and the observed head that a finding was found for, where it has any."""
    if "governed_head" not in row.expected or "observed_head" not in row.actual:
        return None
    return row.expected["governed_head"] or None, row.actual["observed_head"] or None


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
    pushes = _pushes(branch)
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
        leases=_leases(branch, pushes),
        announced=_last_announcement(branch),
        findings=tuple(
            open_finding_of(row)
            for row in Finding.objects.filter(
                repository_id=branch.repository_id, branch=branch.name, state=FindingState.OPEN
            ).order_by("-id")
        ),
        now=now,
        head_changes=branch.head_changes,
        pushes=pushes,
    )


def _leases(branch: Branch, pushes: Sequence[tuple[str, datetime]]) -> tuple[LeaseView, ...]:
    """Return the leases that are held, and those that stood at a push and ended since."""
    held = list(leases_over(branch))
    moments = [at for _, at in pushes] or [branch.observed_at or branch.first_seen_at]
    key = (branch.repository_id, branch.name)
    stood = leases_at({key: moments}).get(key, [])
    known = {lease.pk for lease in held}
    return tuple(
        LeaseView(
            lease_id=lease.lease_id,
            scope=lease.scope,
            holders=tuple(
                name for name in (lease.user_id, lease.device_id, lease.agent_id) if name
            ),
            fencing_token=lease.fencing_token,
            acquired_at=lease.acquired_at,
            over_at=min(lease.ended_at or lease.expires_at, lease.expires_at),
            as_of=lease.last_heartbeat_at,
            is_held=lease.pk in known,
        )
        for lease in (*held, *(lease for lease in stood if lease.pk not in known))
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
