"""The trace of one correlation id: from delivery to audit entry, in order; changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from audit.domain.caller import Caller
from governance.selectors.visible import NotVisible
from reconciliation.models import (
    Alert,
    Evaluation,
    Finding,
    ReconciliationTask,
    TaskAttempt,
    WebhookDelivery,
)
from reconciliation.selectors.history import HistoryLine, history_of_traces
from reconciliation.selectors.visible import (
    visible_alerts,
    visible_deliveries,
    visible_findings,
    visible_sweeps,
    visible_tasks,
)

MOST_TASKS = 200
_RANK = {
    kind: rank
    for rank, kind in enumerate(
        ("delivery", "sweep", "task", "attempt", "evaluation", "finding", "alert", "audit")
    )
}


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One thing that happened. `task_id` ties attempts, evaluations and findings to their task.

    `joined` is the correlation id of another trace: of the task that a delivery joined, or of the
    delivery that joined a task of this trace.
    """

    kind: str
    id: int
    at: datetime
    ended_at: datetime | None
    title: str
    outcome: str
    detail: str
    tenant: str
    repo: str
    branch: str
    task_id: int | None = None
    joined: str = ""

    @property
    def took_ms(self) -> int | None:
        """How long it took in milliseconds; None for what happens at once or has not ended."""
        if self.ended_at is None:
            return None
        return round((self.ended_at - self.at).total_seconds() * 1000)


@dataclass(frozen=True, slots=True)
class Trace:
    """All steps in order of time; `is_truncated` when it has more tasks than are shown."""

    correlation_id: str
    steps: tuple[TraceStep, ...]
    started_at: datetime
    ended_at: datetime
    is_truncated: bool

    @property
    def is_under_way(self) -> bool:
        """Whether a task of it has not ended."""
        return any(step.kind == "task" and step.ended_at is None for step in self.steps)

    @property
    def took_ms(self) -> int:
        """From the first step to the last, in milliseconds."""
        return round((self.ended_at - self.started_at).total_seconds() * 1000)


def trace_of(correlation_id: str, caller: Caller) -> Trace:
    """Return everything with this correlation id that the caller may see, in nine queries.

    Raises:
        NotVisible: nothing has this id, or nothing that is the caller's.
    """
    deliveries = list(visible_deliveries(caller).filter(correlation_id=correlation_id)[:MOST_TASKS])
    sweeps = list(visible_sweeps(caller).filter(correlation_id=correlation_id)[:1])
    found = list(
        visible_tasks(caller).filter(correlation_id=correlation_id).order_by("id")[: MOST_TASKS + 1]
    )
    tasks = {task.pk: task for task in found[:MOST_TASKS]}
    joiners = (
        visible_deliveries(caller).filter(task_id__in=tasks).exclude(correlation_id=correlation_id)
    )
    attempts = TaskAttempt.objects.filter(task_id__in=tasks).order_by("task_id", "id")
    evaluations = list(
        Evaluation.objects.filter(task_id__in=tasks).defer("facts").order_by("task_id", "id")
    )
    findings = list(visible_findings(caller).filter(evaluation_id__in=[e.pk for e in evaluations]))
    alerts = visible_alerts(caller).filter(finding_id__in=[finding.pk for finding in findings])
    entries = history_of_traces(caller, correlation_ids=[correlation_id])
    steps = [
        *(_delivery_step(delivery) for delivery in deliveries),
        *(
            TraceStep(
                "sweep",
                sweep.pk,
                sweep.started_at,
                sweep.planned_at,
                "Sweep planned",
                sweep.trigger,
                "",
                "",
                "",
                "",
            )
            for sweep in sweeps
        ),
        *(_task_step(task) for task in tasks.values()),
        *(_joining_step(delivery) for delivery in joiners[:MOST_TASKS]),
        *(_attempt_step(attempt, tasks) for attempt in attempts),
        *(_evaluation_step(evaluation, tasks) for evaluation in evaluations),
        *_finding_steps(findings, evaluations),
        *(_alert_step(alert) for alert in alerts),
        *(_audit_step(entry) for entry in entries),
    ]
    if not steps:
        raise NotVisible(f"Nothing is known of {correlation_id}, or it is not yours to see.")
    return _in_order(correlation_id, steps, is_truncated=len(found) > MOST_TASKS)


def _in_order(correlation_id: str, steps: Iterable[TraceStep], *, is_truncated: bool) -> Trace:
    ordered = tuple(sorted(steps, key=lambda step: (step.at, _RANK[step.kind], step.id)))
    return Trace(
        correlation_id=correlation_id,
        steps=ordered,
        started_at=ordered[0].at,
        ended_at=max(step.ended_at or step.at for step in ordered),
        is_truncated=is_truncated,
    )


def _delivery_step(delivery: WebhookDelivery) -> TraceStep:
    task = delivery.task
    elsewhere = task is not None and task.correlation_id != delivery.correlation_id
    return TraceStep(
        kind="delivery",
        id=delivery.pk,
        at=delivery.received_at,
        ended_at=delivery.applied_at,
        title=f"Delivery {delivery.event}",
        outcome=delivery.outcome,
        detail=delivery.reason or f"{delivery.source} · {delivery.delivery_id}",
        tenant=delivery.source.tenant.slug,
        repo=task.repo if task else "",
        branch=task.branch if task else "",
        task_id=task.pk if task else None,
        joined=task.correlation_id if task is not None and elsewhere else "",
    )


def _joining_step(delivery: WebhookDelivery) -> TraceStep:
    return TraceStep(
        kind="delivery",
        id=delivery.pk,
        at=delivery.received_at,
        ended_at=delivery.applied_at,
        title=f"Delivery {delivery.event} joined",
        outcome=delivery.outcome,
        detail="Arrived while the task was waiting; one run of it answers both.",
        tenant=delivery.source.tenant.slug,
        repo=delivery.task.repo if delivery.task else "",
        branch=delivery.task.branch if delivery.task else "",
        task_id=delivery.task_id,
        joined=delivery.correlation_id,
    )


def _task_step(task: ReconciliationTask) -> TraceStep:
    return TraceStep(
        kind="task",
        id=task.pk,
        at=task.created_at,
        ended_at=task.completed_at,
        title=str(task.get_task_kind_display()),
        outcome=task.state,
        detail=task.policy_decision or task.last_error,
        tenant=task.tenant,
        repo=task.repo,
        branch=task.branch,
        task_id=task.pk,
    )


def _attempt_step(attempt: TaskAttempt, tasks: dict[int, ReconciliationTask]) -> TraceStep:
    task = tasks[attempt.task_id]
    return TraceStep(
        kind="attempt",
        id=attempt.pk,
        at=attempt.started_at,
        ended_at=attempt.ended_at,
        title=f"Attempt {attempt.number} by {attempt.worker}",
        outcome=attempt.outcome,
        detail=attempt.error,
        tenant=task.tenant,
        repo=task.repo,
        branch=task.branch,
        task_id=task.pk,
    )


def _evaluation_step(evaluation: Evaluation, tasks: dict[int, ReconciliationTask]) -> TraceStep:
    task = tasks[evaluation.task_id]
    return TraceStep(
        kind="evaluation",
        id=evaluation.pk,
        at=evaluation.evaluated_at,
        ended_at=None,
        title=f"Decision of {task.get_task_kind_display()}",
        outcome=task.policy_decision or "decided",
        detail=evaluation.decision,
        tenant=task.tenant,
        repo=task.repo,
        branch=task.branch,
        task_id=task.pk,
    )


def _finding_steps(findings: list[Finding], evaluations: list[Evaluation]) -> list[TraceStep]:
    by_id = {evaluation.pk: evaluation for evaluation in evaluations}
    return [
        TraceStep(
            kind="finding",
            id=finding.pk,
            at=by_id[finding.evaluation_id].evaluated_at
            if finding.evaluation_id
            else finding.opened_at,
            ended_at=None,
            title=f"Finding {finding.stable_class}",
            outcome=finding.severity,
            detail=finding.summary,
            tenant=finding.repository.tenant.slug,
            repo=finding.repository.slug,
            branch=finding.branch,
            task_id=by_id[finding.evaluation_id].task_id if finding.evaluation_id else None,
        )
        for finding in findings
    ]


def _alert_step(alert: Alert) -> TraceStep:
    return TraceStep(
        kind="alert",
        id=alert.pk,
        at=alert.opened_at,
        ended_at=None,
        title=f"Alert {alert.severity}",
        outcome=alert.state,
        detail=alert.finding.summary,
        tenant=alert.repository.tenant.slug,
        repo=alert.repository.slug,
        branch=alert.branch,
    )


def _audit_step(entry: HistoryLine) -> TraceStep:
    return TraceStep(
        kind="audit",
        id=entry.id,
        at=entry.at,
        ended_at=None,
        title=entry.action,
        outcome=entry.outcome,
        detail=f"{entry.actor}: {entry.reason}" if entry.reason else f"{entry.actor}, #{entry.seq}",
        tenant=entry.tenant,
        repo=entry.repo,
        branch=entry.branch,
    )
