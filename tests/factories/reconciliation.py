"""Makes valid rows of the reconciliation app for tests; every instant is NOON unless told.

Write `TaskFactory.create(repository=api)`: the place is taken from the repository.
"""

# factory-boy says it is typed, but its declarations (Sequence, LazyAttribute, ...) are not.
# mypy: disable-error-code="no-untyped-call"

import zlib
from datetime import timedelta
from typing import Any

from factory.declarations import LazyAttribute, LazyFunction, Sequence, SubFactory

from audit.domain.canonical import canonical_json, sha256_of
from governance.models import EffectivePolicy, HostKind
from reconciliation.models import (
    Alert,
    Evaluation,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    TaskAttempt,
    WebhookDelivery,
    WebhookSource,
)
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    NOON,
    RepositoryFactory,
    RowFactory,
)


class WatchFactory(RowFactory[RepositoryWatch]):
    """A watch of a repository that is read without trouble and due in an hour."""

    class Meta:
        model = RepositoryWatch

    repository = SubFactory(RepositoryFactory)
    next_due_at = NOON + timedelta(hours=1)
    last_swept_at = NOON
    last_read_at = NOON


class SweepFactory(RowFactory[Sweep]):
    """A scheduled sweep of everything; `items=` is its worklist as plain values."""

    class Meta:
        model = Sweep

    class Params:
        items: Any = LazyFunction(list)

    slot = Sequence(lambda n: NOON + timedelta(minutes=n))
    trigger = "schedule"
    budget_repositories = 100
    worklist = LazyAttribute(lambda row: canonical_json(row.items))
    worklist_digest = LazyAttribute(lambda row: sha256_of(row.items))
    considered = LazyAttribute(lambda row: len(row.items))
    planned = LazyAttribute(lambda row: len(row.items))
    skipped: Any = LazyFunction(dict)
    correlation_id = CORRELATION_ID
    started_at = LazyAttribute(lambda row: row.slot)
    planned_at = LazyAttribute(lambda row: row.slot)


class TaskFactory(RowFactory[ReconciliationTask]):
    """A completed drift check of the repository's `main`; give another `state` for others."""

    class Meta:
        model = ReconciliationTask

    repository = SubFactory(RepositoryFactory)
    tenant = LazyAttribute(lambda row: row.repository.tenant.slug)
    workspace = LazyAttribute(lambda row: row.repository.workspace.slug)
    repo = LazyAttribute(lambda row: row.repository.slug)
    branch = "main"
    task_kind = "head_drift"
    subject = Sequence(lambda n: f"{HEAD_A}..{HEAD_B}@{n}")
    idempotency_key = LazyAttribute(lambda row: sha256_of(["test", row.subject]))
    correlation_id = CORRELATION_ID
    origin = "webhook"
    priority = 10
    state = "completed"
    attempts = LazyAttribute(lambda row: 0 if row.state == "queued" else 1)
    policy_decision = LazyAttribute(lambda row: "report" if row.state == "completed" else "")
    run_after = NOON
    announced_at = NOON
    created_at = NOON
    started_at = LazyAttribute(lambda row: None if row.state == "queued" else row.created_at)
    completed_at = LazyAttribute(
        lambda row: (
            None if row.state in ("queued", "running") else row.created_at + timedelta(seconds=2)
        )
    )
    claim_expires_at = LazyAttribute(
        lambda row: row.created_at + timedelta(minutes=1) if row.state == "running" else None
    )


class AttemptFactory(RowFactory[TaskAttempt]):
    """The completed first attempt at a task, one second long."""

    class Meta:
        model = TaskAttempt

    task = SubFactory(TaskFactory)
    series = 1
    number = 1
    claim_epoch = Sequence(lambda n: n + 1)
    worker = "worker-1"
    started_at = NOON + timedelta(seconds=1)
    ended_at = NOON + timedelta(seconds=2)
    outcome = "completed"


class PolicyFactory(RowFactory[EffectivePolicy]):
    """The empty effective policy."""

    class Meta:
        model = EffectivePolicy
        django_get_or_create = ("digest",)

    document = "{}"
    digest = LazyAttribute(lambda row: sha256_of({}))
    first_used_at = NOON


class EvaluationFactory(RowFactory[Evaluation]):
    """A decision `report` on made-up facts."""

    class Meta:
        model = Evaluation

    task = SubFactory(TaskFactory)
    task_kind = LazyAttribute(lambda row: row.task.task_kind)
    evaluated_at = NOON + timedelta(seconds=2)
    facts = canonical_json({"governed_head": HEAD_A, "observed_head": HEAD_B})
    policy = SubFactory(PolicyFactory)
    decision = canonical_json({"decision": "report"})
    decision_digest = sha256_of({"decision": "report"})


class FindingFactory(RowFactory[Finding]):
    """An open, high finding: `main` was rewritten."""

    class Meta:
        model = Finding

    repository = SubFactory(RepositoryFactory)
    branch = "main"
    check_kind = "head_drift"
    stable_class = "rewritten"
    fingerprint = Sequence(lambda n: sha256_of(["finding", n]))
    state = "open"
    severity = "high"
    alerting = True
    rule_hits: Any = LazyFunction(
        lambda: [{"rule": "protected_rewrite", "weight": 70, "inputs": {"class": "rewritten"}}]
    )
    expected: Any = LazyFunction(lambda: {"head": HEAD_A})
    actual: Any = LazyFunction(lambda: {"head": HEAD_B})
    summary = "main was rewritten"
    recommendation = "Restore it, or accept the new head."
    command = f"git push origin {HEAD_A}:main"
    correlation_id = CORRELATION_ID
    opened_at = NOON
    last_seen_at = NOON


class AlertFactory(RowFactory[Alert]):
    """The open alert of a finding of its own."""

    class Meta:
        model = Alert

    finding = SubFactory(FindingFactory)
    repository = LazyAttribute(lambda row: row.finding.repository)
    branch = LazyAttribute(lambda row: row.finding.branch)
    severity = LazyAttribute(lambda row: row.finding.severity)
    state = "open"
    state_digest = sha256_of("the state of the tests")
    opened_at = NOON
    escalation_ladder: Any = LazyFunction(lambda: [{"role": "maintainer", "after_seconds": 900}])
    correlation_id = CORRELATION_ID


class SourceFactory(RowFactory[WebhookSource]):
    """A live source of one repository."""

    class Meta:
        model = WebhookSource

    repository = SubFactory(RepositoryFactory)
    tenant = LazyAttribute(lambda row: row.repository.tenant)
    token = Sequence(lambda n: f"path-token-that-nobody-may-see-{n}")
    host_kind = HostKind.GITHUB
    name = "hook"
    created_at = NOON


class DeliveryFactory(RowFactory[WebhookDelivery]):
    """An accepted push to `main`, worked in; `task=` is what it caused."""

    class Meta:
        model = WebhookDelivery

    source = SubFactory(SourceFactory)
    delivery_id = Sequence(lambda n: f"delivery-{n}")
    event = "push"
    headers = canonical_json({"x-github-event": "push"})
    body = zlib.compress(b"{}")
    body_bytes = 2
    body_sha256 = sha256_of({})
    secret_id = "7"
    outcome = "accepted"
    reason = "ok"
    events = canonical_json(
        [{"kind": "push", "branch": "main", "before": HEAD_A, "after": HEAD_B, "actor": "alice"}]
    )
    correlation_id = CORRELATION_ID
    received_at = NOON
    applied_at = NOON + timedelta(seconds=1)
