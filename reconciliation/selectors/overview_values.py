"""What the overview says, as values; reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AlertCounts:
    """Unresolved alerts: by severity, by state, and how many nobody has acknowledged."""

    by_severity: Mapping[str, int]
    by_state: Mapping[str, int]
    unacknowledged: int
    unresolved: int
    oldest_unacknowledged_at: datetime | None
    escalations_due: int
    """Open alerts with an escalation that is due; nothing sends messages yet."""


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Tasks of one kind that are not done."""

    task_kind: str
    label: str
    queued: int
    running: int
    dead: int


@dataclass(frozen=True, slots=True)
class NamedRepository:
    """A repository that stands out, with the moment that makes it so."""

    tenant: str
    repo: str
    at: datetime | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SweepFreshness:
    """How recent the picture is; repositories that cannot be read are unknown, not in sync."""

    last_sweep_id: int | None
    last_sweep_at: datetime | None
    oldest_unswept: NamedRepository | None
    overdue: int
    failing: tuple[NamedRepository, ...]
    failing_count: int


@dataclass(frozen=True, slots=True)
class WebhookShare:
    """Who first told of head changes. `percent_missed` None: nothing changed yet."""

    by_webhook: int
    by_sweep: int
    percent_missed: int | None
    repositories_without_delivery: int


@dataclass(frozen=True, slots=True)
class DegradedReason:
    """A failing source, and what is therefore not known; `since` is when it was last good."""

    code: str
    source: str
    detail: str
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the first page; `status` is ok or degraded."""

    as_of: datetime
    status: str
    degraded_reasons: tuple[DegradedReason, ...]
    repositories: int
    branches: int
    branches_unknown: int
    branches_with_findings: int
    alerts: AlertCounts
    drift_by_class: Mapping[str, int]
    findings_by_check: Mapping[str, int]
    queue: tuple[QueueDepth, ...]
    oldest_waiting_at: datetime | None
    dead_letters: int
    held: int
    sweeps: SweepFreshness
    leases_live: int
    leases_expiring: int
    webhooks: WebhookShare
    heartbeats: Mapping[str, datetime]

    @property
    def branches_without_findings(self) -> int:
        """Branches that can be read and about which nothing is open."""
        return max(0, self.branches - self.branches_unknown - self.branches_with_findings)

    @property
    def waiting(self) -> int:
        """Tasks that wait for a worker."""
        return sum(depth.queued for depth in self.queue)

    @property
    def running(self) -> int:
        """Tasks that a worker has claimed."""
        return sum(depth.running for depth in self.queue)
