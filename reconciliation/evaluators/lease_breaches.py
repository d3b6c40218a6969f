"""Says which leases a change of a head collides with; reads facts only.

A lease gives one actor the branch. Who else wrote meanwhile is a high risk whatever they wrote, so
these hits also stand against a change that run records cover, unless those runs were the holder's.
"""

from collections.abc import Sequence
from itertools import combinations

from governance.domain.identities import Aliases, is_among
from governance.domain.lease_scopes import PATH_PREFIX, REPO_WIDE, LeaseClaim, covers, overlaps
from governance.domain.policy import Policy
from reconciliation.domain.facts import HeadFacts, LeaseFact, RunFact
from reconciliation.domain.findings import RuleHit
from reconciliation.domain.risk import hit
from reconciliation.evaluators.attribution import (
    lease_holders,
    pushers_of,
    pushes_under,
    stood_together,
)

NO_RECORD_EXCUSES = frozenset({"drift.not_lease_holder", "drift.two_leases", "drift.direct_push"})
"""What a run record that may still come cannot put right, so that nothing waits for one."""


def lease_breaches(
    facts: HeadFacts, policy: Policy, *, covering: Sequence[str] = ()
) -> list[RuleHit]:
    """Return the hits of leases that covered the branch at any push that led to its head.

    `covering` are the ids of the runs that cover the change. A pusher nobody named may be the
    holder or not: under a lease that is never silently fine. Neither is a stranger's push that the
    holder pushed over.
    """
    hits = _collisions(facts, policy)
    runs = [run for run in facts.runs if run.run_id in set(covering)]
    for lease in sorted(facts.leases, key=lambda one: one.lease_id):
        if not _is_recorded_by_holder(lease, runs, facts.aliases):
            hits += _breach_of(lease, facts, policy)
    return hits


def _collisions(facts: HeadFacts, policy: Policy) -> list[RuleHit]:
    leases = sorted(facts.leases, key=lambda one: one.lease_id)
    colliding = {
        name
        for one, other in combinations(leases, 2)
        if stood_together(one, other)
        and overlaps(_claim_of(one, facts.place.branch), _claim_of(other, facts.place.branch))
        for name in (one.lease_id, other.lease_id)
    }
    if not colliding:
        return []
    inputs = (("leases", ", ".join(sorted(colliding))),)
    return [hit("drift.two_leases", policy, inputs=inputs)]


def _claim_of(lease: LeaseFact, branch: str) -> LeaseClaim:
    if lease.scope == REPO_WIDE:
        return LeaseClaim(REPO_WIDE)
    return LeaseClaim(lease.scope, branch, lease.paths)


def _is_recorded_by_holder(lease: LeaseFact, runs: Sequence[RunFact], aliases: Aliases) -> bool:
    """Return whether every run that covers the change, and there is one, was the holder's.

    A run that names the lease, or that the lease names, is the holder's only by its actor: anybody
    can write an id down.
    """
    return bool(runs) and all(is_among(run.actor, lease_holders(lease), aliases) for run in runs)


def _breach_of(lease: LeaseFact, facts: HeadFacts, policy: Policy) -> list[RuleHit]:
    pushers = pushers_of(pushes_under(lease, facts))
    holders = lease_holders(lease)
    strangers = [name for name in pushers if not is_among(name, holders, facts.aliases)]
    if not strangers:
        return []
    about = [("holder", lease.user_id), ("lease", lease.lease_id)]
    if lease.scope == PATH_PREFIX:
        inside = _paths_inside(lease, facts)
        if inside is None:
            return [hit("drift.paths_unknown", policy, inputs=(("lease", lease.lease_id),))]
        if not inside:
            return []
        about.append(("paths", inside))
    named = [name for name in strangers if name]
    # Of several pushes nobody can tell which touched the paths: it may have been the holder's.
    is_holders_too = lease.scope == PATH_PREFIX and len(strangers) < len(pushers)
    if not named or is_holders_too:
        among = (("among", ", ".join(named)),) if named else ()
        return [hit("drift.pusher_unknown_under_lease", policy, inputs=(*among, *about))]
    inputs = (("pusher", ", ".join(named)), *about)
    return [hit("drift.not_lease_holder", policy, inputs=inputs)]


def _paths_inside(lease: LeaseFact, facts: HeadFacts) -> str | None:
    """Return which paths of the lease the change touches, as text; None when it cannot be told."""
    if facts.observed_head is None:
        return shown(lease.paths)
    changed = facts.changed
    touched = [path for path in changed.paths if any(covers(one, path) for one in lease.paths)]
    if touched:
        return shown(touched)
    # The first head of a branch has nothing to be compared with.
    is_known = changed.known and not changed.truncated and facts.governed_head is not None
    return "" if is_known else None


def shown(paths: Sequence[str]) -> str:
    """Return up to five paths, and how many more there are."""
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return ", ".join(sorted(paths)[:5]) + more
