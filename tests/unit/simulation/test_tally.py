"""How differences add up: once per finding, whatever the number of evaluations."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciliation.domain.simulation import FindingKey, Outcome, Stated
from reconciliation.domain.simulation_tally import (
    CHANGES,
    DecisionChange,
    Differences,
    Group,
    Tally,
    Witness,
)

KEY = FindingKey("acme", "api", "topic", "head_drift", "rewritten")
QUIET = Outcome("in_sync")
MOST = 100


def stated(key: FindingKey = KEY, severity: str = "low", *, alerting: bool = False) -> Stated:
    return Stated(key, severity, alerting, (("drift.rewrite_other", 20),), "topic was rewritten")


def drift(*findings: Stated) -> Outcome:
    return Outcome("drift", findings)


def differences(*pairs: tuple[Outcome, Outcome | None]) -> Differences:
    """Tally evaluations 1, 2, … of head drift, the newest first."""
    tally = Tally()
    for number, (before, after) in enumerate(pairs, start=1):
        tally.add(number, check="head_drift", before=before, after=after)
    return tally.differences(most_witnesses=MOST)


def changes(found: Differences) -> dict[str, int]:
    return {change: number for change, number in found.total.items() if number}


LOW, HIGH = drift(stated()), drift(stated(severity="high", alerting=True))
HIGH_QUIET = drift(stated(severity="high"))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(QUIET, QUIET)], {}),
        ([(LOW, LOW)], {}),
        ([(LOW, None)], {}),
        ([(QUIET, LOW)], {"finding_gained": 1}),
        ([(LOW, QUIET)], {"finding_lost": 1}),
        ([(QUIET, HIGH)], {"finding_gained": 1, "alert_gained": 1}),
        ([(HIGH, QUIET)], {"finding_lost": 1, "alert_lost": 1}),
        ([(LOW, HIGH)], {"alert_gained": 1, "severity_changed": 1}),
        ([(HIGH, LOW)], {"alert_lost": 1, "severity_changed": 1}),
        ([(HIGH, HIGH_QUIET)], {"alert_lost": 1}),
        # Stated sooner or later under both: neither gained nor lost.
        ([(QUIET, LOW), (LOW, QUIET)], {}),
        ([(QUIET, LOW), (LOW, None)], {}),
        ([(QUIET, LOW)] * 5, {"finding_gained": 1}),
        # The newest evaluation that states it under both says which severity it has.
        ([(LOW, HIGH_QUIET), (LOW, LOW)], {"severity_changed": 1}),
        ([(LOW, LOW), (LOW, HIGH_QUIET)], {}),
        # An alert was raised at some time under both.
        ([(LOW, HIGH), (HIGH, LOW)], {"severity_changed": 1}),
    ],
)
def test_what_counts_is_whether_it_was_ever_stated(pairs: Any, expected: dict[str, int]) -> None:
    assert changes(differences(*pairs)) == expected


def test_evaluations_that_come_out_otherwise_are_counted_by_their_decisions() -> None:
    found = differences((QUIET, LOW), (QUIET, LOW), (LOW, HIGH), (LOW, None), (QUIET, QUIET))

    assert (found.evaluations, found.differing) == (5, 3)
    assert found.decisions == (
        DecisionChange("head_drift", "in_sync", "drift", 2),
        DecisionChange("head_drift", "drift", "drift", 1),
    )


def test_changes_are_told_by_repository_and_by_kind_the_most_changed_first() -> None:
    web = KEY._replace(repo="web")
    found = differences(
        (QUIET, drift(stated())),
        (QUIET, drift(stated(web, "high", alerting=True))),
        (drift(stated(web._replace(stable_class="deleted"))), QUIET),
    )

    told = [
        (place, {k: n for k, n in counts.items() if n}) for place, counts in found.by_repository
    ]
    assert told == [
        (("acme", "web"), {"finding_gained": 1, "finding_lost": 1, "alert_gained": 1}),
        (("acme", "api"), {"finding_gained": 1}),
    ]
    assert [group for group, _ in found.by_group] == [
        Group("head_drift", "rewritten", "high"),
        Group("head_drift", "deleted", "low"),
        Group("head_drift", "rewritten", "low"),
    ]


def test_a_change_is_witnessed_by_the_newest_evaluation_that_shows_it() -> None:
    found = differences((QUIET, QUIET), (QUIET, LOW), (QUIET, LOW))

    assert found.witnesses == (Witness("finding_gained", KEY, 2),)


def test_witnesses_are_spread_over_kinds_alerts_first_before_any_gets_a_second_one() -> None:
    many = [(QUIET, drift(stated(KEY._replace(branch=f"b{n}")))) for n in range(9)]
    tally = Tally()
    for number, (before, after) in enumerate([*many, (HIGH, QUIET)], start=1):
        tally.add(number, check="head_drift", before=before, after=after)

    witnesses = tally.differences(most_witnesses=4).witnesses

    assert [(one.change, one.key.branch) for one in witnesses] == [
        ("alert_lost", "topic"),
        ("finding_gained", "b0"),
        ("finding_lost", "topic"),
        ("finding_gained", "b1"),
    ]


KEYS = st.sampled_from([KEY, KEY._replace(branch="main"), KEY._replace(repo="web")])
FINDINGS = st.builds(stated, KEYS, st.sampled_from(["low", "high"]), alerting=st.booleans())
OUTCOMES = st.lists(FINDINGS, max_size=2, unique_by=lambda one: one.key).map(
    lambda found: Outcome("drift" if found else "in_sync", tuple(found))
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy
@given(st.lists(st.tuples(OUTCOMES, OUTCOMES), max_size=8))
def test_findings_and_alerts_come_out_as_plain_sets_say(
    pairs: list[tuple[Outcome, Outcome]],
) -> None:
    def keys(place: int, *, alerting: bool) -> set[FindingKey]:
        return {
            one.key
            for pair in pairs
            for one in pair[place].findings
            if one.alerting or not alerting
        }

    found = differences(*pairs)

    expected = {
        "finding_gained": keys(1, alerting=False) - keys(0, alerting=False),
        "finding_lost": keys(0, alerting=False) - keys(1, alerting=False),
        "alert_gained": keys(1, alerting=True) - keys(0, alerting=True),
        "alert_lost": keys(0, alerting=True) - keys(1, alerting=True),
    }
    for change, which in expected.items():
        witnessed = {one.key for one in found.witnesses if one.change == change}
        assert (found.total[change], witnessed) == (len(which), which)
    for counts in (found.by_repository, found.by_group):
        total: Counter[str] = Counter()
        for _, numbers in counts:
            total.update(numbers)
        assert {change: total[change] for change in CHANGES} == found.total
