"""Applies lease decisions: renews or ends leases, guarded by the expiry they were decided on."""

from collections.abc import Sequence
from datetime import datetime

from governance.selectors.lease_facts import leases_by_id
from governance.services.leases import (
    LeaseMoved,
    expire_lease,
    lock_leases,
    renew_lease_by_reconciler,
)
from reconciliation.services.apply.values import Effects, Worked

_ENDING = frozenset({"expire", "expire_at_cap"})


def apply_leases(worked: Sequence[Worked], effects: Effects, *, now: datetime) -> set[int]:
    """Renew or expire each lease and return the ids of tasks that were overtaken.

    A lease that moved meanwhile keeps what its holder made of it: the decision on it is void. All
    leases are locked first, and their entries wait for the batch's one append: taking a lease
    after the chain's head would deadlock with a holder who does it the other way round.
    """
    acting = [one for one in worked if one.decision.decision in _ENDING | {"renew"}]
    rows = leases_by_id((one.task.repository_id, one.gathered.facts.lease_id) for one in acting)
    lock_leases(lease.pk for lease, _ in rows.values())
    overtaken = set()
    for one in acting:
        facts, decision = one.gathered.facts, one.decision
        lease, _ = rows[one.task.repository_id, facts.lease_id]
        try:
            if decision.renew_until is not None:
                renew_lease_by_reconciler(
                    lease.pk,
                    expected_expires_at=facts.expires_at,
                    new_expires_at=decision.renew_until,
                    reason=decision.reason,
                    correlation_id=one.task.correlation_id,
                    policy_version=one.gathered.policy.digest,
                    entries=effects.entries,
                    now=now,
                )
            else:
                expire_lease(
                    lease.pk,
                    expected_expires_at=facts.expires_at,
                    abandon_run=decision.decision == "expire",
                    reason=decision.decision.replace("_", " "),
                    correlation_id=one.task.correlation_id,
                    policy_version=one.gathered.policy.digest,
                    entries=effects.entries,
                    now=now,
                )
        except LeaseMoved:
            overtaken.add(one.task.id)
    return overtaken
