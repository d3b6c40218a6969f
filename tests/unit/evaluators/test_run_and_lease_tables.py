"""Missing runs and leases as tables, complete: one line for every combination."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from reconciliation.domain.facts import LeaseRenewalFacts
from reconciliation.evaluators.lease_renewal import evaluate_lease_renewal
from reconciliation.evaluators.missing_run import evaluate_missing_run
from tests.unit.evaluators.facts import (
    DEFAULTS,
    NOON,
    A,
    B,
    C,
    gate,
    lease,
    missing_run_facts,
    place,
    policy,
    renewal_facts,
    request,
    run,
    running,
    seconds,
)
from tests.unit.evaluators.tables import rows_of

DAY = timedelta(days=1)

# --- what a head under governance needs -----------------------------------------------------------

SIGNS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "lease": {"leases": (lease(),)},
    "gate": {"gates": (gate("ci"),)},
    "naming": {"place": place("reach/login/1")},
    "label": {"pull_requests": (request(base_branch="x", labels=("governed",)),)},
    "request": {"pull_requests": (request(),)},
}
RECORDS: dict[str, tuple[Any, ...]] = {
    "none": (),
    "failed": (run(A, B, status="failed"),),
    "abandoned": (run(A, B, status="abandoned"),),
    "elsewhere": (run(A, C),),
    "running": (running(),),
    "dead": (running(heartbeat=NOON - DAY),),
    "succeeded": (run(A, B),),
}
MISSING = """
sign      none     failed   abandoned elsewhere running  dead     succeeded
nothing   not_gov  not_gov  not_gov   not_gov   not_gov  not_gov  not_gov
lease     missing  missing  missing   missing   running  missing  recorded
gate      missing  missing  missing   missing   running  missing  recorded
naming    missing  missing  missing   missing   running  missing  recorded
label     missing  missing  missing   missing   running  missing  recorded
request   missing  missing  missing   missing   running  missing  recorded
"""
MISSING_CELLS = [
    (row[0], record, decision.replace("not_gov", "not_governed"))
    for row in rows_of(MISSING)
    for record, decision in zip(RECORDS, row[1:], strict=True)
]


@pytest.mark.parametrize(("sign", "record", "decision"), MISSING_CELLS)
def test_every_sign_of_governance_asks_for_a_record_that_succeeded(
    sign: str, record: str, decision: str
) -> None:
    rules = policy(branches={"naming": "reach/<task>/<number>"}, changes={"required_gates": ["ci"]})
    facts = replace(missing_run_facts(leases=()), runs=RECORDS[record], **SIGNS[sign])
    in_grace = replace(facts, head_changed_at=NOON)

    answer = evaluate_missing_run(facts, rules, NOON)

    assert answer.decision == decision
    assert {draft.run_id for draft in answer.findings} <= {None}
    waits = decision in {"missing", "running"}
    assert evaluate_missing_run(in_grace, rules, NOON).decision == ("grace" if waits else decision)


def test_the_table_of_signs_is_complete() -> None:
    assert {cell[:2] for cell in MISSING_CELLS} == set(product(SIGNS, RECORDS))


# --- what becomes of a lease ----------------------------------------------------------------------

LEASES = """
state     life  cap   left   decision
held      yes   far   301    wait
held      yes   far   300    renew
held      yes   far   0      renew
held      yes   far   -1     renew
held      yes   here  301    wait
held      yes   here  300    wait
held      yes   here  0      expire_at_cap
held      yes   here  -1     expire_at_cap
held      no    far   301    wait
held      no    far   300    wait
held      no    far   0      expire
held      no    far   -1     expire
held      no    here  301    wait
held      no    here  300    wait
held      no    here  0      expire
held      no    here  -1     expire
released  *     *     *      ended
expired   *     *     *      ended
broken    *     *     *      ended
"""


def leases() -> Iterator[tuple[str, str, str, int, str]]:
    """Yield every line, with each `*` spelt out."""
    every = (["yes", "no"], ["far", "here"], ["301", "300", "0", "-1"])
    for state, *cells, decision in rows_of(LEASES):
        choices = [
            all_of if cell == "*" else [cell] for cell, all_of in zip(cells, every, strict=True)
        ]
        for life, cap, left in product(*choices):
            yield state, life, cap, int(left), decision


def lease_as(state: str, life: str, cap: str, left: int) -> LeaseRenewalFacts:
    return renewal_facts(
        left=seconds(left),
        state=state,
        last_heartbeat_at=NOON - (seconds(1) if life == "yes" else DAY),
        max_expires_at=NOON + (DAY if cap == "far" else seconds(left)),
    )


@pytest.mark.parametrize(("state", "life", "cap", "left", "decision"), list(leases()))
def test_every_lease_is_renewed_left_or_ended(
    state: str, life: str, cap: str, left: int, decision: str
) -> None:
    answer = evaluate_lease_renewal(lease_as(state, life, cap, left), DEFAULTS, NOON)

    assert answer.decision == decision
