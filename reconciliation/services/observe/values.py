"""What observing ends in: facts ready to be evaluated, or trouble that says what to do next."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from governance.domain.policy import Policy
from governance.selectors.branch_facts import RepositoryRow
from reconciliation.domain.observation import ObservationFacts
from reconciliation.domain.retry import ErrorClass
from reconciliation.services.queue import ClaimedTask
from reconciliation.webhooks.events import NormalisedEvent

OUT_OF_TIME = "out_of_time"
"""The batch's time was up while the repository was being read: the attempt counts."""
NOT_BEGUN = "not_begun"
"""The batch's time was up before the repository was read at all."""
STOPPED = "stopped"
"""The worker was told to stop before the repository was read."""


@dataclass(frozen=True, slots=True)
class AppliedDelivery:
    """A delivery that an observation takes in, with what it announced."""

    id: int
    host_kind: str
    received_at: datetime
    events: tuple[NormalisedEvent, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What an observation brings beside its facts: deliveries to apply, branches to look at."""

    repository: RepositoryRow
    facts: ObservationFacts
    deliveries: tuple[AppliedDelivery, ...]
    branches_to_check: tuple[str, ...]
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Gathered:
    """A task with its facts and the policy in force."""

    task: ClaimedTask
    facts: Any
    policy: Policy
    seen: Seen | None = None
    found_activity: datetime | None = None
    """When the branch was last active, where that was not stored yet."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A task that could not be observed: what went wrong, in which class, and when to try again."""

    task: ClaimedTask
    error_class: ErrorClass
    code: str
    message: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Outdated:
    """A task whose branch moved since the heads were last read: they are read again first."""

    task: ClaimedTask
    head: str | None


@dataclass(slots=True)
class Batch:
    """The outcome of observing some tasks of one kind, in their order."""

    gathered: list[Gathered] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    outdated: list[Outdated] = field(default_factory=list)

    def add(self, other: "Batch") -> None:
        """Take in another batch."""
        self.gathered += other.gathered
        self.troubles += other.troubles
        self.outdated += other.outdated
