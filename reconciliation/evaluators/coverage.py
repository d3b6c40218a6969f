"""Decides whether recorded steps cover a change, and what they lack; reads facts only.

The one definition of "covered": the drift check, the missing run check and the rules about direct
pushes all ask here. A run record counts when it succeeded, passed every required gate, and belongs
to whoever pushed, or to whoever held the lease that stood at the push.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from governance.domain.identities import Aliases
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
    HeadFacts,
    MergeFact,
    Push,
    RunFact,
    UpdateFact,
)
from reconciliation.domain.findings import RuleHit
from reconciliation.domain.risk import hit
from reconciliation.evaluators.attribution import pushes_of
from reconciliation.evaluators.run_conditions import (
    GATES_MISSING,
    PASSED,
    Surroundings,
    gate_states,
    lacking_of,
    lease_lacking,
    only_waits_for_gates,
    owner_lacking,
)

MERGE_DIFFERS = "drift.merge_differs"
MERGE_UNKNOWN = "drift.merge_unknown"
MERGE_UNRECORDED = "drift.merge_unrecorded"


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

    @property
    def advance_by(self) -> str:
        """What the last step of the chain was: `run:<id>`, `pull_request:<number>`, `update:…`."""
        last = self.chain[-1].record
        if isinstance(last, RunFact):
            return f"run:{last.run_id}"
        if isinstance(last, MergeFact):
            return f"pull_request:{last.number}"
        return f"update:{last.source}"

    @property
    def told(self) -> str:
        """How the chain leads there, in words; empty when runs alone do."""
        if all(isinstance(step.record, RunFact) for step in self.chain):
            return ""
        return "; ".join(
            f"{step.name} ({step.record.method})"
            if isinstance(step.record, MergeFact)
            else f"run {step.name}"
            if isinstance(step.record, RunFact)
            else step.name
            for step in self.chain
        )


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
    return {step: _lacking(step, pushes[step], around, policy) for step in steps}


def _lacking(
    step: Step, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> tuple[RuleHit, ...]:
    if isinstance(step.record, RunFact):
        return lacking_of(step.record, pushes, around, policy)
    if isinstance(step.record, MergeFact):
        return lacking_of_merge(step.record, around.aliases, policy)
    return _change_lacking(step.record, policy)


def lacking_of_merge(merge: MergeFact, aliases: Aliases, policy: Policy) -> tuple[RuleHit, ...]:
    """Return what the merge of a pull request lacks to be the merge of recorded work.

    It brings the recorded change and nothing else, runs lead to its head from what the target has,
    and the gates of the target's policy passed at that head, or at the merge itself.
    """
    found = _change_lacking(merge, policy)
    steps = in_order([*steps_of_runs(merge.runs), *_steps_of_updates(merge.updates)])
    around = Surroundings(merge.leases, merge.gates, aliases)
    pushes = pushes_by_step(steps, merge.pushes)
    lacking = {step: _source_lacking(step, pushes[step], around, policy) for step in steps}
    counting = [step for step in steps if not lacking[step]]
    chain = _first_chain(counting, merge) or _first_chain(steps, merge)
    if not chain or merge.from_fork:
        return (*found, hit(MERGE_UNRECORDED, policy, inputs=_about(merge)))
    gates = _gates_at_merge(chain, merge, policy)
    return (*found, *(one for step in chain for one in lacking[step]), *gates)


def _source_lacking(
    step: Step, pushes: Sequence[Push], around: Surroundings, policy: Policy
) -> tuple[RuleHit, ...]:
    """Return what a step of the merged branch lacks, but for gates: those count at its head."""
    if not isinstance(step.record, RunFact):
        return _lacking(step, pushes, around, policy)
    if step.record.has_counted:
        return ()
    found = owner_lacking(step.record, pushes, around, policy)
    return tuple(found + lease_lacking(step.record, pushes, around, policy))


def _first_chain(steps: Sequence[Step], merge: MergeFact) -> tuple[Step, ...]:
    chains = (
        chain_between(steps, base=base, head=merge.source_head) for base in merge.source_bases
    )
    return next((chain for chain in chains if chain), ())


def _gates_at_merge(chain: Sequence[Step], merge: MergeFact, policy: Policy) -> list[RuleHit]:
    required = policy.changes.required_gates
    last = chain[-1].record
    run = last if isinstance(last, RunFact) else None
    states = gate_states(run, merge.gates, sha=merge.source_head, required=required)
    at_merge = gate_states(None, merge.gates, sha=merge.after, required=required)
    lacking = [
        f"{name} {state}"
        for name, state in states.items()
        if state not in PASSED and at_merge[name] not in PASSED
    ]
    if not lacking:
        return []
    inputs = (*_about(merge), ("gates", ", ".join(lacking)), ("head", merge.source_head))
    return [hit(GATES_MISSING, policy, inputs=inputs)]


def _change_lacking(merge: MergeFact | UpdateFact, policy: Policy) -> tuple[RuleHit, ...]:
    if merge.change == "same":
        return ()
    rule = MERGE_DIFFERS if merge.change == "differs" else MERGE_UNKNOWN
    return (hit(rule, policy, inputs=(*_about(merge), ("reason", merge.reason))),)


def _about(merge: MergeFact | UpdateFact) -> tuple[tuple[str, str], ...]:
    return (("merge", merge_name(merge)), ("commit", merge.after))


def merge_name(merge: MergeFact | UpdateFact) -> str:
    """Return what a merge is called: `pull request #7` or `update from main`."""
    if isinstance(merge, MergeFact):
        return f"pull request #{merge.number}"
    return f"update from {merge.source}"


def _steps_of_updates(updates: Iterable[UpdateFact]) -> list[Step]:
    return [Step(merge_name(one), one.before, one.after, one) for one in updates]


def _steps(facts: HeadFacts) -> list[Step]:
    """Return every recorded step that the facts tell of.

    A run between whose base and head both heads lie leads from the one to the other.
    """
    runs = steps_of_runs(facts.runs)
    inside = [
        replace(step, base=facts.governed_head or "", head=facts.observed_head or "")
        for step in runs
        if step.name in facts.inside_runs
    ]
    merges = [Step(merge_name(one), one.before, one.after, one) for one in facts.merges]
    return in_order([*runs, *inside, *merges, *_steps_of_updates(facts.updates)])
