"""When a circuit opens, half-opens and closes: each threshold at, just below and just above."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciliation.domain.circuits import (
    LONGEST_THROTTLE,
    LONGEST_WAIT,
    OPENS_AFTER,
    THROTTLED_WAIT,
    WINDOW,
    CircuitFacts,
    CircuitState,
    Evidence,
    Shown,
    after,
    circuit_key,
    half_opened,
    origin_of,
    probe_wait,
    severity_of,
    shown_by,
)

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CLOSED = CircuitFacts("acme https://git.example anonymous")


def fails(task_id: int, *, repository: int | None = None, at: datetime = NOON) -> Evidence:
    return Evidence(
        task_id, repository or task_id, Shown.FAILED, at, "remote_unavailable", "nobody answers"
    )


def answers(task_id: int, *, at: datetime = NOON) -> Evidence:
    return Evidence(task_id, task_id, Shown.ANSWERED, at)


def throttles(task_id: int, seconds: int | None) -> Evidence:
    return Evidence(task_id, task_id, Shown.THROTTLED, NOON, "remote_throttled", "slow", seconds)


def opened(*, at: datetime = NOON) -> CircuitFacts:
    return after(CLOSED, [fails(1), fails(2), fails(3)], repositories=9, now=at)


def test_it_opens_when_so_many_tasks_in_a_row_failed_and_not_before() -> None:
    nearly = after(CLOSED, [fails(n) for n in range(1, OPENS_AFTER)], repositories=9, now=NOON)
    assert nearly.state is CircuitState.CLOSED

    open_now = after(nearly, [fails(OPENS_AFTER)], repositories=9, now=NOON)

    assert open_now == CircuitFacts(
        CLOSED.key,
        CircuitState.OPEN,
        cause="remote_unavailable",
        message="nobody answers",
        opened_at=NOON,
        next_probe_at=NOON + probe_wait(CLOSED.key, 0),
    )


def test_the_same_task_failing_again_and_again_is_one_failure() -> None:
    circuit = CLOSED
    for _ in range(OPENS_AFTER + 2):
        circuit = after(circuit, [fails(1)], repositories=9, now=NOON)

    assert (circuit.state, len(circuit.failures)) == (CircuitState.CLOSED, 1)


@pytest.mark.parametrize(("repositories", "opens"), [(1, True), (2, False)])
def test_one_broken_repository_does_not_stop_its_host_unless_it_is_the_only_one(
    repositories: int, opens: bool
) -> None:
    evidence = [fails(n, repository=7) for n in range(1, 10)]

    assert after(CLOSED, evidence, repositories=repositories, now=NOON).is_open is opens


@pytest.mark.parametrize(
    ("late", "opens"), [(timedelta(0), True), (timedelta(microseconds=1), False)]
)
def test_failures_further_apart_than_the_window_are_not_one_outage(
    late: timedelta, opens: bool
) -> None:
    first = after(CLOSED, [fails(1), fails(2)], repositories=9, now=NOON)

    later = after(first, [fails(3)], repositories=9, now=NOON + WINDOW + late)

    assert later.is_open is opens


def test_an_answer_between_failures_starts_the_count_again() -> None:
    two = after(CLOSED, [fails(1), fails(2)], repositories=9, now=NOON)
    assert after(two, [answers(9)], repositories=9, now=NOON) == CLOSED
    assert after(CLOSED, [fails(1), fails(2), fails(3), answers(4)], repositories=9, now=NOON) == (
        CLOSED
    )


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [
        (90, timedelta(seconds=90)),
        (0, timedelta(seconds=1)),
        (None, THROTTLED_WAIT),
        (10**9, LONGEST_THROTTLE),
    ],
)
def test_one_throttled_answer_opens_it_until_the_hosts_own_time(
    seconds: int | None, wait: timedelta
) -> None:
    circuit = after(CLOSED, [throttles(1, seconds), answers(2)], repositories=9, now=NOON)

    assert (circuit.state, circuit.next_probe_at) == (CircuitState.OPEN, NOON + wait)
    assert severity_of(circuit.cause) == "medium"


def test_a_later_time_that_the_host_names_wins_and_an_earlier_one_does_not() -> None:
    circuit = after(CLOSED, [throttles(1, 600)], repositories=9, now=NOON)

    assert after(circuit, [throttles(2, 60)], repositories=9, now=NOON).next_probe_at == (
        NOON + timedelta(seconds=600)
    )
    assert after(circuit, [throttles(2, 900)], repositories=9, now=NOON).next_probe_at == (
        NOON + timedelta(seconds=900)
    )


def test_tasks_that_were_on_their_way_when_it_opened_change_nothing() -> None:
    circuit = opened(at=NOON + timedelta(seconds=10))

    assert after(circuit, [fails(8)], repositories=9, now=NOON + timedelta(minutes=1)) == circuit
    assert after(circuit, [answers(8)], repositories=9, now=NOON + timedelta(minutes=1)) == circuit


def test_the_answer_of_a_probe_closes_it() -> None:
    circuit = half_opened(opened(), now=NOON + timedelta(minutes=1))

    probe = answers(5, at=NOON + timedelta(minutes=1))

    assert after(circuit, [probe], repositories=9, now=NOON + timedelta(minutes=2)) == CLOSED


def test_a_probe_that_fails_opens_it_again_for_longer_and_keeps_since_when() -> None:
    circuit, now = opened(), NOON
    for number in range(1, 9):
        now += timedelta(minutes=20)
        circuit = after(half_opened(circuit, now=now), [fails(5)], repositories=9, now=now)
        assert (circuit.state, circuit.failed_probes) == (CircuitState.OPEN, number)
        assert circuit.opened_at == NOON
        assert circuit.next_probe_at == now + probe_wait(CLOSED.key, number)


def test_waits_between_probes_grow_up_to_a_limit_and_differ_between_circuits() -> None:
    waits = [probe_wait(CLOSED.key, number) for number in range(40)]

    assert timedelta(seconds=15) <= waits[0] <= timedelta(seconds=30)
    assert LONGEST_WAIT / 2 <= waits[-1] <= LONGEST_WAIT
    assert probe_wait("another", 0) != waits[0]


@pytest.mark.parametrize(
    ("code", "with_credential", "shown"),
    [
        ("remote_unavailable", False, Shown.FAILED),
        ("remote_malformed", False, Shown.FAILED),
        ("remote_throttled", False, Shown.THROTTLED),
        ("remote_auth_failed", True, Shown.FAILED),
        ("remote_auth_failed", False, None),
        ("remote_not_found", True, Shown.ANSWERED),
        ("remote_refused", True, None),
        ("history_unknown", True, None),
        ("out_of_time", True, None),
    ],
)
def test_what_an_error_shows_of_the_host(
    code: str, with_credential: bool, shown: Shown | None
) -> None:
    assert shown_by(code, with_credential=with_credential) is shown


@pytest.mark.parametrize(
    ("clone_url", "origin"),
    [
        ("https://Git.Example/acme/api.git", "https://git.example"),
        ("https://ada:secret@git.example:8443/api", "https://git.example:8443"),
        ("http://127.0.0.1:3000/acme/api.git", "http://127.0.0.1:3000"),
        ("ssh://git@git.example:22/acme/api", "ssh://git.example:22"),
        ("git@git.example:acme/api.git", "ssh://git.example"),
        ("git@[::1]:acme/api.git", "ssh://[::1]"),
        ("/srv/git/api.git", "local"),
        ("file:///srv/git/api.git", "local"),
    ],
)
def test_the_origin_of_a_clone_url_holds_no_name_and_no_secret(clone_url: str, origin: str) -> None:
    assert origin_of(clone_url) == origin


def test_tenants_and_credentials_have_circuits_of_their_own() -> None:
    keys = {
        circuit_key(tenant=tenant, origin="https://git.example", credential_id=credential)
        for tenant in ("acme", "rival")
        for credential in (None, 1, 2)
    }

    assert len(keys) == 6


def test_the_order_of_the_evidence_of_one_batch_does_not_matter() -> None:
    evidence = [fails(n) for n in range(1, 6)]

    forward = after(CLOSED, evidence, repositories=9, now=NOON)
    backward = after(CLOSED, evidence[::-1], repositories=9, now=NOON)

    assert replace(forward, message="") == replace(backward, message="")
