"""Says what a run record lacks to cover what pushes brought; reads facts only.

A run counts when it passed every required gate, and belongs to whoever pushed, or to whoever held
the lease that stood at the push; where the policy asks for one, such a lease must have stood.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.domain.identities import Aliases, is_among, is_same
from governance.domain.lease_scopes import PATH_PREFIX, covers
from governance.domain.policy import Policy
from reconciliation.domain.facts import ChangedPaths, GateFact, LeaseFact, Push, RunFact
from reconciliation.domain.findings import RuleHit
from reconciliation.domain.risk import hit
from reconciliation.evaluators.attribution import lease_holders, stood

PASSED = frozenset({"success", "passed"})
"""The word of hosts, as we normalise it, and the word of run records."""
PENDING = frozenset({"pending", "missing"})
GATES_MISSING = "drift.run_gates_missing"
NOT_OF_PUSHER = "drift.run_not_of_pusher"
OWNER_UNKNOWN = "drift.run_owner_unknown"
WITHOUT_LEASE = "drift.run_without_lease"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run is judged by, besides itself: of the branch that it was made on."""

    leases: tuple[LeaseFact, ...] = ()
    gates: tuple[GateFact, ...] = ()
    """As the host announced them."""
    aliases: Aliases = ()
    changed: ChangedPaths | None = None
    """None: not read; then a lease on paths is no evidence."""


def lacking_of(
    run: RunFact, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> tuple[RuleHit, ...]:
    """Return what a run that succeeded lacks to cover what these pushes brought."""
    found = _gates_lacking(run, around.gates, policy)
    found += owner_lacking(run, pushes, around, policy)
    found += lease_lacking(run, pushes, around, policy)
    return tuple(found)


def gate_states(
    run: RunFact | None, gates: Iterable[GateFact], *, sha: str, required: Iterable[str]
) -> dict[str, str]:
    """Return the state of each required gate at a commit; `missing` where nobody reported it.

    What the host announced counts before what the run says of itself.
    """
    by_host = {gate.context: gate.state for gate in gates if gate.sha == sha}
    by_run = dict(run.gates) if run is not None and run.head_sha == sha else {}
    return {name: by_host.get(name, by_run.get(name, "missing")) for name in sorted(required)}


def _gates_lacking(run: RunFact, gates: Iterable[GateFact], policy: Policy) -> list[RuleHit]:
    states = gate_states(run, gates, sha=run.head_sha, required=policy.changes.required_gates)
    lacking = [f"{name} {state}" for name, state in states.items() if state not in PASSED]
    if not lacking:
        return []
    inputs = (("run", run.run_id), ("gates", ", ".join(lacking)), ("head", run.head_sha))
    return [hit(GATES_MISSING, policy, inputs=inputs)]


def owner_lacking(
    run: RunFact, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> list[RuleHit]:
    """Return a hit when the run is not of everybody who pushed, as far as that is known.

    Without any push that is known, it is not known.
    """
    unowned = [
        push
        for push in pushes
        if not is_same(run.actor, push.pusher, around.aliases)
        and not is_among(run.actor, _holders_at(push, around), around.aliases)
    ]
    others = sorted({push.pusher for push in unowned if push.pusher})
    unowned_or_untold = bool(unowned) or not pushes
    about = (("run", run.run_id), ("actor", run.actor))
    if others:
        return [hit(NOT_OF_PUSHER, policy, inputs=(*about, ("pusher", ", ".join(others))))]
    return [hit(OWNER_UNKNOWN, policy, inputs=about)] if unowned_or_untold else []


def lease_lacking(
    run: RunFact, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> list[RuleHit]:
    """Return a hit when a push was made under no lease of the run's actor or of the pusher."""
    if not policy.runs.require_lease:
        return []
    for push in pushes:
        holders = _holders_at(push, around)
        if not any(is_among(name, holders, around.aliases) for name in (run.actor, push.pusher)):
            inputs = (("run", run.run_id), ("actor", run.actor), ("head", run.head_sha))
            return [hit(WITHOUT_LEASE, policy, inputs=inputs)]
    return []


def _holders_at(push: Push, around: Surroundings) -> set[str]:
    """Return who held, at a push, leases over all that changed."""
    return {
        name
        for lease in around.leases
        if stood(lease, push.at) and _covers_change(lease, around.changed)
        for name in lease_holders(lease)
    }


def _covers_change(lease: LeaseFact, changed: ChangedPaths | None) -> bool:
    if lease.scope != PATH_PREFIX:
        return True
    if changed is None or not changed.known or changed.truncated or not changed.paths:
        return False
    return all(any(covers(one, path) for one in lease.paths) for path in changed.paths)


def only_waits_for_gates(hits: Sequence[RuleHit]) -> bool:
    """Return whether something is lacking, and nothing but gates without a result yet."""
    return bool(hits) and all(
        one.rule == GATES_MISSING
        and all(
            gate.rsplit(" ", 1)[-1] in PENDING for gate in dict(one.inputs)["gates"].split(", ")
        )
        for one in hits
    )
