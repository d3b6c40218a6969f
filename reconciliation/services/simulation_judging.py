"""Decides stored evaluations again, under a draft policy and without it; stores nothing."""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from governance.domain.policy import Policy
from governance.selectors.policy_reach import repositories_below
from governance.services.policies import load_policies_with
from governance.services.policy_planning import Plan
from reconciliation.domain.codec import decode
from reconciliation.domain.consequences import Consequence, consequences_of
from reconciliation.domain.facts import Place
from reconciliation.domain.findings import Decision
from reconciliation.domain.simulation import (
    Outcome,
    classified_under,
    outcome_of,
    stored_outcome,
)
from reconciliation.evaluators import EVALUATORS, RULES_VERSIONS
from reconciliation.selectors.evaluations import StoredEvaluation
from reconciliation.selectors.stored_policies import NotThePolicy, StoredPolicies
from reconciliation.services.policy_rollout import CHECKED_AGAIN

_NO_FINDINGS = '"findings":[]'
# How a canonical decision without findings says so; inside a text its quotes would be escaped.
_SILENT = Outcome("")
_MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


class Against(StrEnum):
    """What a draft is compared with."""

    STORED = "stored"
    """The decisions as they were made, under the policies of their time.

    What other rules than today's made is made again under its policy, so that only policies differ.
    """
    IN_FORCE = "in_force"
    """What the policies in force now decide on the same facts."""


class BadFacts(Exception):
    """Stored facts, or a stored decision, are not what the code of today reads."""


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


class Judge:
    """Knows what was decided, and decides again, under the draft and under what is in force."""

    def __init__(self, plan: Plan, against: Against) -> None:
        self._against = against
        self._in_force, self._draft = load_policies_with(plan.layer, repositories_below(plan.place))
        self._of_their_time = StoredPolicies()

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
        facts = facts_of(row)
        before = self._before(row, facts, None if is_as_stored else base)
        if is_same:
            return before, None
        after = _decided(row, facts, draft)
        _note_gaps(facts, before, after, gaps)
        return before, after

    def now(self, row: StoredEvaluation, now: datetime) -> tuple[Place, Decision, Decision] | None:
        """Return what is decided now without and with the draft; None: by the same policy.

        Raises:
            BadFacts: the row cannot be read.
        """
        in_force = self._in_force.for_branch(row.repository_id, row.branch)
        draft = self._draft.for_branch(row.repository_id, row.branch)
        if in_force.digest == draft.digest:
            return None
        facts = facts_of(row)
        place: Place = facts.place
        return (
            place,
            _decision(row.task_kind, facts, in_force, now),
            _decision(row.task_kind, facts, draft, now),
        )

    def _before(self, row: StoredEvaluation, facts: Any, base: Policy | None) -> Outcome:
        if base is not None:
            return _decided(row, facts, base)
        if row.rules_version == RULES_VERSIONS[row.task_kind]:
            return _stored(row, facts)
        try:
            return _decided(row, facts, self._of_their_time.under(row.policy_digest))
        except NotThePolicy as error:
            raise BadFacts(f"evaluation {row.id}: {error}") from error


class State:
    """What the newest evaluation of each check of each branch says about now."""

    def __init__(self, plan: Plan, *, now: datetime) -> None:
        self._now = now
        self._active = set(repositories_below(plan.place, only_active=True))
        self._seen: set[tuple[int, str, str]] = set()
        self.consequences: list[Consequence] = []

    def see(self, row: StoredEvaluation, judge: Judge) -> None:
        """Take in an evaluation, which is older than all before it; see `Judge.now`."""
        key = (row.repository_id, row.branch, row.task_kind)
        if row.task_kind not in CHECKED_AGAIN or key in self._seen:
            return
        self._seen.add(key)
        if row.repository_id not in self._active:
            return
        if (decided := judge.now(row, self._now)) is not None:
            place, before, after = decided
            self.consequences += consequences_of(before, after, place=place, check=row.task_kind)


def facts_of(row: StoredEvaluation) -> Any:
    """Return the facts of an evaluation.

    Raises:
        BadFacts: they cannot be read.
    """
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
    decision = _decision(row.task_kind, facts, policy, row.evaluated_at)
    return outcome_of(decision, place=facts.place, check=row.task_kind)


def _decision(kind: str, facts: Any, policy: Policy, at: datetime) -> Decision:
    _, evaluate = EVALUATORS[kind]
    return evaluate(classified_under(facts, policy), policy, at)


def _note_gaps(facts: Any, before: Outcome, after: Outcome, gaps: Gaps) -> None:
    new = _rules(after) - _rules(before)
    gaps.without_paths += "drift.paths_unknown" in new
    gaps.without_merges += bool(new & {"stale.idle_unmerged", "stale.notice"}) and (
        not facts.merged_by
    )


def _rules(outcome: Outcome) -> set[str]:
    return {rule for one in outcome.findings for rule, _ in one.rules}
