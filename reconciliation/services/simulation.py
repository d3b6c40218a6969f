"""Simulates a draft policy over stored evaluations: what it would have decided otherwise.

Nothing is stored, queued or raised. Evaluations stream by, the newest first, so that a bound on
their number leaves out the oldest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from governance.services.policy_planning import Plan
from reconciliation.domain.consequences import Consequences, counted
from reconciliation.domain.facts import Place
from reconciliation.domain.simulation import Rules, Stated
from reconciliation.domain.simulation_tally import Differences, Tally, Witness
from reconciliation.selectors.evaluations import (
    evaluations_below,
    evaluations_by_id,
    streaming,
)
from reconciliation.services.apply.findings import CHECKS
from reconciliation.services.simulation_judging import (
    Against,
    BadFacts,
    Gaps,
    Judge,
    State,
    facts_of,
)

MOST_FINDINGS = 50_000
MOST_EXAMPLES = 24


@dataclass(frozen=True, slots=True)
class Example:
    """One difference in full; `was` or `would_be` is None where the finding is not stated."""

    change: str
    evaluation_id: int
    task_id: int
    evaluated_at: datetime
    place: Place
    check: str
    stable_class: str
    before: str
    after: str
    was: Stated | None
    would_be: Stated | None

    @property
    def rules_gained(self) -> Rules:
        """Return the rule hits, with their weights, that only the draft has."""
        return _rules_beside(self.would_be, self.was)

    @property
    def rules_lost(self) -> Rules:
        """Return the rule hits, with their weights, that the draft does not have."""
        return _rules_beside(self.was, self.would_be)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What publishing the plan's document would have changed.

    `is_complete` is False when a bound was reached: nothing before `oldest_at` was looked at then.
    """

    plan: Plan
    against: Against
    since: datetime
    until: datetime
    oldest_at: datetime | None
    is_complete: bool
    differences: Differences
    gaps: Gaps
    examples: tuple[Example, ...]
    if_published: Consequences
    """What publishing now would make of the findings and alerts that hold."""

    @property
    def looked_at(self) -> int:
        """Return how many evaluations were looked at, readable or not."""
        return self.differences.evaluations + self.gaps.unreadable


def simulate(
    plan: Plan,
    *,
    since: datetime,
    until: datetime,
    against: Against,
    most_evaluations: int | None,
) -> Simulation:
    """Return what the plan's document would have decided otherwise from `since` to `until`.

    The draft is merged with the other layers as they are in force now.
    """
    judge, tally, gaps, state = Judge(plan, against), Tally(), Gaps(), State(plan, now=until)
    oldest_at, is_complete, looked_at = None, True, 0
    one_more = None if most_evaluations is None else most_evaluations + 1
    with streaming():
        for row in evaluations_below(
            plan.place, kinds=CHECKS, since=since, until=until, most=one_more
        ):
            if looked_at == most_evaluations or tally.findings >= MOST_FINDINGS:
                is_complete = False
                break
            looked_at, oldest_at = looked_at + 1, row.evaluated_at
            try:
                state.see(row, judge)
                before, after = judge.outcomes(row, gaps)
            except BadFacts:
                gaps.unreadable += 1
            else:
                tally.add(row.id, check=row.task_kind, before=before, after=after)
    differences = tally.differences(most_witnesses=MOST_EXAMPLES)
    return Simulation(
        plan=plan,
        against=against,
        since=since,
        until=until,
        oldest_at=oldest_at,
        is_complete=is_complete,
        differences=differences,
        gaps=gaps,
        examples=_examples(differences.witnesses, judge),
        if_published=counted(state.consequences),
    )


def _examples(witnesses: Sequence[Witness], judge: Judge) -> tuple[Example, ...]:
    """Return the witnesses in full: their evaluations are read and decided once more."""
    rows = evaluations_by_id([one.evaluation_id for one in witnesses])
    found = []
    for witness in witnesses:
        row, key = rows[witness.evaluation_id], witness.key
        before, after = judge.outcomes(row, Gaps())
        after = before if after is None else after
        found.append(
            Example(
                change=witness.change,
                evaluation_id=row.id,
                task_id=row.task_id,
                evaluated_at=row.evaluated_at,
                place=facts_of(row).place,
                check=key.check,
                stable_class=key.stable_class,
                before=before.decision,
                after=after.decision,
                was=before.stated(key),
                would_be=after.stated(key),
            )
        )
    return tuple(found)


def _rules_beside(one: Stated | None, other: Stated | None) -> Rules:
    known = set(other.rules) if other else set()
    return tuple(rule for rule in (one.rules if one else ()) if rule not in known)
