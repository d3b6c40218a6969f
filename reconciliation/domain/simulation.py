"""Says what a decision comes to, and which facts a draft policy would have been given; pure.

Facts are taken as they were stored, but for the classes of branches, which a policy decides. What
a changed decision would have led to, such as a snapshot that advances and other facts from then
on, is not played through.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from governance.domain.branch_classes import stricter_class
from governance.domain.policy import Policy, branch_class_of
from reconciliation.domain.facts import MissingRunFacts, Place
from reconciliation.domain.findings import Decision

Rules = tuple[tuple[str, int], ...]
"""Rules that were hit, with their weights."""


class FindingKey(NamedTuple):
    """What makes a finding the same finding; its fingerprint is made of the same."""

    tenant: str
    repo: str
    branch: str
    check: str
    stable_class: str


@dataclass(frozen=True, slots=True)
class Stated:
    """A finding as one decision states it."""

    key: FindingKey
    severity: str
    alerting: bool
    rules: Rules
    summary: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one evaluation came to."""

    decision: str
    findings: tuple[Stated, ...] = ()

    @property
    def substance(self) -> tuple[Any, ...]:
        """What makes two outcomes the same; not how they are worded."""
        return (
            self.decision,
            [(one.key, one.severity, one.alerting, one.rules) for one in self.findings],
        )

    def stated(self, key: FindingKey) -> Stated | None:
        """Return the finding of that key, if it is stated."""
        return next((one for one in self.findings if one.key == key), None)


def outcome_of(decision: Decision, *, place: Place, check: str) -> Outcome:
    """Return what a decision comes to."""
    return Outcome(
        decision.decision,
        tuple(
            Stated(
                FindingKey(place.tenant, place.repo, place.branch, check, draft.stable_class),
                draft.severity,
                draft.alerting,
                tuple((hit.rule, hit.weight) for hit in draft.rule_hits),
                draft.summary,
            )
            for draft in decision.findings
        ),
    )


def stored_outcome(text: str, *, place: Place, check: str) -> Outcome:
    """Return what a decision comes to that was stored as JSON.

    Raises:
        ValueError, KeyError, TypeError: it is not one.
    """
    value: Mapping[str, Any] = json.loads(text)
    return Outcome(
        value["decision"],
        tuple(
            Stated(
                FindingKey(place.tenant, place.repo, place.branch, check, draft["stable_class"]),
                draft["severity"],
                draft["alerting"],
                tuple((hit["rule"], hit["weight"]) for hit in draft["rule_hits"]),
                draft["summary"],
            )
            for draft in value["findings"]
        ),
    )


def classified_under(facts: Any, policy: Policy) -> Any:
    """Return facts with the branch classes that they would have under `policy`.

    A default branch is one under any policy. A class that a drifting branch keeps from when it was
    last accepted is kept under any policy, too.
    """
    given = getattr(facts, "branch_class", None)
    if given is None:
        return facts
    changes: dict[str, Any] = {}
    named = getattr(facts, "default_branch", "") == facts.place.branch
    found = _class_under(facts.place.branch, "default" if named else given, policy)
    if getattr(facts, "class_now", "") or _is_drifting(facts):
        found = stricter_class(found, given)
    if found != given:
        changes["branch_class"] = found
    if isinstance(facts, MissingRunFacts):
        bases = tuple((base, _class_under(base, kind, policy)) for base, kind in facts.base_classes)
        if bases != facts.base_classes:
            changes["base_classes"] = bases
    return replace(facts, **changes) if changes else facts


def _is_drifting(facts: Any) -> bool:
    """Return whether the head is another than governance accepted, as far as the facts say."""
    governed = getattr(facts, "governed_head", None)
    return governed is not None and governed != facts.observed_head


def _class_under(name: str, given: str, policy: Policy) -> str:
    return branch_class_of(
        name, default_branches={name} if given == "default" else (), policy=policy
    )
