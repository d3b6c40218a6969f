"""Facts and decisions survive storage: what is read back equals what was written, for ever."""

from dataclasses import dataclass
from datetime import UTC, timedelta, timezone
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.domain.canonical import canonical_json
from reconciliation.domain.codec import decode, encode, later
from reconciliation.domain.facts import AlertFact, RunFact
from reconciliation.domain.findings import AlertAct, Decision, FindingDraft, RuleHit
from tests.unit.evaluators.facts import NOON, run
from tests.unit.evaluators.strategies import COUNTS, MOMENTS, NAMES, SHAS, TEXT, tuples

INPUTS = tuples(st.tuples(TEXT, NAMES))
HITS = st.builds(RuleHit, rule=TEXT, weight=st.integers(0, 100), inputs=INPUTS)
DRAFTS = st.builds(
    FindingDraft,
    stable_class=TEXT,
    severity=TEXT,
    alerting=st.booleans(),
    rule_hits=tuples(HITS),
    summary=TEXT,
    recommendation=TEXT,
    command=TEXT,
    expected=INPUTS,
    actual=INPUTS,
    run_id=st.none() | TEXT,
    lease_id=st.none() | TEXT,
)
ACTS = st.builds(
    AlertAct,
    act=TEXT,
    fingerprint=SHAS,
    severity=TEXT,
    state_digest=TEXT,
    role=NAMES,
    step=COUNTS,
    next_escalation_at=st.none() | MOMENTS,
    reason=TEXT,
)
DECISIONS = st.builds(
    Decision,
    decision=TEXT,
    stable_class=TEXT,
    clean=st.booleans(),
    findings=tuples(DRAFTS, 2),
    defer_until=st.none() | MOMENTS,
    advance_to=st.none() | SHAS,
    advance_run_ids=tuples(TEXT),
    renew_until=st.none() | MOMENTS,
    reason=TEXT,
    alert_acts=tuples(ACTS, 2),
)


@settings(deadline=None)
@given(DECISIONS)
def test_every_decision_survives_storage(decision: Decision) -> None:
    stored = canonical_json(encode(decision))

    again = decode(Decision, encode(decision))

    assert again == decision
    assert canonical_json(encode(again)) == stored


@pytest.mark.parametrize(
    "zone", [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-9, minutes=-30))]
)
@pytest.mark.parametrize("micro", [0, 1, 999_999])
def test_an_instant_is_stored_in_utc_whatever_zone_it_was_told_in(
    zone: timezone, micro: int
) -> None:
    told = NOON.replace(microsecond=micro)
    fact = run("a", "b", last_heartbeat_at=told.astimezone(zone))

    stored = encode(fact)

    assert stored["last_heartbeat_at"] == f"2026-03-02T12:00:00.{micro:06}Z"
    again = decode(RunFact, stored)
    assert again == fact
    assert again.last_heartbeat_at.tzinfo is UTC


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        encode(run("a", "b", last_heartbeat_at=NOON.replace(tzinfo=None)))


def test_a_ladder_keeps_its_pairs() -> None:
    fact = AlertFact(
        fingerprint="f",
        state="open",
        severity="high",
        state_digest="",
        acknowledged_state_digest="",
        acknowledge_expires_at=None,
        snoozed_until=NOON,
        opened_at=NOON,
        escalation_step=1,
        next_escalation_at=None,
        ladder=(("maintainer", 900), ("release-manager", 3600)),
    )

    assert encode(fact)["ladder"] == [["maintainer", 900], ["release-manager", 3600]]
    assert decode(AlertFact, encode(fact)) == fact


class Colour(StrEnum):
    """For the one kind of value that no fact has yet."""

    RED = "red"


@dataclass(frozen=True, slots=True)
class Painted:
    """A fact with a choice and a default."""

    colour: Colour
    coats: int = 1
    varnish: str = later("none")


def test_a_choice_is_stored_as_its_word() -> None:
    painted = Painted(Colour.RED, 2)

    assert encode(painted) == {"colour": "red", "coats": 2}
    again = decode(Painted, encode(painted))
    assert again == painted
    assert isinstance(again.colour, Colour)


def test_facts_stored_before_a_field_was_added_can_still_be_read() -> None:
    assert decode(Painted, {"colour": "red"}) == Painted(Colour.RED)


def test_a_field_of_a_later_version_changes_no_bytes_that_were_stored_before_it() -> None:
    before = {"colour": "red", "coats": 1}

    assert encode(decode(Painted, before)) == before
    assert encode(Painted(Colour.RED, varnish="matt")) == before | {"varnish": "matt"}
    assert decode(Painted, before | {"varnish": "matt"}) == Painted(Colour.RED, varnish="matt")


def test_facts_with_an_unknown_or_a_missing_field_are_not_guessed_at() -> None:
    with pytest.raises(KeyError):
        decode(Painted, {"colour": "red", "polish": True})
    with pytest.raises(TypeError):
        decode(Painted, {"coats": 1})
    with pytest.raises(ValueError, match="green"):
        decode(Painted, {"colour": "green"})
