"""Says who pushed what led to a head, and which lease stood at each push; reads facts only.

A push that nobody named is a push by nobody knows whom: it never counts as somebody's.
"""

from collections.abc import Iterable
from datetime import datetime

from reconciliation.domain.facts import HeadFacts, LeaseFact, Push


def pushes_of(facts: HeadFacts) -> tuple[Push, ...]:
    """Return the pushes that led from the governed head to the observed one, oldest first.

    Facts that were stored before pushes were kept name the last pusher only.
    """
    if facts.pushes:
        return tuple(sorted(facts.pushes, key=_order))
    last = Push(facts.pusher, facts.governed_head, facts.observed_head, facts.head_changed_at)
    return (last,)


def pushers_of(pushes: Iterable[Push]) -> tuple[str, ...]:
    """Return who pushed, each once, by name; the empty string stands for nobody knows whom."""
    return tuple(sorted({push.pusher for push in pushes}))


def pushes_under(lease: LeaseFact, facts: HeadFacts) -> tuple[Push, ...]:
    """Return the pushes that were made while the lease stood.

    At the instant at which it ended it no longer stood. A lease of which is not known when it was
    acquired was found at the moment of the last push, and counts for all of them.
    """
    return tuple(push for push in pushes_of(facts) if stood(lease, push.at))


def held_by(facts: HeadFacts) -> str:
    """Return who held which lease at one of the pushes, as text; empty when nobody did."""
    held = (
        f"{lease.user_id} ({lease.lease_id})"
        for lease in sorted(facts.leases, key=lambda one: one.lease_id)
        if lease.acquired_at is not None and pushes_under(lease, facts)
    )
    return ", ".join(held)


def stood_together(one: LeaseFact, other: LeaseFact) -> bool:
    """Return whether two leases ever stood at the same time."""
    if one.acquired_at is None or other.acquired_at is None:
        return True
    return max(one.acquired_at, other.acquired_at) < min(_over_at(one), _over_at(other))


def lease_holders(lease: LeaseFact) -> set[str]:
    """Return the names that a lease was given to: its user and its agent."""
    return {lease.user_id, lease.agent_id} - {""}


def stood(lease: LeaseFact, moment: datetime) -> bool:
    """Return whether a lease stood at a moment; at the instant at which it ended it did not."""
    return lease.acquired_at is None or lease.acquired_at <= moment < _over_at(lease)


def _over_at(lease: LeaseFact) -> datetime:
    return min(lease.ended_at or lease.expires_at, lease.expires_at)


def _order(push: Push) -> tuple[datetime, str, str, str]:
    return (push.at, push.before or "", push.after or "", push.pusher)
