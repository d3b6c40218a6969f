"""What may not stand on one page together: matrix, open findings and drift class, held together."""

from collections.abc import Sequence

from reconciliation.domain.coherence_values import CoherenceMatrix, OpenFinding

ABOUT_COHERENCE = {"head_drift", "missing_run", "lease_renewal"}
BREACHES = {"drift.not_lease_holder", "drift.two_leases"}


def contradictions(
    matrix: CoherenceMatrix, findings: Sequence[OpenFinding], drift_class: str, *, is_known: bool
) -> list[str]:
    """Return what a page with these three would say that cannot all be true, in words."""
    rows = {row.source: row for row in matrix.rows}
    remote, snapshot, run = rows["remote_ref"], rows["governed_snapshot"], rows["run_record"]
    lease, webhook = rows["lease"], rows["webhook"]
    open_checks = {one.check_kind for one in findings} & ABOUT_COHERENCE
    rules = {rule for one in findings if one.check_kind == "head_drift" for rule in one.rules}
    claims = {
        "coherent beside an open finding": bool(matrix.coherent and open_checks),
        "coherent, yet not in sync": bool(matrix.coherent and drift_class != "in_sync"),
        "in sync, yet the heads differ": drift_class == "in_sync" and remote.agrees is False,
        "heads agree, yet not in sync": remote.agrees is True and drift_class != "in_sync",
        "the two heads judge each other differently": {remote.agrees, snapshot.agrees}
        == {True, False},
        "heads agree beside a drift": "head_drift" in open_checks
        and True in (remote.agrees, snapshot.agrees),
        "a run agrees beside a missing run": "missing_run" in open_checks
        and run.agrees is not False,
        "a lease agrees beside a finding about it": "lease_renewal" in open_checks
        and lease.agrees is not False,
        "a lease agrees beside its breach": bool(rules & BREACHES) and lease.agrees is not False,
        "a lease agrees beside an unknown pusher": "drift.pusher_unknown_under_lease" in rules
        and lease.agrees is True,
        "a remote that cannot be read agrees": not is_known
        and True in (remote.agrees, snapshot.agrees, webhook.agrees),
        "a run ends at a head that is not accepted": run.agrees is True
        and "ends at the remote head" in run.explanation
        and drift_class != "in_sync",
    }
    return [claim for claim, is_made in claims.items() if is_made]
