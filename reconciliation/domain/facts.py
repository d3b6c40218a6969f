"""What the evaluators are told: frozen values, stored beside the decision; pure."""

from dataclasses import dataclass
from datetime import datetime

from governance.domain.identities import Aliases
from reconciliation.domain.codec import later


@dataclass(frozen=True, slots=True)
class Place:
    """Which branch: tenant, workspace and repository by slug, the branch exactly as git has it."""

    tenant: str
    workspace: str
    repo: str
    branch: str


@dataclass(frozen=True, slots=True)
class RunFact:
    """A run record of the branch."""

    run_id: str
    base_sha: str
    head_sha: str
    status: str
    actor: str
    lease_id: str
    last_heartbeat_at: datetime
    gates: tuple[tuple[str, str], ...] = later(())
    """(gate, result), sorted: what the run says of them."""
    has_counted: bool = later(False)
    """Whether a snapshot has advanced by it: whose run it was is settled."""


@dataclass(frozen=True, slots=True)
class GateFact:
    """The newest result of a gate at a commit, as the host announced it or a run recorded it."""

    context: str
    sha: str
    state: str


@dataclass(frozen=True, slots=True)
class LeaseFact:
    """A lease that covers the branch."""

    lease_id: str
    scope: str
    paths: tuple[str, ...]
    user_id: str
    agent_id: str
    run_id: str
    expires_at: datetime
    acquired_at: datetime | None = later(None)
    ended_at: datetime | None = later(None)
    """When it was released or broken before it would have run out, or None."""


@dataclass(frozen=True, slots=True)
class PullRequestFact:
    """A pull request from or onto the branch."""

    number: int
    state: str
    head_branch: str
    head_sha: str
    base_branch: str
    merge_sha: str
    from_fork: bool
    labels: tuple[str, ...]
    merged_at: datetime | None = later(None)
    """By the host's clock."""


@dataclass(frozen=True, slots=True)
class Push:
    """One push to a branch, as a webhook announced it; without a pusher where none did.

    `at` is when the announcement came, or when the move that nobody announced was seen.
    """

    pusher: str
    before: str | None
    after: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class UpdateFact:
    """A merge of governed commits of another branch into this one, such as "Update branch".

    `change` is `same` when the merge brings what those commits changed and nothing else, `differs`
    or `unknown`; `reason` says why it is not the same.
    """

    source: str
    before: str
    after: str
    change: str
    reason: str


@dataclass(frozen=True, slots=True)
class MergeFact:
    """A merge of a pull request onto the branch, from `before` to `after`.

    `method` is merge, squash, rebase or fast_forward. `change` is as in `UpdateFact`, for what the
    pull request changed up to `source_head`. `source_bases` are the bases of its branch's runs that
    the target has as well; runs, updates, pushes and leases are those of its branch, gates those
    the host announced at its head and at the merge.
    """

    number: int
    method: str
    before: str
    after: str
    change: str
    reason: str
    source_branch: str
    source_bases: tuple[str, ...]
    source_head: str
    from_fork: bool
    runs: tuple[RunFact, ...]
    updates: tuple[UpdateFact, ...]
    pushes: tuple[Push, ...]
    leases: tuple[LeaseFact, ...]
    gates: tuple[GateFact, ...]


@dataclass(frozen=True, slots=True)
class ChangedPaths:
    """The paths that differ between two heads; `known` is false when trees could not be read."""

    known: bool
    paths: tuple[str, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """A branch's governed and observed heads, how they relate, and who had to do with it.

    `relation` is the relation of the governed to the observed head: same, ancestor (governed is an
    ancestor of observed), descendant, diverged, unrelated, unknown; empty when either is missing.
    """

    place: Place
    branch_class: str
    governed_head: str | None
    observed_head: str | None
    head_changed_at: datetime
    was_gone: bool
    announced_by: str
    pusher: str
    relation: str
    relation_reason: str
    ahead: int | None
    behind: int | None
    changed: ChangedPaths
    committer: str
    runs: tuple[RunFact, ...]
    leases: tuple[LeaseFact, ...]
    merged_pull_requests: tuple[PullRequestFact, ...]
    """Those merged onto the branch whose head or merge is the observed head, or a push's."""
    open_pull_requests: tuple[PullRequestFact, ...]
    """Those from the branch."""
    previous_head: str | None = later(None)
    """The head before the observed one."""
    pushes: tuple[Push, ...] = later(())
    """Every push since the heads last agreed, the newest 50; `pusher` is that of the last one."""
    merged_from: tuple[PullRequestFact, ...] = later(())
    """Of a branch that is gone: those that merged its governed head, or the head it last had."""
    open_onto: tuple[PullRequestFact, ...] = later(())
    """Of a branch that is gone: those open onto it, which go with it."""
    class_now: str = later("")
    """The class that holds now, where `branch_class` is an older one that guards more."""
    gates: tuple[GateFact, ...] = later(())
    """What the host announced of required gates, at the heads of runs that lead to the head."""
    aliases: Aliases = later(())
    """The aliases of the tenant, for the names in these facts."""
    merges: tuple[MergeFact, ...] = later(())
    """Merges of pull requests that lead from the governed head to the observed one."""
    updates: tuple[UpdateFact, ...] = later(())
    """Merges of governed commits of other branches on the way from the one head to the other."""
    inside_runs: tuple[str, ...] = later(())
    """The runs between whose base and head the observed head lies, without being either."""


@dataclass(frozen=True, slots=True)
class StaleFacts:
    """A branch's activity and everything that speaks for keeping it.

    `merged_by` is pull_request, ancestry, equivalence or empty. `behind_default` counts commits of
    the default branch that the branch lacks; None when unknown.
    """

    place: Place
    branch_class: str
    default_branch: str
    observed_head: str | None
    last_activity_at: datetime | None
    merged_by: str
    behind_default: int | None
    pull_requests_from: tuple[PullRequestFact, ...]
    pull_requests_onto: tuple[PullRequestFact, ...]
    leases: tuple[LeaseFact, ...]
    running_runs: tuple[RunFact, ...]
    merge_unknown: str = later("")
    """Why it cannot be told whether the default branch holds the change, or empty."""


@dataclass(frozen=True, slots=True)
class MissingRunFacts:
    """What shows that a branch is under governance, and the run records that it has.

    `runs` are those that run on the branch, and those that ended at its head, or at the head or the
    merge of one of the pull requests.
    """

    place: Place
    branch_class: str
    observed_head: str | None
    governed_head: str | None
    head_changed_at: datetime
    runs: tuple[RunFact, ...]
    leases: tuple[LeaseFact, ...]
    gates: tuple[GateFact, ...]
    pull_requests: tuple[PullRequestFact, ...]
    base_classes: tuple[tuple[str, str], ...]
    """(base branch, its class) of those pull requests."""
    same_as: str = later("")
    """The default branch, when it is at the very same head: the branch has no change of its own."""
    head_push: Push | None = later(None)
    """The push that brought the observed head; None where nothing was recorded of it."""
    push_leases: tuple[LeaseFact, ...] = later(())
    """The leases that stood at that push."""
    aliases: Aliases = later(())
    """The aliases of the tenant, for the names in these facts."""
    base_gates: tuple[tuple[str, tuple[str, ...]], ...] = later(())
    """(base branch, the gates that its policy requires) of the pull requests."""
    came_by: str = later("")
    """The merge of governed work by which governance accepted the head, if it was one."""


@dataclass(frozen=True, slots=True)
class LeaseRenewalFacts:
    """A lease and the signs of life behind it."""

    place: Place
    lease_id: str
    state: str
    holder: str
    acquired_at: datetime
    expires_at: datetime
    max_expires_at: datetime
    ttl_seconds: int
    last_heartbeat_at: datetime
    run_id: str
    run_status: str
    run_last_heartbeat_at: datetime | None
    other_runs: tuple[RunFact, ...] = later(())
    """Other running runs of the same operation: those that name the lease, and those of its holder
    that name none, where the lease covers their branch."""


@dataclass(frozen=True, slots=True)
class FindingFact:
    """A finding of the branch as it stands."""

    finding_id: int
    fingerprint: str
    check_kind: str
    stable_class: str
    state: str
    severity: str
    alerting: bool
    rule_ids: tuple[str, ...]
    reopened_count: int = later(0)
    own_state: tuple[str, ...] = later(())
    """Of a finding about the default branch: the accepted and the present name, not two heads."""


@dataclass(frozen=True, slots=True)
class AlertFact:
    """The alert of a finding as it stands."""

    fingerprint: str
    state: str
    severity: str
    state_digest: str
    acknowledged_state_digest: str
    acknowledge_expires_at: datetime | None
    snoozed_until: datetime | None
    opened_at: datetime
    escalation_step: int
    next_escalation_at: datetime | None
    ladder: tuple[tuple[str, int], ...]
    snoozed_state_digest: str = later("")
    answered_moves: int | None = later(None)
    """Moves of the state when a person answered; None: the answer is older than their count."""
    reopened_count: int = later(0)
    reopenings: tuple[datetime, ...] = later(())
    """When it was reopened lately, oldest first."""
    flapping_until: datetime | None = later(None)
    resolved_at: datetime | None = later(None)


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """Findings and alerts of one branch, with the heads that an acknowledgement is bound to."""

    place: Place
    governed_head: str | None
    observed_head: str | None
    findings: tuple[FindingFact, ...]
    alerts: tuple[AlertFact, ...]
    head_changes: int = later(0)
    """How often the observed head moved: it tells a head that came back from one that stayed."""
