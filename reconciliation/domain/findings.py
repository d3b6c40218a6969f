"""What the evaluators answer: decisions with the rule hits and findings behind them; pure."""

from dataclasses import dataclass, field
from datetime import datetime

from reconciliation.domain.codec import later

Inputs = tuple[tuple[str, str], ...]
"""Named values as text, in a fixed order."""


@dataclass(frozen=True, slots=True)
class RuleHit:
    """One rule that applied: its id, its weight (0-100), and what it looked at."""

    rule: str
    weight: int
    inputs: Inputs = ()


@dataclass(frozen=True, slots=True)
class FindingDraft:
    """A disagreement as an evaluator states it; storing it is somebody else's work."""

    stable_class: str
    severity: str
    alerting: bool
    rule_hits: tuple[RuleHit, ...]
    summary: str
    recommendation: str
    command: str
    expected: Inputs
    actual: Inputs
    run_id: str | None = None
    lease_id: str | None = None


@dataclass(frozen=True, slots=True)
class StackedRequest:
    """An open pull request onto a branch: deleting the branch would close it."""

    number: int
    head_branch: str
    head_sha: str
    from_fork: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What whoever retires a branch needs to know, and how they take it back."""

    head_sha: str
    restore_command: str
    merged_by: str
    """pull_request, ancestry, equivalence, or empty: no merge of it is known."""
    merged_pull_requests: tuple[int, ...]
    would_close: tuple[StackedRequest, ...]
    """By number."""
    merge_unknown: str = later("")
    """Why it cannot be told whether the branch is merged, or empty."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a check decided.

    `decision` is one word of the check's own vocabulary; `stable_class` classifies the state.
    `defer_until`: not yet time to decide, come back then. `clean` says that the check found
    nothing: open findings of it count this as evidence. A check that could not tell is not clean.
    """

    decision: str
    stable_class: str
    clean: bool
    findings: tuple[FindingDraft, ...] = ()
    defer_until: datetime | None = None
    advance_to: str | None = None
    advance_run_ids: tuple[str, ...] = ()
    renew_until: datetime | None = None
    reason: str = ""
    alert_acts: tuple["AlertAct", ...] = field(default=())
    evidence: Evidence | None = later(None)
    """Of a stale branch check that has something to say about retiring the branch."""
    advance_by: str = later("")
    """What the snapshot advances by, when that is no run: `pull_request:<number>` or `update:…`."""

    @property
    def severity(self) -> str:
        """The severity of the worst finding, or the empty string."""
        order = ("critical", "high", "medium", "low", "info")
        found = {draft.severity for draft in self.findings}
        return next((level for level in order if level in found), "")


@dataclass(frozen=True, slots=True)
class AlertAct:
    """One thing to do about an alert.

    `act`: open, reopen, update, void_acknowledgement, expire_acknowledgement, void_snooze,
    end_snooze, escalation_due or resolve. `reopenings` and `flapping_until` come with a finding
    that returned.
    """

    act: str
    fingerprint: str
    severity: str = ""
    state_digest: str = ""
    role: str = ""
    step: int = 0
    next_escalation_at: datetime | None = None
    reason: str = ""
    due_at: datetime | None = later(None)
    """Of an escalation: since when its step is due."""
    continues_ladder: bool = later(False)
    """Of a reopening: the ladder goes on at `step` instead of beginning anew."""
    reopenings: tuple[datetime, ...] = later(())
    flapping_until: datetime | None = later(None)
