"""Finds the recorded steps that lead from one head to another; pure.

A step is a run record or a merge of recorded work. Whether a step counts is judged in
`reconciliation.evaluators.coverage`; here they are only put one after the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciliation.domain.facts import MergeFact, Push, RunFact, UpdateFact


@dataclass(frozen=True, slots=True)
class Step:
    """One recorded step from `base` to `head`; `name` is the run's id or names the merge."""

    name: str
    base: str
    head: str
    record: RunFact | MergeFact | UpdateFact

    @property
    def order(self) -> tuple[str, str, str]:
        """The key that steps are sorted by: it ties only for steps that are equal."""
        return (self.name, self.base, self.head)


def steps_of_runs(runs: Iterable[RunFact]) -> list[Step]:
    """Return a step for each run that succeeded, in order."""
    return in_order(
        Step(run.run_id, run.base_sha, run.head_sha, run)
        for run in runs
        if run.status == "succeeded" and run.head_sha
    )


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Return the steps by name, base and head."""
    return sorted(steps, key=lambda step: step.order)


def chain_between(steps: Sequence[Step], *, base: str | None, head: str) -> tuple[Step, ...]:
    """Return the steps that lead from `base` to `head`, in order; empty when none do.

    Of several chains the shortest counts, then the one whose names sort first. With no base (a
    branch without a snapshot) any step that ends at `head` leads there.
    Source: domain rules, "run records lead from R to O".
    """
    steps = in_order(steps)
    if base is None:
        return tuple(step for step in steps if step.head == head)[-1:]
    led_by = _led_by(steps, base)
    chain: list[Step] = []
    while head in led_by:
        chain.append(led_by[head])
        head = led_by[head].base
    return tuple(reversed(chain))


def steps_between(steps: Sequence[Step], *, base: str | None, head: str) -> list[Step]:
    """Return every step that lies on some way from `base` to `head`, in order."""
    steps = in_order(steps)
    if base is None:
        return [step for step in steps if step.head == head]
    forward = {base, *_led_by(steps, base)}
    back = {head, *_led_by([Step(s.name, s.head, s.base, s.record) for s in steps], head)}
    return [step for step in steps if step.base in forward and step.head in back]


def covering_runs(runs: Sequence[RunFact], *, base: str | None, head: str) -> tuple[str, ...]:
    """Return the ids of succeeded runs that lead from `base` to `head`, whatever they lack."""
    chain = chain_between(steps_of_runs(runs), base=base, head=head)
    return tuple(step.name for step in chain)


def approved_run(runs: Sequence[RunFact], *, base: str | None) -> RunFact | None:
    """Return the run that last approved a head of the branch; None when none did.

    That is the last run of the chains that start at `base`; without any, a run that ended there.
    With no base it is the last by id of the branch's succeeded runs.
    """
    succeeded = [step.record for step in steps_of_runs(runs) if isinstance(step.record, RunFact)]
    if base is None:
        return succeeded[-1] if succeeded else None
    onward = [
        step.record
        for step in _led_by(steps_of_runs(runs), base).values()
        if isinstance(step.record, RunFact)
    ]
    if onward:
        return onward[-1]
    return next((run for run in reversed(succeeded) if run.head_sha == base), None)


def pushes_by_step(steps: Sequence[Step], pushes: Sequence[Push]) -> dict[Step, tuple[Push, ...]]:
    """Return the pushes, oldest first, that brought what each step made.

    A step reaches from the last push that ended at its base to the last that ended at its head.
    When nobody pushed that very head, it came with the first push that later steps lead to; when
    there is none either, any of the pushes may have brought it.
    """
    last_at = {push.after: place for place, push in enumerate(pushes) if push.after}
    came_with = _came_with(steps, last_at)
    found: dict[Step, tuple[Push, ...]] = {}
    for step in steps:
        end = last_at.get(step.head, came_with.get(step.head, len(pushes) - 1))
        starts = [n for n, push in enumerate(pushes[:end]) if push.after == step.base]
        found[step] = tuple(pushes[(starts[-1] + 1 if starts else 0) : end + 1])
    return found


def _came_with(steps: Sequence[Step], last_at: Mapping[str, int]) -> dict[str, int]:
    """Return, for heads from which steps lead to a pushed one, the place of the first such push."""
    behind: dict[str, list[str]] = defaultdict(list)
    for step in steps:
        behind[step.head].append(step.base)
    found: dict[str, int] = {}
    for head, place in sorted(last_at.items(), key=lambda item: item[1]):
        frontier = [head]
        while frontier:
            for base in behind.get(frontier.pop(), ()):
                if base not in found and base not in last_at:
                    found[base] = place
                    frontier.append(base)
    return found


def _led_by(steps: Sequence[Step], base: str) -> dict[str, Step]:
    """Return every head that chains from `base` reach, nearest first, with the step it came by.

    Indexed by base, so that a branch with thousands of runs costs one look at each of them.
    """
    onward: dict[str, list[Step]] = defaultdict(list)
    for step in steps:
        onward[step.base].append(step)
    found: dict[str, Step] = {}
    frontier = [base]
    while frontier:
        reached = in_order(step for sha in frontier for step in onward.get(sha, ()))
        frontier = []
        for step in reached:
            if step.head != base and step.head not in found:
                found[step.head] = step
                frontier.append(step.head)
    return found
