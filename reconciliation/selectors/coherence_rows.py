"""The five comparisons of the coherence matrix, on plain values; reads nothing.

Two sources that contradict each other are both marked: which of them is right is for a person, or
for a run record that explains the step, to say. What cannot be told is None, never True.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

RUN_GOVERNED = frozenset({"default", "protected", "governed"})


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
    """A held lease over the branch."""

    lease_id: str
    scope: str
    holders: tuple[str, ...]
    fencing_token: int
    acquired_at: datetime
    expires_at: datetime
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Announced:
    """The newest delivery that spoke of the branch."""

    after: str | None
    actor: str
    received_at: datetime


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
    announced: Announced | None
    complaints: Mapping[str, str]
    """Open findings of the branch: the check to its summary."""
    now: datetime
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


def remote_row(view: BranchView) -> CoherenceRow:
    """Compare the remote ref with the governed snapshot."""
    agrees, why = _remote_against_snapshot(view)
    return CoherenceRow("remote_ref", "Remote ref", view.observed_head, view.read_at, agrees, why)


def _remote_against_snapshot(view: BranchView) -> tuple[bool | None, str]:
    if view.is_unread:
        return None, "The remote has not been read yet."
    if not view.is_readable:
        return None, f"The remote cannot be read ({view.failure or 'no answer'}); last known value."
    if view.observed_head is None and view.governed_head is None:
        return True, "The branch is gone, and governance expects it to be."
    if view.governed_head is None:
        return None, "Governance has not accepted any head of this branch."
    if view.observed_head is None:
        return False, "The branch is gone from the remote; governance still expects it."
    if view.observed_head == view.governed_head:
        return True, "The remote head is the governed head."
    return False, "The remote head is not the head that governance last accepted."


def snapshot_row(view: BranchView) -> CoherenceRow:
    """Compare the governed snapshot with the remote ref."""
    agrees, why = _snapshot_against_remote(view)
    return CoherenceRow(
        "governed_snapshot", "Governed snapshot", view.governed_head, view.governed_at, agrees, why
    )


def _snapshot_against_remote(view: BranchView) -> tuple[bool | None, str]:
    accepted = _accepted_by(view.governed_by)
    if view.governed_head is None and view.observed_head is None and view.governed_by:
        return True, f"{accepted} The deletion is what governance expects."
    if view.governed_head is None:
        return None, "No snapshot yet: a run record or a person has to accept a head."
    if view.is_unread or not view.is_readable:
        return None, f"{accepted} There is no fresh remote head to compare with."
    if view.governed_head == view.observed_head:
        return True, accepted
    return False, f"{accepted} The remote has moved away from it."


def _accepted_by(governed_by: str) -> str:
    kind, _, name = governed_by.partition(":")
    if kind == "run":
        return f"Accepted by run {name}."
    if kind == "user":
        return f"Accepted by {name}."
    return "Accepted when it was connected." if kind == "connect" else "Accepted."


def run_row(view: BranchView) -> CoherenceRow:
    """Say whether a run record explains the remote head."""
    run, agrees, why = _run_for_head(view)
    value = (run.head_sha or run.base_sha) if run else None
    return CoherenceRow("run_record", "Run record", value, run.as_of if run else None, agrees, why)


def _run_for_head(view: BranchView) -> tuple[RunView | None, bool | None, str]:
    ended = [run for run in view.runs if run.status == "succeeded"]
    newest = ended[0] if ended else None
    if "missing_run" in view.complaints:
        return newest, False, view.complaints["missing_run"]
    if view.is_unread:
        return newest, None, "There is no remote head to explain yet."
    covering = next((run for run in ended if run.head_sha == view.observed_head), None)
    if covering is not None:
        return covering, True, f"Run {covering.run_id} by {covering.actor} ends at the remote head."
    running = next((run for run in view.runs if run.status == "running"), None)
    if running is not None:
        return running, *_under_way(view, running)
    if view.observed_head is None and view.governed_head is not None:
        return newest, None, "No run record speaks of the deletion."
    return newest, *_uncovered(view, newest)


def _under_way(view: BranchView, running: RunView) -> tuple[bool | None, str]:
    if view.observed_head in (running.base_sha, running.head_sha):
        return True, f"Run {running.run_id} by {running.actor} is under way here."
    return None, f"Run {running.run_id} is under way and has not named its head yet."


def _uncovered(view: BranchView, newest: RunView | None) -> tuple[bool, str]:
    if view.observed_head == view.governed_head:
        return True, "The head was accepted without a run record."
    if newest is not None:
        return False, f"The newest run record, {newest.run_id}, ends at another head."
    if view.branch_class in RUN_GOVERNED:
        return False, "No run record explains the remote head."
    return True, "This branch is not under run governance; no record is expected."


def lease_row(view: BranchView) -> CoherenceRow:
    """Say whether the leases allow what happened."""
    live = [lease for lease in view.leases if lease.expires_at > view.now]
    shown = live[0] if live else (view.leases[0] if view.leases else None)
    agrees, why = _leases_against_pusher(view, live)
    return CoherenceRow(
        "lease",
        "Lease",
        " / ".join(shown.holders) if shown else None,
        shown.as_of if shown else None,
        agrees,
        why,
    )


def _leases_against_pusher(view: BranchView, live: list[LeaseView]) -> tuple[bool | None, str]:
    if "lease_renewal" in view.complaints:
        return False, view.complaints["lease_renewal"]
    whole = [lease for lease in live if lease.scope != "path-prefix"]
    if len(whole) > 1:
        return False, f"{len(whole)} live leases cover this branch at once."
    if live:
        return _holder_against_pusher(view, live[0])
    if view.leases:
        return None, f"Lease {view.leases[0].lease_id} ran out; the reconciler has yet to end it."
    if any(run.status == "running" for run in view.runs):
        return False, "A run is under way without a lease."
    return True, "Nobody holds a lease, and no run needs one."


def _holder_against_pusher(view: BranchView, lease: LeaseView) -> tuple[bool, str]:
    holder = lease.holders[0]
    moved_since = view.observed_at is not None and view.observed_at > lease.acquired_at
    pushers = [name for name, at in view.pushes if at >= lease.acquired_at] or [view.pusher]
    strangers = sorted({name for name in pushers if name and name not in lease.holders})
    if moved_since and strangers:
        return False, f"{', '.join(strangers)} pushed while {holder} held the lease."
    return True, f"Held under fencing token {lease.fencing_token}; nobody else has pushed since."


def webhook_row(view: BranchView) -> CoherenceRow:
    """Compare what the host last announced with the remote ref."""
    value, as_of, agrees, why = _announcement(view)
    return CoherenceRow("webhook", "Webhook", value, as_of, agrees, why)


def _announcement(
    view: BranchView,
) -> tuple[str | None, datetime | None, bool | None, str]:
    told = view.announced
    if told is not None:
        by = f" by {told.actor}" if told.actor else ""
        if not view.is_readable or view.is_unread:
            return told.after, told.received_at, None, f"Announced{by}; not re-read since."
        if told.after == view.observed_head:
            return told.after, told.received_at, True, f"The host announced this head, pushed{by}."
        if view.read_at is None or told.received_at > view.read_at:
            return told.after, told.received_at, None, f"Announced{by}; the re-read is under way."
    if view.announced_by == "webhook":
        if told is None:
            return view.observed_head, view.observed_at, True, "The host announced this head."
        return told.after, told.received_at, False, "The host last announced another head."
    return _unannounced(view)


def _unannounced(
    view: BranchView,
) -> tuple[str | None, datetime | None, bool | None, str]:
    told = view.announced
    value, as_of = (told.after, told.received_at) if told else (None, view.last_delivery_at)
    if view.governed_by == "connect" and view.governed_head == view.observed_head:
        return value, as_of, True, "Unchanged since it was connected; no announcement is due."
    if view.last_delivery_at is None:
        return value, as_of, None, "No delivery ever arrived for this repository."
    if view.announced_by == "sweep":
        return value, as_of, False, "A sweep saw this head first: its webhook never arrived."
    if view.announced_by == "manual":
        return value, as_of, True, "The head was recorded by a person."
    return value, as_of, None, "The host has not announced anything about this branch."
