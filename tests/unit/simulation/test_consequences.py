"""What becomes of findings and alerts when a check decides otherwise from now on."""

from dataclasses import replace

import pytest

from reconciliation.domain.consequences import Consequence, consequences_of, counted
from reconciliation.domain.findings import Decision, FindingDraft, RuleHit
from tests.unit.evaluators.facts import place

CLEAN = Decision("in_sync", "in_sync", clean=True)
DRAFT = FindingDraft(
    stable_class="rewritten",
    severity="high",
    alerting=True,
    rule_hits=(RuleHit("drift.rewrite_protected", 95),),
    summary="main was rewritten",
    recommendation="",
    command="",
    expected=(),
    actual=(),
)
FOUND = Decision("drift", "rewritten", clean=False, findings=(DRAFT,))
SILENT = Decision("settle", "rewritten", clean=False)
QUIET = replace(FOUND, findings=(replace(DRAFT, alerting=False),))
WORSE = replace(FOUND, findings=(replace(DRAFT, severity="critical"),))
OTHER = replace(
    FOUND,
    stable_class="deleted",
    findings=(replace(DRAFT, stable_class="deleted", alerting=False),),
)
UNKNOWN = replace(OTHER, stable_class="unknown")


def changes(before: Decision, after: Decision, *, branch: str = "main") -> list[Consequence]:
    return list(consequences_of(before, after, place=place(branch), check="head_drift"))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (FOUND, FOUND, []),
        (CLEAN, FOUND, ["alert_gained rewritten", "finding_gained rewritten"]),
        (CLEAN, QUIET, ["finding_gained rewritten"]),
        (QUIET, FOUND, ["alert_gained rewritten"]),
        (FOUND, CLEAN, ["alert_lost rewritten", "finding_lost rewritten"]),
        (QUIET, CLEAN, ["finding_lost rewritten"]),
        # No policy is evidence: the alert stays open until somebody deals with it.
        (FOUND, QUIET, ["alert_quieted rewritten"]),
        (FOUND, WORSE, ["severity_changed rewritten"]),
        # What a check cannot tell, or does not tell yet, resolves nothing.
        (FOUND, SILENT, []),
        (FOUND, UNKNOWN, ["finding_gained deleted"]),
        # Another class of the same check replaces the one before at once.
        (
            FOUND,
            OTHER,
            ["finding_gained deleted", "alert_lost rewritten", "finding_lost rewritten"],
        ),
    ],
)
def test_what_another_decision_makes_of_a_finding(
    before: Decision, after: Decision, expected: list[str]
) -> None:
    found = [
        f"{change} {one.key.stable_class}"
        for one in changes(before, after)
        for change in one.changes
    ]

    assert found == expected


def test_consequences_are_counted_by_repository_and_told_alerts_and_the_worst_first() -> None:
    found = [
        *changes(CLEAN, QUIET, branch="b"),
        *changes(FOUND, QUIET, branch="c"),
        *changes(CLEAN, FOUND, branch="a"),
        *changes(CLEAN, WORSE, branch="d"),
    ]

    told = counted(found)

    assert told == counted(reversed(found))
    assert [(one.changes, one.key.branch, one.severity_after) for one in told.each] == [
        (("alert_gained", "finding_gained"), "d", "critical"),
        (("alert_gained", "finding_gained"), "a", "high"),
        (("alert_quieted",), "c", "high"),
        (("finding_gained",), "b", "high"),
    ]
    assert told.total == {
        "finding_gained": 3,
        "finding_lost": 0,
        "alert_gained": 2,
        "alert_lost": 0,
        "alert_quieted": 1,
        "severity_changed": 0,
    }
    assert told.by_repository == ((("acme", "api"), told.total),)


def test_nothing_has_no_consequence() -> None:
    told = counted([])

    assert (told.each, told.by_repository, sum(told.total.values())) == ((), (), 0)
