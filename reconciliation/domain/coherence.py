"""The five comparisons of the coherence matrix, on plain values; reads nothing.

Two sources that contradict each other are both marked: which of them is right is for a person, or
for a run record that explains the step, to say. What cannot be known is None, never True. No row
contradicts an open finding of its branch: the check saw more than the matrix does.
"""

from collections.abc import Sequence

from reconciliation.domain.coherence_values import (
    Announced,
    BranchView,
    CoherenceMatrix,
    CoherenceRow,
    LeaseView,
    OpenFinding,
    RunView,
)

RUN_GOVERNED = frozenset({"default", "protected", "governed"})
POSSIBLE_BREACHES = ("drift.paths_unknown", "drift.pusher_unknown_under_lease")

Verdict = tuple[bool | None, str]
"""Whether a source agrees, and why."""


def matrix_of(view: BranchView) -> CoherenceMatrix:
    """Return the five rows, in one order."""
    return CoherenceMatrix(
        (remote_row(view), snapshot_row(view), run_row(view), lease_row(view), webhook_row(view))
    )


def drift_class_of(
    *,
    governed_head: str | None,
    observed_head: str | None,
    is_known: bool,
    drift: OpenFinding | None,
) -> str:
    """Return the drift class that is known: the check's, where it decided about these heads.

    `is_known`: the branch was read, and the last try at it succeeded. Heads that differ without a
    decision are `unknown`, and never `in_sync`.
    """
    if not is_known:
        return "unknown"
    if governed_head == observed_head:
        return "in_sync"
    if observed_head is None:
        return "deleted"
    if drift is not None and drift.is_about(governed_head, observed_head):
        return drift.stable_class
    return "created" if governed_head is None else "unknown"


def remote_row(view: BranchView) -> CoherenceRow:
    """Compare the remote ref with the governed snapshot."""
    agrees, why = _remote_against_snapshot(view)
    return CoherenceRow("remote_ref", "Remote ref", view.observed_head, view.read_at, agrees, why)


def _remote_against_snapshot(view: BranchView) -> Verdict:
    if view.is_unread:
        return None, "The remote has not been read yet."
    if not view.is_readable:
        return None, f"The remote cannot be read ({view.failure or 'no answer'}); last known value."
    if view.heads_agree and view.finding("head_drift"):
        return None, "The heads agree again; the open finding waits for another clean check."
    if view.observed_head is None and view.governed_head is None:
        return True, "The branch is gone, and governance expects it to be."
    if view.governed_head is None:
        return None, "Governance has not accepted any head of this branch."
    if view.observed_head is None:
        return False, "The branch is gone from the remote; governance still expects it."
    if view.heads_agree:
        return True, "The remote head is the governed head."
    return False, "The remote head is not the head that governance last accepted."


def snapshot_row(view: BranchView) -> CoherenceRow:
    """Compare the governed snapshot with the remote ref."""
    agrees, why = _snapshot_against_remote(view)
    return CoherenceRow(
        "governed_snapshot", "Governed snapshot", view.governed_head, view.governed_at, agrees, why
    )


def _snapshot_against_remote(view: BranchView) -> Verdict:
    accepted = _accepted_by(view.governed_by)
    if view.governed_head is None and (view.observed_head is not None or not view.governed_by):
        return None, "No snapshot yet: a run record or a person has to accept a head."
    if view.is_unread or not view.is_readable:
        return None, f"{accepted} There is no fresh remote head to compare with."
    if view.heads_agree and view.finding("head_drift"):
        return None, f"{accepted} The open finding waits for another clean check."
    if view.governed_head is None:
        return True, f"{accepted} The deletion is what governance expects."
    if view.heads_agree:
        return True, accepted
    return False, f"{accepted} The remote has moved away from it."


def _accepted_by(governed_by: str) -> str:
    kind, _, name = governed_by.partition(":")
    if kind == "run":
        return f"Accepted by run {name}."
    if kind == "user":
        return f"Accepted by {name}."
    if kind == "pull_request":
        return f"Accepted with the merge of pull request #{name}, whose head was recorded."
    if kind == "update":
        return f"Accepted as an update from {name}, which is governed."
    return "Accepted when it was connected." if kind == "connect" else "Accepted."


def run_row(view: BranchView) -> CoherenceRow:
    """Say whether a run record explains the remote head."""
    run, (agrees, why) = _run_for_head(view)
    value = (run.head_sha or run.base_sha) if run else None
    return CoherenceRow("run_record", "Run record", value, run.as_of if run else None, agrees, why)


def _run_for_head(view: BranchView) -> tuple[RunView | None, Verdict]:
    ended = [run for run in view.runs if run.status == "succeeded"]
    newest = ended[0] if ended else None
    missing = view.finding("missing_run")
    if missing is not None:
        return newest, (False, missing.summary)
    if view.is_unread:
        return newest, (None, "There is no remote head to explain yet.")
    if not view.is_readable:
        return newest, (None, "The remote cannot be read: there may be another head to explain.")
    ending_here = next((run for run in ended if run.head_sha == view.observed_head), None)
    if ending_here is not None:
        return ending_here, _ends_here(view, ending_here)
    running = next((run for run in view.runs if run.status == "running"), None)
    if running is not None:
        return running, _under_way(view, running)
    if view.observed_head is None and view.governed_head is not None:
        return newest, (None, "No run record names the deletion.")
    return newest, _uncovered(view, newest)


def _ends_here(view: BranchView, run: RunView) -> Verdict:
    ends = f"Run {run.run_id} by {run.actor} ends at the remote head"
    if view.heads_agree:
        return True, f"{ends}."
    if view.decided is not None:
        return False, f"{ends}, but it does not cover the change: see the finding."
    return None, f"{ends}; whether it covers the change is not decided yet."


def _under_way(view: BranchView, running: RunView) -> Verdict:
    if view.observed_head in (running.base_sha, running.head_sha):
        return True, f"Run {running.run_id} by {running.actor} is under way here."
    return None, f"Run {running.run_id} is under way and has not named its head yet."


def _uncovered(view: BranchView, newest: RunView | None) -> Verdict:
    if view.heads_agree:
        if view.governed_by.startswith(("pull_request:", "update:")):
            return True, _accepted_by(view.governed_by)
        return True, "The head was accepted without a run record."
    if newest is not None:
        return False, f"The newest run record, {newest.run_id}, ends at another head."
    if view.branch_class in RUN_GOVERNED:
        return False, "No run record explains the remote head."
    return True, "This branch is not under run governance; no record is expected."


def lease_row(view: BranchView) -> CoherenceRow:
    """Say whether the leases allow what happened."""
    held = [lease for lease in view.leases if lease.is_held]
    live = [lease for lease in held if lease.over_at > view.now]
    shown = live[0] if live else held[0] if held else None
    agrees, why = _leases_against_pushes(view, live=live, held=held)
    return CoherenceRow(
        "lease",
        "Lease",
        " / ".join(shown.holders) if shown else None,
        shown.as_of if shown else None,
        agrees,
        why,
    )


def _leases_against_pushes(
    view: BranchView, *, live: Sequence[LeaseView], held: Sequence[LeaseView]
) -> Verdict:
    renewal = view.finding("lease_renewal")
    if renewal is not None:
        return False, renewal.summary
    whole = [lease for lease in live if lease.scope != "path-prefix"]
    if len(whole) > 1:
        return False, f"{len(whole)} live leases cover this branch at once."
    breach = _breach_that_was_found(view) or _breach_by_pushes(view)
    if breach is not None:
        return breach
    if live:
        return _no_breach(view, live[0])
    if held:
        return None, f"Lease {held[0].lease_id} ran out; the reconciler has yet to end it."
    if any(run.status == "running" for run in view.runs):
        return False, "A run is under way without a lease."
    return True, "No one holds a lease, and no run needs one."


def _breach_that_was_found(view: BranchView) -> Verdict | None:
    drift = view.finding("head_drift")
    rules = drift.rules if drift is not None else {}
    if "drift.two_leases" in rules:
        leases = rules["drift.two_leases"].get("leases", "")
        return False, f"Two leases stood at once while the head moved: {leases}."
    if "drift.not_lease_holder" in rules:
        inputs = rules["drift.not_lease_holder"]
        holder, pusher = inputs.get("holder", "another"), inputs.get("pusher", "Someone else")
        return False, f"{pusher} pushed while {holder} held the lease."
    for rule in (one for one in POSSIBLE_BREACHES if one in rules):
        lease = rules[rule].get("lease", "")
        if lease or rule != "drift.paths_unknown":
            return None, f"Whether someone else pushed under lease {lease} is not known."
    return None


def _breach_by_pushes(view: BranchView) -> Verdict | None:
    """Compare pushes with the leases that stood then, where no check has decided about them."""
    if view.heads_agree or view.decided is not None:
        return None
    unknown: LeaseView | None = None
    pushes = view.pushes or ((view.pusher, view.observed_at or view.now),)
    for lease in view.leases:
        pushers = {name for name, at in pushes if lease.stood_at(at)} - {*lease.holders}
        named = sorted(pushers - {""})
        if named and lease.scope != "path-prefix":
            return False, f"{', '.join(named)} pushed while {lease.holders[0]} held the lease."
        unknown = unknown or (lease if pushers else None)
    if unknown is None:
        return None
    return None, f"Whether someone else pushed under lease {unknown.lease_id} is not known."


def _no_breach(view: BranchView, lease: LeaseView) -> Verdict:
    held = f"Held under fencing token {lease.fencing_token}"
    if view.is_unread or not view.is_readable:
        return None, f"{held}; the remote cannot be read, so pushes since are not known."
    if view.observed_at is None or view.observed_at < lease.acquired_at:
        return True, f"{held}; the head has not moved since."
    if view.heads_agree:
        return True, f"{held}; the head that there is now was accepted."
    return True, f"{held}; no push by anyone else was found."


def webhook_row(view: BranchView) -> CoherenceRow:
    """Compare what the host last announced with the remote ref."""
    newest = view.announced
    value, as_of = (newest.after, newest.received_at) if newest else (None, view.last_delivery_at)
    agrees, why = _announcement(view, newest) if newest else _unannounced(view)
    return CoherenceRow("webhook", "Webhook", value, as_of, agrees, why)


def _announcement(view: BranchView, newest: Announced) -> Verdict:
    by = f" by {newest.actor}" if newest.actor else ""
    if not view.is_readable or view.is_unread:
        return None, f"Announced{by}; not re-read since."
    if newest.after == view.observed_head:
        return True, f"The host announced this head, pushed{by}."
    if view.read_at is None or newest.received_at > view.read_at:
        return None, f"Announced{by}; the re-read is under way."
    moved_since = view.observed_at is not None and view.observed_at > newest.received_at
    if moved_since and view.announced_by == "sweep":
        return False, "A sweep saw this head first: its webhook never arrived."
    if view.announced_by == "webhook" and view.head_changes:
        return None, (
            "This head was announced, but the newest delivery names another one, which the remote"
            " does not have: deliveries may have come out of order."
        )
    return False, f"The host announced another head{by}, which the remote does not have."


def _unannounced(view: BranchView) -> Verdict:
    if not view.is_readable or view.is_unread:
        return None, "The remote cannot be read: whether anything was to announce is not known."
    if view.governed_by == "connect" and view.heads_agree and not view.head_changes:
        return True, "Unchanged since it was connected; no announcement is due."
    if view.last_delivery_at is None:
        return None, "No delivery ever arrived for this repository."
    if view.announced_by == "sweep":
        return False, "A sweep saw this head first: its webhook never arrived."
    if view.announced_by == "manual" and view.head_changes:
        return None, "A check that a person started saw this head first; no webhook named it yet."
    if view.announced_by == "webhook":
        return True, "The head was announced by a webhook, longer ago than is looked up here."
    return None, "The host has not announced anything about this branch."
