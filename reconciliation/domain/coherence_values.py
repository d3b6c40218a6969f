"""What the coherence matrix compares, and what it answers: plain values; reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CoherenceRow:
    """What one source says: `value` is a commit id or a lease's holder; None when it says nothing.

    `as_of` is when the source was last known to say so. `agrees` None means unknown.
    """

    source: str
    label: str
    value: str | None
    as_of: datetime | None
    agrees: bool | None
    explanation: str


@dataclass(frozen=True, slots=True)
class CoherenceMatrix:
    """Five rows and their sum: True all agree, False some disagree, None some cannot tell."""

    rows: tuple[CoherenceRow, ...]

    @property
    def coherent(self) -> bool | None:
        """The sum of the rows."""
        answers = [row.agrees for row in self.rows]
        if False in answers:
            return False
        return None if None in answers else True


@dataclass(frozen=True, slots=True)
class RunView:
    """A run record of the branch."""

    run_id: str
    base_sha: str
    head_sha: str
    status: str
    actor: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A lease over the branch, held or ended; `over_at` is when it stopped to stand, or will."""

    lease_id: str
    scope: str
    holders: tuple[str, ...]
    fencing_token: int
    acquired_at: datetime
    over_at: datetime
    as_of: datetime
    is_held: bool = True

    def stood_at(self, moment: datetime) -> bool:
        """Return whether the lease stood at a moment."""
        return self.acquired_at <= moment < self.over_at


@dataclass(frozen=True, slots=True)
class Announced:
    """The newest delivery that names the branch."""

    after: str | None
    actor: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """An open finding of the branch."""

    check_kind: str
    stable_class: str
    summary: str
    rules: Mapping[str, Mapping[str, str]]
    """Each rule that hit, with its inputs."""
    heads: tuple[str | None, str | None] | None = None
    """Governed and observed head that it was found for; None where that was not recorded."""

    def is_about(self, governed_head: str | None, observed_head: str | None) -> bool:
        """Return whether it was found for these heads, as far as that was recorded."""
        return self.heads in (None, (governed_head, observed_head))


@dataclass(frozen=True, slots=True)
class BranchView:
    """All that the comparisons look at."""

    branch_class: str
    observed_head: str | None
    observed_at: datetime | None
    announced_by: str
    pusher: str
    gone_at: datetime | None
    governed_head: str | None
    governed_at: datetime | None
    governed_by: str
    read_at: datetime | None
    failing_since: datetime | None
    failure: str
    last_delivery_at: datetime | None
    runs: tuple[RunView, ...]
    leases: tuple[LeaseView, ...]
    """Those that are held, and those that stood at one of the pushes."""
    announced: Announced | None
    findings: tuple[OpenFinding, ...]
    now: datetime
    head_changes: int = 0
    pushes: tuple[tuple[str, datetime], ...] = ()
    """Who pushed, and when, since the heads last agreed; none while they do."""

    @property
    def is_unread(self) -> bool:
        """Whether the branch was never observed."""
        return self.observed_at is None and self.gone_at is None

    @property
    def is_readable(self) -> bool:
        """Whether the last try at reading the remote succeeded."""
        return self.failing_since is None

    @property
    def heads_agree(self) -> bool:
        """Whether the remote head as last seen is the governed one; both may be absent."""
        return self.observed_head == self.governed_head

    def finding(self, check_kind: str) -> OpenFinding | None:
        """Return the open finding of a check."""
        return next((one for one in self.findings if one.check_kind == check_kind), None)

    @property
    def decided(self) -> OpenFinding | None:
        """The open finding about exactly the heads that there are now."""
        drift = self.finding("head_drift")
        if drift is None or not drift.is_about(self.governed_head, self.observed_head):
            return None
        return drift
