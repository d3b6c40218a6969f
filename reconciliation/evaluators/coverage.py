"""Decides whether recorded steps cover a change, and what they lack; reads facts only.

The one definition of "covered": the drift check, the missing run check and the rules about direct
pushes all ask here. A run record counts when it succeeded, passed every required gate, and belongs
to whoever pushed, or to whoever held the lease that stood at the push.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.domain.identities import Aliases, is_among, is_same
from governance.domain.lease_scopes import PATH_PREFIX, covers
from governance.domain.policy import Policy
from reconciliation.domain.coverage import (
    Step,
    chain_between,
    in_order,
    pushes_by_step,
    steps_between,
    steps_of_runs,
)
from reconciliation.domain.facts import (
    ChangedPaths,
    GateFact,
    HeadFacts,
    LeaseFact,
    Push,
    RunFact,
)
from reconciliation.domain.findings import RuleHit
from reconciliation.domain.risk import hit
from reconciliation.evaluators.attribution import lease_holders, pushes_of, stood

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


@dataclass(frozen=True, slots=True)
class Coverage:
    """The steps that lead to a head, and what they lack. It covers when they lack nothing."""

    chain: tuple[Step, ...] = ()
    lacking: tuple[RuleHit, ...] = ()
    waits_for_gates: bool = False
    """Whether nothing is lacking but gates that have not come to a result yet."""

    @property
    def is_complete(self) -> bool:
        """Whether the change is covered."""
        return bool(self.chain) and not self.lacking

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs of the chain, in order."""
        return tuple(step.name for step in self.chain if isinstance(step.record, RunFact))


def coverage_of(facts: HeadFacts, policy: Policy) -> Coverage:
    """Return which recorded steps lead from the governed to the observed head, and what they lack.

    A chain whose steps all count is preferred to a shorter one that lacks something: nobody can
    hide a valid record behind one of their own.
    """
    base, head = facts.governed_head, facts.observed_head
    if head is None:
        return Coverage()
    lacking = _lacking_by_step(facts, policy, base=base, head=head)
    counting = [step for step, hits in lacking.items() if not hits]
    chain = chain_between(counting, base=base, head=head)
    if chain:
        return Coverage(chain)
    chain = chain_between(list(lacking), base=base, head=head)
    hits = tuple(one for step in chain for one in lacking[step])
    return Coverage(chain, hits, only_waits_for_gates(hits))


def covers_push(facts: HeadFacts, push: Push, policy: Policy) -> bool:
    """Return whether steps that count lead over what one of the pushes brought."""
    head = push.after or ""
    lacking = _lacking_by_step(facts, policy, base=push.before, head=head)
    counting = [step for step, hits in lacking.items() if not hits]
    return bool(chain_between(counting, base=push.before, head=head))


def _lacking_by_step(
    facts: HeadFacts, policy: Policy, *, base: str | None, head: str
) -> dict[Step, tuple[RuleHit, ...]]:
    """Return every step on some way from `base` to `head`, with what it lacks."""
    steps = steps_between(_steps(facts), base=base, head=head)
    pushes = pushes_by_step(steps, pushes_of(facts))
    around = Surroundings(facts.leases, facts.gates, facts.aliases, facts.changed)
    return {
        step: lacking_of(step.record, pushes[step], around, policy)
        for step in steps
        if isinstance(step.record, RunFact)
    }


def lacking_of(
    run: RunFact, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> tuple[RuleHit, ...]:
    """Return what a run that succeeded lacks to cover what these pushes brought."""
    found = _gates_lacking(run, around.gates, policy)
    found += _owner_lacking(run, pushes, around, policy)
    found += _lease_lacking(run, pushes, around, policy)
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


def _owner_lacking(
    run: RunFact, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> list[RuleHit]:
    unowned = [
        push
        for push in pushes
        if not is_same(run.actor, push.pusher, around.aliases)
        and not is_among(run.actor, _holders_at(push, around), around.aliases)
    ]
    others = sorted({push.pusher for push in unowned if push.pusher})
    about = (("run", run.run_id), ("actor", run.actor))
    if others:
        return [hit(NOT_OF_PUSHER, policy, inputs=(*about, ("pusher", ", ".join(others))))]
    return [hit(OWNER_UNKNOWN, policy, inputs=about)] if unowned else []


def _lease_lacking(
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


def _steps(facts: HeadFacts) -> list[Step]:
    return in_order(steps_of_runs(facts.runs))
