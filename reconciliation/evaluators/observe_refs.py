"""Decides whether a reading of the heads changed anything; reads facts only."""

from datetime import datetime

from governance.domain.policy import Policy
from reconciliation.domain.findings import Decision
from reconciliation.domain.observation import ObservationFacts


def evaluate_observe_refs(facts: ObservationFacts, policy: Policy, now: datetime) -> Decision:
    """Return `unchanged` or `changed`; what the moves mean is for the other checks to say."""
    if not facts.moves:
        return Decision("unchanged", "observed", clean=True)
    count = len(facts.moves)
    return Decision(
        "changed", "observed", clean=True, reason=f"{count} head{'s' * (count != 1)} moved"
    )
