"""Observes what hosts announced of required gates where runs ended; one statement."""

from collections.abc import Collection, Mapping, Sequence

from governance.domain.policy import Policy
from governance.selectors.branch_facts import BranchKey, BranchRow
from governance.selectors.change_facts import gates_by_sha
from governance.selectors.visible import RunRecord
from reconciliation.domain.coverage import steps_between, steps_of_runs
from reconciliation.domain.facts import GateFact
from reconciliation.services.observe.rows import run_fact


def run_gates(
    runs: Mapping[BranchKey, Sequence[RunRecord]],
    rows: Mapping[BranchKey, BranchRow],
    policy_of: Mapping[BranchKey, Policy],
    inside_runs: Mapping[BranchKey, Collection[str]],
) -> dict[BranchKey, tuple[GateFact, ...]]:
    """Return what hosts announced of required gates at the heads of runs that lead to the head.

    `inside_runs` are the runs, by id, between whose base and head a branch's heads lie.
    """
    shas: dict[BranchKey, set[str]] = {}
    for key, some in runs.items():
        head = rows[key].observed_head
        if not policy_of[key].changes.required_gates or head is None:
            continue
        steps = steps_of_runs(run_fact(one) for one in some)
        on_the_way = steps_between(steps, base=rows[key].governed_head, head=head)
        inside = [step for step in steps if step.name in inside_runs.get(key, ())]
        shas[key] = {step.head for step in (*on_the_way, *inside)}
    found = gates_by_sha((key[0], sha) for key, some in shas.items() for sha in some)
    return {
        key: tuple(
            GateFact(gate.context, gate.sha, gate.state)
            for sha in sorted(some)
            for gate in found.get((key[0], sha), ())
            if gate.context in policy_of[key].changes.required_gates
        )
        for key, some in shas.items()
    }
