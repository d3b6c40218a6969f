"""When a lease is renewed, left to run, or ended; and what proves that its holder lives."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from governance.domain.policy import Policy
from reconciliation.domain.facts import LeaseRenewalFacts, RunFact
from reconciliation.domain.findings import Decision
from reconciliation.evaluators.lease_renewal import evaluate_lease_renewal
from tests.unit.evaluators.facts import (
    DEFAULTS,
    INSTANT,
    NOON,
    policy,
    renewal_facts,
    running,
    seconds,
)
from tests.unit.evaluators.strategies import PATIENT, lease_renewal_facts, policies

DEAD = NOON - timedelta(hours=2)


def decide(facts: LeaseRenewalFacts, rules: Policy = DEFAULTS) -> Decision:
    return evaluate_lease_renewal(facts, rules, NOON)


# --- when it is due -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "decision"),
    [
        (seconds(900), "wait"),
        (seconds(300) + INSTANT, "wait"),
        (seconds(300), "renew"),
        (seconds(300) - INSTANT, "renew"),
        (seconds(1), "renew"),
    ],
)
def test_a_lease_is_due_at_exactly_a_third_of_its_ttl(left: timedelta, decision: str) -> None:
    assert decide(renewal_facts(left=left)).decision == decision


@pytest.mark.parametrize(
    ("fraction", "due_at"), [(2, seconds(450)), (3, seconds(300)), (10, seconds(90))]
)
def test_the_fraction_is_the_policys(fraction: int, due_at: timedelta) -> None:
    rules = policy(lease={"renew_at_ttl_fraction": fraction})

    assert decide(renewal_facts(left=due_at), rules).decision == "renew"
    assert decide(renewal_facts(left=due_at + INSTANT), rules).decision == "wait"


def test_a_lease_that_is_almost_due_is_asked_about_again_when_it_is() -> None:
    """A sweep plans it once for its expiry: done too soon, it would never be renewed."""
    assert decide(renewal_facts(left=seconds(450))) == Decision(
        "wait", "held", clean=True, defer_until=NOON + seconds(150), reason="not yet due"
    )


def test_a_lease_that_was_renewed_meanwhile_is_left_to_the_next_sweep() -> None:
    assert decide(renewal_facts(left=seconds(450) + INSTANT)) == Decision(
        "wait", "held", clean=True, reason="renewed meanwhile"
    )


# --- renewal --------------------------------------------------------------------------------------


def test_it_is_renewed_by_a_full_ttl_from_now() -> None:
    assert decide(renewal_facts(left=seconds(100))) == Decision(
        "renew", "held", clean=True, renew_until=NOON + seconds(900), reason="heartbeat"
    )


def test_it_is_never_renewed_beyond_its_life_cap() -> None:
    nearly_capped = renewal_facts(left=seconds(100), max_expires_at=NOON + seconds(400))

    assert decide(nearly_capped).renew_until == NOON + seconds(400)


@pytest.mark.parametrize("cap", [seconds(100), seconds(100) + INSTANT])
def test_at_its_cap_it_runs_to_its_end(cap: timedelta) -> None:
    capped = renewal_facts(left=seconds(100), max_expires_at=NOON + cap)

    decision = decide(capped)

    if cap == seconds(100):
        assert decision == Decision(
            "wait",
            "expiring",
            clean=False,
            defer_until=NOON + seconds(100),
            reason="total-life cap reached",
        )
    else:
        assert decision.renew_until == NOON + cap


def test_a_living_operation_keeps_its_lease_when_the_reconciler_comes_late() -> None:
    overdue = renewal_facts(left=-seconds(3600))

    assert decide(overdue).renew_until == NOON + seconds(900)


def test_it_is_never_renewed_into_the_past() -> None:
    long_over = renewal_facts(left=-timedelta(hours=3), max_expires_at=NOON - seconds(60))

    assert decide(long_over).decision == "expire_at_cap"
    assert decide(replace(long_over, max_expires_at=NOON)).decision == "expire_at_cap"
    just_in_time = replace(long_over, max_expires_at=NOON + INSTANT)
    assert decide(just_in_time).renew_until == NOON + INSTANT


# --- proof of life --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "proof"),
    [
        ({"last_heartbeat_at": NOON - seconds(300) + INSTANT}, "heartbeat"),
        ({"last_heartbeat_at": NOON - seconds(300)}, ""),
        ({"last_heartbeat_at": NOON - seconds(300) - INSTANT}, ""),
        ({"last_heartbeat_at": DEAD}, ""),
        ({"last_heartbeat_at": DEAD, "run_status": "running", "run_last_heartbeat_at": None}, ""),
        ({"last_heartbeat_at": DEAD, "run_status": "running", "run_last_heartbeat_at": DEAD}, ""),
        (
            {
                "last_heartbeat_at": DEAD,
                "run_status": "running",
                "run_last_heartbeat_at": NOON - seconds(300) + INSTANT,
            },
            "running_run",
        ),
        (
            {
                "last_heartbeat_at": DEAD,
                "run_status": "running",
                "run_last_heartbeat_at": NOON - seconds(300),
            },
            "",
        ),
        (
            {
                "last_heartbeat_at": DEAD,
                "run_status": "succeeded",
                "run_last_heartbeat_at": NOON - seconds(1),
            },
            "",
        ),
        ({"run_status": "running", "run_last_heartbeat_at": NOON}, "running_run"),
        ({"run_status": "running", "run_last_heartbeat_at": DEAD}, "heartbeat"),
        # The holder lives, whatever became of the run that the lease was taken for.
        ({"run_status": "succeeded", "run_last_heartbeat_at": DEAD}, "heartbeat"),
        ({"run_status": "failed", "run_last_heartbeat_at": DEAD}, "heartbeat"),
        ({"run_status": "abandoned", "run_last_heartbeat_at": DEAD}, "heartbeat"),
    ],
)
def test_life_is_proved_by_a_heartbeat_or_a_running_run(change: dict[str, Any], proof: str) -> None:
    decision = decide(renewal_facts(left=seconds(100), **change))

    assert (decision.decision, decision.reason) == (
        ("renew", proof) if proof else ("wait", "no proof of life")
    )


@pytest.mark.parametrize(
    ("run", "proof"),
    [
        (running("run-2", heartbeat=NOON - seconds(300) + INSTANT), "running_run"),
        (running("run-2", heartbeat=NOON - seconds(300)), ""),
        (running("run-2", heartbeat=NOON, status="succeeded"), ""),
    ],
)
def test_another_run_of_the_operation_proves_life_as_well_as_the_one_the_lease_names(
    run: RunFact, proof: str
) -> None:
    dead_by_itself = renewal_facts(
        left=seconds(100), last_heartbeat_at=DEAD, run_id="run-1", run_status="failed"
    )

    decision = decide(replace(dead_by_itself, other_runs=(run,)))

    assert (decision.decision, decision.reason) == (
        ("renew", proof) if proof else ("wait", "no proof of life")
    )


def test_how_long_a_heartbeat_proves_life_is_the_policys() -> None:
    heard = renewal_facts(left=seconds(100), last_heartbeat_at=NOON - seconds(60))

    assert decide(heard, policy(lease={"heartbeat_seconds": 60})).decision == "wait"
    assert decide(heard, policy(lease={"heartbeat_seconds": 61})).decision == "renew"


# --- expiry ---------------------------------------------------------------------------------------

LIFELESS = {"last_heartbeat_at": DEAD}


@pytest.mark.parametrize(
    ("left", "decision"),
    [
        (INSTANT, "wait"),
        (timedelta(0), "expire"),
        (-INSTANT, "expire"),
        (-timedelta(days=3), "expire"),
    ],
)
def test_without_life_it_has_expired_at_exactly_its_expiry(left: timedelta, decision: str) -> None:
    assert decide(renewal_facts(left=left, **LIFELESS)).decision == decision


def test_until_then_it_is_left_alone() -> None:
    assert decide(renewal_facts(left=seconds(42), **LIFELESS)) == Decision(
        "wait",
        "expiring",
        clean=False,
        defer_until=NOON + seconds(42),
        reason="no proof of life",
    )


def test_a_lease_that_died_is_a_finding_with_its_holder_and_run() -> None:
    dead = renewal_facts(
        left=timedelta(0),
        run_id="run-7",
        run_status="running",
        run_last_heartbeat_at=DEAD,
        **LIFELESS,
    )

    decision = decide(dead)

    (finding,) = decision.findings
    assert (decision.decision, decision.clean) == ("expire", False)
    assert finding.stable_class == "expired_without_life"
    assert (finding.run_id, finding.lease_id) == ("run-7", "lease-1")
    assert finding.rule_hits[0].inputs == (
        ("lease", "lease-1"),
        ("holder", "alice"),
        ("run", "run-7"),
    )
    assert (finding.severity, finding.alerting) == ("medium", False)
    assert finding.summary == (
        "Lease lease-1 of alice showed no sign of life and expired, and its run run-7 was marked"
        " abandoned."
    )


def test_every_run_that_ends_with_the_lease_is_named_and_only_those() -> None:
    dead = renewal_facts(
        left=timedelta(0),
        run_id="run-7",
        run_status="running",
        run_last_heartbeat_at=DEAD,
        other_runs=(
            running("run-2", heartbeat=DEAD, lease_id="lease-1"),
            running("run-3", heartbeat=DEAD),
        ),
        **LIFELESS,
    )

    (finding,) = decide(dead).findings

    assert finding.summary.endswith("expired, and its runs run-2, run-7 were marked abandoned.")


def test_a_run_that_had_ended_was_not_abandoned() -> None:
    dead = renewal_facts(left=timedelta(0), run_id="run-7", run_status="succeeded", **LIFELESS)

    (finding,) = decide(dead).findings

    assert finding.summary == "Lease lease-1 of alice showed no sign of life and expired."


def test_a_lease_that_reached_its_cap_alive_is_another_finding_and_its_run_goes_on() -> None:
    capped = renewal_facts(
        left=timedelta(0),
        max_expires_at=NOON,
        run_id="run-7",
        run_status="running",
        run_last_heartbeat_at=NOON,
    )

    decision = decide(capped)

    (finding,) = decision.findings
    assert decision.decision == "expire_at_cap"
    assert finding.stable_class == "life_cap_reached"
    assert finding.rule_hits[0].rule == "lease.life_cap_reached"
    assert finding.summary == "Lease lease-1 of alice reached its total-life cap and expired."


def test_without_a_run_no_run_is_named() -> None:
    (finding,) = decide(renewal_facts(left=timedelta(0), **LIFELESS)).findings

    assert finding.run_id is None


@pytest.mark.parametrize("state", ["released", "expired", "broken"])
@pytest.mark.parametrize("left", [seconds(900), seconds(100), -seconds(100)])
def test_a_lease_that_has_ended_is_left_alone(left: timedelta, state: str) -> None:
    assert decide(renewal_facts(left=left, state=state, **LIFELESS)) == Decision(
        "ended", state, clean=True, reason="the lease has already ended"
    )


# --- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (policy(lease={"mode": "off"}), "lease findings are off"),
        (policy({"lease.expired_without_life": {"mode": "off"}}), "the rule is off"),
    ],
)
def test_a_lease_ends_also_where_nobody_wants_to_hear_of_it(rules: Policy, reason: str) -> None:
    assert decide(renewal_facts(left=timedelta(0), **LIFELESS), rules) == Decision(
        "expire", "expired_without_life", clean=True, reason=reason
    )
    assert decide(renewal_facts(left=seconds(1)), rules).decision == "renew"


def test_a_heavy_expiry_may_alert_unless_it_is_only_observed() -> None:
    weight = {"lease.expired_without_life": {"weight": 80}}
    dead = renewal_facts(left=timedelta(0), **LIFELESS)

    assert decide(dead, policy(weight)).findings[0].alerting
    assert not decide(dead, policy(weight, lease={"mode": "observe"})).findings[0].alerting


# --- always ---------------------------------------------------------------------------------------


@PATIENT
@given(lease_renewal_facts(), policies())
def test_whatever_is_true_a_renewal_moves_forward_within_the_cap(
    facts: LeaseRenewalFacts, rules: Policy
) -> None:
    decision = evaluate_lease_renewal(facts, rules, NOON)

    if decision.renew_until is not None:
        assert decision.decision == "renew"
        assert facts.state == "held"
        assert decision.renew_until > max(facts.expires_at, NOON)
        assert decision.renew_until <= facts.max_expires_at
        assert decision.reason in {"heartbeat", "running_run"}
    if decision.decision in {"expire", "expire_at_cap"}:
        assert facts.state == "held"
        assert facts.expires_at <= NOON
    if decision.defer_until is not None:
        assert NOON < decision.defer_until <= facts.expires_at
