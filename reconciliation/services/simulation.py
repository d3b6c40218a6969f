"""Simulates a draft policy over stored evaluations: what it would have decided otherwise.

Nothing is stored, queued or raised. Evaluations stream by, the newest first, so that a bound on
their number leaves out the oldest.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from governance.domain.policy import Policy
from governance.selectors.policy_reach import repositories_below
from governance.services.policies import load_policies_with
from governance.services.policy_planning import Plan
from reconciliation.domain.codec import decode
from reconciliation.domain.facts import Place
from reconciliation.domain.simulation import (
    Outcome,
    Rules,
    Stated,
    classified_under,
    outcome_of,
    stored_outcome,
)
from reconciliation.domain.simulation_tally import Differences, Tally, Witness
from reconciliation.evaluators import EVALUATORS
from reconciliation.selectors.evaluations import (
    StoredEvaluation,
    evaluations_below,
    evaluations_by_id,
    streaming,
)
from reconciliation.services.apply.findings import CHECKS

MOST_FINDINGS = 50_000
MOST_EXAMPLES = 24
_NO_FINDINGS = '"findings":[]'
# How a canonical decision without findings says so; inside a text its quotes would be escaped.
_SILENT = Outcome("")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


class Against(StrEnum):
    """What a draft is compared with."""

    STORED = "stored"
    """The decisions as they were made, under the policies of their time."""
    IN_FORCE = "in_force"
    """What the policies in force now decide on the same facts."""


class BadFacts(Exception):
    """Stored facts, or a stored decision, are not what the code of today reads."""


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


@dataclass(slots=True)
class Gaps:
    """What cannot be known, in evaluations.

    `unreadable`: stored by code too old to be read. `without_paths`: the draft asks for changed
    paths that were not read. `without_merges`: the draft calls a branch idle of which nobody had
    looked whether it was merged.
    """

    unreadable: int = 0
    without_paths: int = 0
    without_merges: int = 0


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
    judge, tally, gaps = _Judge(plan, against), Tally(), Gaps()
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
    )


class _Judge:
    """Knows what was decided, and decides again, under the draft and under what is in force."""

    def __init__(self, plan: Plan, against: Against) -> None:
        self._against = against
        self._in_force, self._draft = load_policies_with(plan.layer, repositories_below(plan.place))

    def outcomes(self, row: StoredEvaluation, gaps: Gaps) -> tuple[Outcome, Outcome | None]:
        """Return the outcomes without and with the draft; None: the same policy, the same outcome.

        Raises:
            BadFacts: the row cannot be read.
        """
        draft = self._draft.for_branch(row.repository_id, row.branch)
        base = None
        if self._against is Against.IN_FORCE:
            base = self._in_force.for_branch(row.repository_id, row.branch)
        is_same = draft.digest == (base.digest if base else row.policy_digest)
        is_as_stored = base is None or base.digest == row.policy_digest
        if is_same and is_as_stored and _NO_FINDINGS in row.decision:
            return _SILENT, None
        facts = _facts_of(row)
        before = _stored(row, facts) if is_as_stored or base is None else _decided(row, facts, base)
        if is_same:
            return before, None
        after = _decided(row, facts, draft)
        _note_gaps(facts, before, after, gaps)
        return before, after


def _facts_of(row: StoredEvaluation) -> Any:
    try:
        return decode(EVALUATORS[row.task_kind][0], json.loads(row.facts))
    except _MALFORMED as error:
        raise BadFacts(f"evaluation {row.id}: {error}") from error


def _stored(row: StoredEvaluation, facts: Any) -> Outcome:
    try:
        return stored_outcome(row.decision, place=facts.place, check=row.task_kind)
    except _MALFORMED as error:
        raise BadFacts(f"evaluation {row.id}: {error}") from error


def _decided(row: StoredEvaluation, facts: Any, policy: Policy) -> Outcome:
    _, evaluate = EVALUATORS[row.task_kind]
    decision = evaluate(classified_under(facts, policy), policy, row.evaluated_at)
    return outcome_of(decision, place=facts.place, check=row.task_kind)


def _note_gaps(facts: Any, before: Outcome, after: Outcome, gaps: Gaps) -> None:
    new = _rules(after) - _rules(before)
    gaps.without_paths += "drift.paths_unknown" in new
    gaps.without_merges += bool(new & {"stale.idle_unmerged", "stale.notice"}) and (
        not facts.merged_by
    )


def _examples(witnesses: Sequence[Witness], judge: _Judge) -> tuple[Example, ...]:
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
                place=_facts_of(row).place,
                check=key.check,
                stable_class=key.stable_class,
                before=before.decision,
                after=after.decision,
                was=before.stated(key),
                would_be=after.stated(key),
            )
        )
    return tuple(found)


def _rules(outcome: Outcome) -> set[str]:
    return {rule for one in outcome.findings for rule, _ in one.rules}


def _rules_beside(one: Stated | None, other: Stated | None) -> Rules:
    known = set(other.rules) if other else set()
    return tuple(rule for rule in (one.rules if one else ()) if rule not in known)
