"""What is done about alerts: every state of one against everything that can happen to it."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.domain.policy import Policy
from reconciliation.domain.facts import AlertFact, AlertFacts, FindingFact
from reconciliation.domain.findings import AlertAct, Decision
from reconciliation.evaluators.divergence_alert import evaluate_divergence_alert, state_digest
from tests.unit.evaluators.facts import (
    DEFAULTS,
    INSTANT,
    NOON,
    A,
    B,
    C,
    alert_facts,
    finding_fact,
    policy,
    seconds,
)
from tests.unit.evaluators.strategies import PATIENT, divergence_alert_facts, policies

FINDING = finding_fact()
QUIET = finding_fact(severity="medium", alerting=False)
RESOLVED = finding_fact(state="resolved")
NOW_DIGEST = state_digest(alert_facts(), FINDING)
LADDER = (("maintainer", 900), ("security-reviewer", 3600), ("release-manager", 14400))


def decide(facts: AlertFacts, rules: Policy = DEFAULTS) -> Decision:
    return evaluate_divergence_alert(facts, rules, NOON)


def acts(facts: AlertFacts, rules: Policy = DEFAULTS) -> list[str]:
    return [act.act for act in decide(facts, rules).alert_acts]


def alert(state: str = "open", **values: Any) -> AlertFact:
    """Return an alert that opened at NOON, up to date, whose first escalation is in 15 minutes."""
    known: dict[str, Any] = {
        "fingerprint": FINDING.fingerprint,
        "severity": "critical",
        "state_digest": NOW_DIGEST,
        "acknowledged_state_digest": NOW_DIGEST if state == "acknowledged" else "",
        "acknowledge_expires_at": NOON + timedelta(days=1) if state == "acknowledged" else None,
        "snoozed_until": NOON + timedelta(days=1) if state == "snoozed" else None,
        "snoozed_state_digest": NOW_DIGEST if state == "snoozed" else "",
        "opened_at": NOON,
        "escalation_step": 0,
        "next_escalation_at": NOON + seconds(900),
        "ladder": LADDER,
    }
    return AlertFact(state=state, **(known | values))


# --- every state, every event ---------------------------------------------------------------------

STATES: dict[str, AlertFact | None] = {
    "none": None,
    "open": alert("open"),
    "acknowledged": alert("acknowledged"),
    "snoozed": alert("snoozed"),
    "resolved": alert("resolved", next_escalation_at=None),
}
EVENTS: dict[str, tuple[FindingFact, str | None]] = {
    "nothing new": (FINDING, B),
    "the head moved": (FINDING, C),
    "another rule hit": (finding_fact(rule_ids=("drift.direct_push",)), B),
    "it got less severe": (finding_fact(severity="high"), B),
    "it got harmless": (QUIET, B),
    "its finding was resolved": (RESOLVED, B),
    "resolved and harmless": (finding_fact(state="resolved", alerting=False), B),
}
TABLE: dict[str, dict[str, list[str]]] = {
    "none": {
        "nothing new": ["open"],
        "the head moved": ["open"],
        "another rule hit": ["open"],
        "it got less severe": ["open"],
        "it got harmless": [],
        "its finding was resolved": [],
        "resolved and harmless": [],
    },
    "open": {
        "nothing new": [],
        "the head moved": ["update"],
        "another rule hit": ["update"],
        "it got less severe": ["update"],
        "it got harmless": ["update"],
        "its finding was resolved": ["resolve"],
        "resolved and harmless": ["resolve"],
    },
    "acknowledged": {
        "nothing new": [],
        "the head moved": ["update", "void_acknowledgement"],
        "another rule hit": ["update", "void_acknowledgement"],
        "it got less severe": ["update"],
        "it got harmless": ["update"],
        "its finding was resolved": ["resolve"],
        "resolved and harmless": ["resolve"],
    },
    "snoozed": {
        "nothing new": [],
        "the head moved": ["update", "void_snooze"],
        "another rule hit": ["update", "void_snooze"],
        "it got less severe": ["update"],
        "it got harmless": ["update"],
        "its finding was resolved": ["resolve"],
        "resolved and harmless": ["resolve"],
    },
    "resolved": {
        "nothing new": ["reopen"],
        "the head moved": ["reopen"],
        "another rule hit": ["reopen"],
        "it got less severe": ["reopen"],
        "it got harmless": [],
        "its finding was resolved": [],
        "resolved and harmless": [],
    },
}


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [(state, event, acts) for state, row in TABLE.items() for event, acts in row.items()],
)
def test_every_state_meets_every_event(state: str, event: str, expected: list[str]) -> None:
    finding, observed = EVENTS[event]

    assert acts(alert_facts(finding, STATES[state], observed_head=observed)) == expected


def test_the_table_leaves_nothing_out() -> None:
    assert TABLE.keys() == STATES.keys()
    assert all(row.keys() == EVENTS.keys() for row in TABLE.values())


# --- opening --------------------------------------------------------------------------------------


def test_an_alert_opens_with_its_severity_its_state_and_its_first_escalation() -> None:
    assert decide(alert_facts()) == Decision(
        "open",
        "alerting",
        clean=True,
        alert_acts=(
            AlertAct(
                "open",
                FINDING.fingerprint,
                "critical",
                NOW_DIGEST,
                next_escalation_at=NOON + seconds(900),
            ),
        ),
    )


def test_without_a_ladder_nothing_is_escalated() -> None:
    (act,) = decide(alert_facts(), policy(alerts={"escalation": []})).alert_acts

    assert (act.act, act.next_escalation_at) == ("open", None)


def test_long_after_it_was_resolved_it_reopens_as_it_opens() -> None:
    (act,) = decide(alert_facts(FINDING, STATES["resolved"])).alert_acts

    assert act == AlertAct(
        "reopen",
        FINDING.fingerprint,
        "critical",
        NOW_DIGEST,
        next_escalation_at=NOON + seconds(900),
        reopenings=(NOON,),
    )


def test_every_finding_has_an_alert_of_its_own_in_the_order_of_fingerprints() -> None:
    findings = tuple(finding_fact(fingerprint=letter * 64) for letter in "cab")

    decision = decide(alert_facts(findings=findings))

    assert [act.fingerprint[0] for act in decision.alert_acts] == ["a", "b", "c"]
    assert decision.decision == "open"


def test_many_kinds_of_acts_have_one_short_name() -> None:
    letters = "abcde"
    findings = tuple(
        finding_fact(
            fingerprint=letter * 64,
            state="resolved" if letter == "d" else "open",
            alerting=letter != "e",
        )
        for letter in letters
    )
    acknowledged = alert("acknowledged", acknowledge_expires_at=NOON)
    alerts = (
        replace(acknowledged, fingerprint="b" * 64),
        alert("snoozed", snoozed_until=NOON, fingerprint="c" * 64),
        alert("open", fingerprint="d" * 64),
    )

    decision = decide(alert_facts(findings=findings, alerts=alerts))

    assert [act.act for act in decision.alert_acts] == [
        "open",
        "expire_acknowledgement",
        "end_snooze",
        "resolve",
    ]
    assert decision.decision == "several_acts"
    assert len(decision.decision) <= 40


# --- the state that an acknowledgement is bound to ------------------------------------------------


ANSWERS = [("acknowledged", "void_acknowledgement"), ("snoozed", "void_snooze")]


@pytest.mark.parametrize(("state", "void"), ANSWERS)
@pytest.mark.parametrize(
    "change",
    [
        {"governed_head": C},
        {"governed_head": None},
        {"observed_head": C},
        {"observed_head": None},
        {"governed_head": B, "observed_head": A},
    ],
)
def test_a_head_that_moves_voids_the_answer(change: dict[str, Any], state: str, void: str) -> None:
    assert acts(alert_facts(FINDING, alert(state), **change)) == ["update", void]


@pytest.mark.parametrize(("state", "void"), ANSWERS)
def test_a_voided_answer_opens_the_alert_and_says_why(state: str, void: str) -> None:
    facts = alert_facts(FINDING, alert(state), observed_head=C)

    update, opened = decide(facts).alert_acts

    assert update.state_digest == state_digest(facts, FINDING)
    assert opened == AlertAct(
        void,
        FINDING.fingerprint,
        next_escalation_at=NOON + seconds(900),
        reason="the state that it was given for has moved",
    )


@pytest.mark.parametrize(("state", "void"), ANSWERS)
def test_a_head_that_moved_and_came_back_voids_the_answer_too(state: str, void: str) -> None:
    answered = alert(state, answered_moves=4)

    assert acts(alert_facts(FINDING, answered, head_changes=4)) == []
    assert acts(alert_facts(FINDING, answered, head_changes=6)) == [void]


@pytest.mark.parametrize(("state", "void"), ANSWERS)
def test_a_finding_that_went_and_returned_voids_the_answer_too(state: str, void: str) -> None:
    answered = alert(state, answered_moves=4)
    returned = finding_fact(reopened_count=1)

    assert acts(alert_facts(returned, answered, head_changes=4)) == ["update", void]


@pytest.mark.parametrize(("state", "void"), ANSWERS)
def test_an_answer_from_before_moves_were_counted_holds_until_the_state_differs(
    state: str, void: str
) -> None:
    facts = alert_facts(FINDING, alert(state), head_changes=6)

    assert acts(facts) == []
    assert acts(replace(facts, observed_head=C)) == ["update", void]


def test_the_order_of_the_rules_is_no_change_of_state() -> None:
    one = finding_fact(rule_ids=("a", "b"))
    other = finding_fact(rule_ids=("b", "a"))

    assert state_digest(alert_facts(one), one) == state_digest(alert_facts(other), other)
    assert state_digest(alert_facts(one), one) != NOW_DIGEST


@pytest.mark.parametrize(
    ("ends_at", "expected"),
    [
        (NOON + INSTANT, []),
        (NOON, ["expire_acknowledgement"]),
        (NOON - INSTANT, ["expire_acknowledgement"]),
    ],
)
def test_an_acknowledgement_runs_out_at_its_very_instant(
    ends_at: datetime, expected: list[str]
) -> None:
    facts = alert_facts(FINDING, alert("acknowledged", acknowledge_expires_at=ends_at))

    assert acts(facts) == expected


@pytest.mark.parametrize(
    ("ends_at", "expected"),
    [(NOON + INSTANT, []), (NOON, ["end_snooze"]), (NOON - INSTANT, ["end_snooze"])],
)
def test_a_snooze_runs_out_at_its_very_instant(ends_at: datetime, expected: list[str]) -> None:
    assert acts(alert_facts(FINDING, alert("snoozed", snoozed_until=ends_at))) == expected


@pytest.mark.parametrize("state", ["acknowledged", "snoozed"])
def test_what_was_answered_is_not_escalated(state: str) -> None:
    facts = alert_facts(FINDING, alert(state, next_escalation_at=NOON - seconds(1)))

    assert acts(facts) == []


# --- escalation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due_at", "expected"),
    [(NOON + INSTANT, []), (NOON, ["escalation_due"]), (NOON - INSTANT, ["escalation_due"])],
)
def test_an_escalation_is_due_at_its_very_instant(due_at: datetime, expected: list[str]) -> None:
    assert acts(alert_facts(FINDING, alert(next_escalation_at=due_at))) == expected


@pytest.mark.parametrize(
    ("step", "role", "next_after"),
    [
        (0, "maintainer", seconds(3600 - 900)),
        (1, "security-reviewer", seconds(14400 - 3600)),
        (2, "release-manager", None),
    ],
)
def test_the_ladder_is_climbed_step_by_step(
    step: int, role: str, next_after: timedelta | None
) -> None:
    facts = alert_facts(FINDING, alert(escalation_step=step, next_escalation_at=NOON))

    assert decide(facts).alert_acts == (
        AlertAct(
            "escalation_due",
            FINDING.fingerprint,
            role=role,
            step=step + 1,
            next_escalation_at=None if next_after is None else NOON + next_after,
            reason=f"unresolved: step {step + 1} of 3 is due",
            due_at=NOON,
        ),
    )


def test_a_late_worker_does_not_shift_the_ladder() -> None:
    due_at = NOON - seconds(40)

    (act,) = decide(alert_facts(FINDING, alert(next_escalation_at=due_at))).alert_acts

    assert act.next_escalation_at == due_at + seconds(2700)


def test_after_an_acknowledgement_ran_out_the_ladder_is_not_climbed_all_at_once() -> None:
    """An alert that opened a day ago: its old moments of escalation are long past."""
    yesterday = NOON - timedelta(days=1)
    acknowledged = alert("acknowledged", opened_at=yesterday, acknowledge_expires_at=NOON)

    (again,) = decide(alert_facts(FINDING, acknowledged)).alert_acts
    assert again.next_escalation_at == NOON + seconds(900)

    speaking = alert(opened_at=yesterday, next_escalation_at=NOON)
    (first,) = decide(alert_facts(FINDING, speaking)).alert_acts
    assert first.next_escalation_at == NOON + seconds(2700)


def test_it_goes_on_where_it_was_on_the_ladder() -> None:
    acknowledged = alert("acknowledged", escalation_step=2, acknowledge_expires_at=NOON)

    (again,) = decide(alert_facts(FINDING, acknowledged)).alert_acts

    assert (again.step, again.next_escalation_at) == (2, NOON + seconds(14400))


@pytest.mark.parametrize("state", ["acknowledged", "snoozed"])
def test_at_the_top_of_the_ladder_it_speaks_again_without_a_next_step(state: str) -> None:
    over = alert(state, escalation_step=3, acknowledge_expires_at=NOON, snoozed_until=NOON)

    (again,) = decide(alert_facts(FINDING, over)).alert_acts

    assert again.next_escalation_at is None


@pytest.mark.parametrize("ladder", [LADDER, ()])
def test_beyond_the_ladder_there_is_nobody_to_escalate_to(
    ladder: tuple[tuple[str, int], ...],
) -> None:
    above = alert(escalation_step=3, next_escalation_at=NOON, ladder=ladder)

    assert acts(alert_facts(FINDING, above)) == []


def test_what_is_no_longer_of_high_risk_stays_open_but_is_not_escalated() -> None:
    due = alert(next_escalation_at=NOON, severity="medium")

    assert acts(alert_facts(QUIET, due)) == []
    assert acts(alert_facts(finding_fact(severity="medium"), due)) == ["escalation_due"]


def test_an_update_and_an_escalation_may_come_together() -> None:
    facts = alert_facts(FINDING, alert(next_escalation_at=NOON), observed_head=C)

    decision = decide(facts)

    assert [act.act for act in decision.alert_acts] == ["update", "escalation_due"]
    assert decision.decision == "escalation_due+update"


# --- flapping -------------------------------------------------------------------------------------

MINUTE = timedelta(minutes=1)
THRICE = (NOON - 50 * MINUTE, NOON - 40 * MINUTE, NOON - 20 * MINUTE)


def returning(**values: Any) -> AlertFact:
    """Return an alert that was resolved a minute ago, on step 1 of its ladder."""
    known = {"resolved_at": NOON - MINUTE, "escalation_step": 1, "next_escalation_at": NOON}
    return alert("resolved", **(known | values))


def reopening(was: AlertFact) -> AlertAct:
    (act,) = decide(alert_facts(FINDING, was)).alert_acts
    assert act.act == "reopen"
    return act


@pytest.mark.parametrize(
    ("next_at", "expected"),
    [
        (NOON + 5 * MINUTE, NOON + 5 * MINUTE),
        (NOON, NOON),
        (NOON - 5 * MINUTE, NOON),
        (None, NOON + seconds(3600)),
    ],
)
def test_an_alert_that_returns_soon_gains_no_time_on_its_ladder(
    next_at: datetime | None, expected: datetime
) -> None:
    act = reopening(returning(next_escalation_at=next_at))

    assert (act.continues_ladder, act.step, act.next_escalation_at) == (True, 1, expected)


@pytest.mark.parametrize(
    ("ago", "goes_on"),
    [
        (timedelta(hours=24) - INSTANT, True),
        (timedelta(hours=24), True),
        (timedelta(hours=24) + INSTANT, False),
    ],
)
def test_after_a_day_the_ladder_begins_anew(ago: timedelta, goes_on: bool) -> None:
    act = reopening(returning(resolved_at=NOON - ago))

    assert (act.continues_ladder, act.step) == (goes_on, 1 if goes_on else 0)


def test_a_ladder_that_was_climbed_to_its_end_begins_anew() -> None:
    act = reopening(returning(escalation_step=3, next_escalation_at=None))

    assert (act.continues_ladder, act.step) == (False, 0)
    assert act.next_escalation_at == NOON + seconds(900)


@pytest.mark.parametrize(
    ("lately", "flapping"),
    [
        (THRICE, True),
        (THRICE[1:], False),
        ((NOON - timedelta(hours=1) + INSTANT, *THRICE[1:]), True),
        ((NOON - timedelta(hours=1), *THRICE[1:]), False),
    ],
)
def test_the_fourth_reopening_within_an_hour_is_flapping(
    lately: tuple[datetime, ...], flapping: bool
) -> None:
    act = reopening(returning(reopenings=lately))

    assert act.flapping_until == (NOON + timedelta(hours=1) if flapping else None)
    assert act.reason.startswith("flapping") is flapping
    assert act.reopenings[-1] == NOON


@pytest.mark.parametrize("state", ["open", "acknowledged", "snoozed"])
@pytest.mark.parametrize(
    ("until", "expected"), [(NOON + INSTANT, []), (NOON, ["resolve"]), (None, ["resolve"])]
)
def test_a_flapping_alert_is_resolved_only_after_a_quiet_hour(
    until: datetime | None, expected: list[str], state: str
) -> None:
    held = alert(state, flapping_until=until)

    assert acts(alert_facts(RESOLVED, held)) == expected


def test_each_return_of_a_flapping_alert_begins_the_quiet_hour_anew_without_a_reopening() -> None:
    held = alert(flapping_until=NOON + MINUTE, reopenings=(*THRICE, NOON - 10 * MINUTE))

    (act,) = decide(alert_facts(finding_fact(reopened_count=1), held)).alert_acts

    assert (act.act, act.flapping_until) == ("update", NOON + timedelta(hours=1))
    assert act.reopenings == (*THRICE[1:], NOON - 10 * MINUTE, NOON)


def test_a_flapping_alert_goes_on_climbing_while_its_finding_is_away() -> None:
    held = alert(flapping_until=NOON + MINUTE, next_escalation_at=NOON)

    assert acts(alert_facts(RESOLVED, held)) == ["escalation_due"]


@pytest.mark.parametrize(
    ("state", "ended"), [("acknowledged", "expire_acknowledgement"), ("snoozed", "end_snooze")]
)
def test_an_answer_of_a_flapping_alert_ends_in_time(state: str, ended: str) -> None:
    over = {"acknowledge_expires_at": NOON, "snoozed_until": NOON}
    held = alert(state, flapping_until=NOON + MINUTE, **over)

    assert acts(alert_facts(RESOLVED, held)) == [ended]


class Clockwork:
    """One alert whose decided acts are carried out on values, minute by minute."""

    def __init__(self) -> None:
        self.now = NOON
        self.finding = finding_fact()
        self.alert: AlertFact | None = None
        self.moves = 0
        self.acts: list[tuple[datetime, str]] = []

    def set(self, *, is_there: bool) -> None:
        returns = is_there and self.finding.state == "resolved"
        self.finding = finding_fact(
            state="open" if is_there else "resolved",
            reopened_count=self.finding.reopened_count + returns,
        )

    def answer(self, state: str) -> None:
        if self.alert is None or self.alert.state == "resolved":
            return
        self.alert = replace(
            self.alert,
            state=state,
            acknowledged_state_digest=self.alert.state_digest if state == "acknowledged" else "",
            snoozed_state_digest=self.alert.state_digest if state == "snoozed" else "",
            acknowledge_expires_at=self.now + timedelta(days=30),
            snoozed_until=self.now + timedelta(days=30),
            answered_moves=self.moves + self.finding.reopened_count,
        )

    def check(self) -> None:
        facts = alert_facts(self.finding, self.alert, head_changes=self.moves)
        for act in evaluate_divergence_alert(facts, DEFAULTS, self.now).alert_acts:
            self.acts.append((self.now, act.act))
            self.alert = self._after(act)

    def _after(self, act: AlertAct) -> AlertFact:
        was = self.alert or alert(next_escalation_at=act.next_escalation_at)
        if act.reopenings:
            was = replace(
                was,
                reopenings=act.reopenings,
                flapping_until=act.flapping_until,
                reopened_count=self.finding.reopened_count,
            )
        if act.act == "resolve":
            return replace(was, state="resolved", resolved_at=self.now, flapping_until=None)
        if act.act == "update":
            return replace(was, severity=act.severity, state_digest=act.state_digest)
        return replace(
            was,
            state="open",
            state_digest=act.state_digest or was.state_digest,
            escalation_step=act.step,
            next_escalation_at=act.next_escalation_at,
        )


EVENTS_IN_TIME = st.lists(
    st.tuples(
        st.sampled_from(["there", "gone", "moves", "acknowledged", "snoozed", "waits"]),
        st.integers(0, 20),
        st.booleans(),
    ),
    max_size=60,
)


@PATIENT
@given(EVENTS_IN_TIME)
def test_whatever_comes_and_goes_no_one_is_flooded_and_nothing_falls_silent(
    events: list[tuple[str, int, bool]],
) -> None:
    clock = Clockwork()
    for event, minutes, is_checked in events:
        if event in {"there", "gone"}:
            clock.set(is_there=event == "there")
        elif event == "moves":
            clock.moves += 1
        elif event != "waits":
            clock.answer(event)
        clock.now += minutes * MINUTE
        if not is_checked:
            continue
        clock.check()
        if clock.finding.state == "open":
            now = clock.alert
            assert now is not None
            assert now.state != "resolved"
            if now.state != "open":
                assert now.answered_moves == clock.moves + clock.finding.reopened_count
    moments = [at for at, act in clock.acts if act in {"open", "reopen"}]
    for start in moments:
        in_an_hour = [at for at in moments if start <= at < start + timedelta(hours=1)]
        assert len(in_an_hour) <= 5


@pytest.mark.parametrize("away", [1, 5, 13])
def test_a_branch_that_comes_and_goes_reaches_the_whole_ladder_all_the_same(away: int) -> None:
    """It is there for a minute, then away for some: never long enough for the first step alone."""
    clock = Clockwork()

    for minute in range(6 * 60):
        clock.set(is_there=minute % (away + 1) == 0)
        clock.now = NOON + minute * MINUTE
        clock.check()

    assert [act for _, act in clock.acts].count("escalation_due") >= 3
    assert [act for _, act in clock.acts].count("reopen") <= 12


# --- the whole branch -----------------------------------------------------------------------------


def test_a_branch_without_findings_has_nothing_to_do() -> None:
    assert decide(alert_facts(findings=())) == Decision("nothing_to_do", "quiet", clean=True)


@pytest.mark.parametrize(
    ("finding", "stable_class"), [(FINDING, "alerting"), (QUIET, "quiet"), (RESOLVED, "quiet")]
)
def test_a_branch_is_alerting_while_a_high_risk_is_open(
    finding: FindingFact, stable_class: str
) -> None:
    assert decide(alert_facts(finding)).stable_class == stable_class


@PATIENT
@given(divergence_alert_facts(), policies())
def test_whatever_is_true_alerts_follow_their_findings(facts: AlertFacts, rules: Policy) -> None:
    decision = evaluate_divergence_alert(facts, rules, NOON)

    findings = {one.fingerprint: one for one in facts.findings}
    alerts = {one.fingerprint: one for one in facts.alerts}
    for act in decision.alert_acts:
        finding, known = findings[act.fingerprint], alerts.get(act.fingerprint)
        if act.act in {"open", "reopen", "escalation_due"}:
            assert finding.state == "open"
            assert finding.alerting
        if act.act == "resolve":
            assert finding.state == "resolved"
        assert (known is None) == (act.act == "open")
    opened = {act.fingerprint for act in decision.alert_acts if act.act in {"open", "reopen"}}
    speaking = {one.fingerprint for one in alerts.values() if one.state != "resolved"} | opened
    for finding in facts.findings:
        if finding.state == "open" and finding.alerting:
            assert finding.fingerprint in speaking
