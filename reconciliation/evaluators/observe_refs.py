"""Decides whether a reading of the heads changed anything; reads facts only."""

from datetime import datetime

from governance.domain.policy import Policy
from reconciliation.domain.findings import Decision
from reconciliation.domain.observation import ObservationFacts


def evaluate_observe_refs(facts: ObservationFacts, policy: Policy, now: datetime) -> Decision:
    """Return `unchanged`, `changed` or `gone`; what moves mean is for the other checks to say.

    A repository is gone when two agree: its host announced the deletion, and nobody can read it.
    """
    if facts.is_gone:
        return Decision("gone", "gone", clean=False, reason="deleted on its host")
    if not facts.moves:
        return Decision("unchanged", "observed", clean=True)
    count = len(facts.moves)
    return Decision(
        "changed", "observed", clean=True, reason=f"{count} head{'s' * (count != 1)} moved"
    )
