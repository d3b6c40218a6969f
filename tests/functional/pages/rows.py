"""Makes findings, alerts and tasks around a branch, as many as a test needs."""

from typing import Any

from audit.domain.canonical import sha256_of
from governance.models import Branch
from reconciliation.models import (
    Alert,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    TaskState,
)
from tests.factories.governance import NOON


def finding_on(branch: Branch, **fields: Any) -> Finding:
    """Store an open finding of a rewritten head."""
    defaults: dict[str, Any] = {
        "repository": branch.repository,
        "branch": branch.name,
        "fingerprint": sha256_of([branch.pk, fields.get("stable_class", "rewritten")]),
        "check_kind": "head_drift",
        "stable_class": "rewritten",
        "severity": "critical",
        "rule_hits": [{"rule": "drift.rewrite_protected", "weight": 95, "inputs": []}],
        "expected": {"governed_head": branch.governed_head},
        "actual": {"observed_head": branch.observed_head},
        "summary": f"The history of {branch.name} was rewritten.",
        "correlation_id": f"trace-{branch.pk:08d}",
        "opened_at": NOON,
        "last_seen_at": NOON,
    }
    return Finding.objects.create(**{**defaults, **fields})


def alert_on(branch: Branch, **fields: Any) -> Alert:
    """Store an open alert, with its finding."""
    finding = fields.pop("finding", None) or finding_on(branch)
    defaults: dict[str, Any] = {
        "finding": finding,
        "repository": branch.repository,
        "branch": branch.name,
        "severity": finding.severity,
        "state_digest": sha256_of(["state", branch.pk]),
        "opened_at": NOON,
        "escalation_ladder": [{"role": "maintainer", "after_seconds": 900}],
        "correlation_id": finding.correlation_id,
    }
    return Alert.objects.create(**{**defaults, **fields})


def task_on(branch: Branch, **fields: Any) -> ReconciliationTask:
    """Store a queued head drift check."""
    repository = branch.repository
    defaults: dict[str, Any] = {
        "repository": repository,
        "tenant": repository.tenant.slug,
        "workspace": repository.workspace.slug,
        "repo": repository.slug,
        "branch": branch.name,
        "task_kind": "head_drift",
        "subject": "s",
        "idempotency_key": sha256_of([branch.pk, sorted(map(str, fields.items()))]),
        "correlation_id": f"trace-{branch.pk:08d}",
        "origin": "webhook",
        "priority": 10,
        "state": TaskState.QUEUED,
        "run_after": NOON,
        "announced_at": NOON,
        "created_at": NOON,
    }
    return ReconciliationTask.objects.create(**{**defaults, **fields})


def watch_of(branch: Branch, **fields: Any) -> RepositoryWatch:
    """Store the watch of a branch's repository."""
    return RepositoryWatch.objects.create(
        repository=branch.repository, **{"next_due_at": NOON, **fields}
    )
