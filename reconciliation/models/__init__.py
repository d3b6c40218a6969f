"""Storage of the reconciliation loop."""

from reconciliation.models.circuit import Circuit, CircuitHold
from reconciliation.models.delivery import (
    DeliveryOutcome,
    WebhookDelivery,
    WebhookRefusal,
    WebhookSecret,
    WebhookSource,
)
from reconciliation.models.finding import (
    CHECK_KINDS,
    CIRCUIT_CHECK,
    WEBHOOK_SOURCE_CHECK,
    Alert,
    AlertState,
    Finding,
    FindingState,
    Severity,
)
from reconciliation.models.measure import MeasuredTotal, MeasuredUpTo
from reconciliation.models.sweep import (
    Heartbeat,
    HostCalls,
    RepositoryWatch,
    Sweep,
    SweepTrigger,
)
from reconciliation.models.task import (
    AttemptOutcome,
    Evaluation,
    Origin,
    ReconciliationTask,
    TaskAttempt,
    TaskKind,
    TaskState,
)

__all__ = [
    "CHECK_KINDS",
    "CIRCUIT_CHECK",
    "WEBHOOK_SOURCE_CHECK",
    "Alert",
    "AlertState",
    "AttemptOutcome",
    "Circuit",
    "CircuitHold",
    "DeliveryOutcome",
    "Evaluation",
    "Finding",
    "FindingState",
    "Heartbeat",
    "HostCalls",
    "MeasuredTotal",
    "MeasuredUpTo",
    "Origin",
    "ReconciliationTask",
    "RepositoryWatch",
    "Severity",
    "Sweep",
    "SweepTrigger",
    "TaskAttempt",
    "TaskKind",
    "TaskState",
    "WebhookDelivery",
    "WebhookRefusal",
    "WebhookSecret",
    "WebhookSource",
]
