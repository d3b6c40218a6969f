"""What the five sources say about one another, and what cannot be told."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from reconciliation.selectors.coherence_rows import (
    Announced,
    BranchView,
    CoherenceRow,
    LeaseView,
    RunView,
    lease_row,
    remote_row,
    run_row,
    snapshot_row,
    webhook_row,
)
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C, NOON

MINUTE = timedelta(minutes=1)
RUN = RunView("run-1", HEAD_C, HEAD_A, "succeeded", "alice", NOON - MINUTE)
LEASE = LeaseView(
    lease_id="lease-1",
    scope="branch-level",
    holders=("alice", "laptop", "reach-cli"),
    fencing_token=7,
    acquired_at=NOON - 5 * MINUTE,
    expires_at=NOON + 10 * MINUTE,
    as_of=NOON - MINUTE,
)
COHERENT = BranchView(
    branch_class="governed",
    observed_head=HEAD_A,
    observed_at=NOON - 2 * MINUTE,
    announced_by="webhook",
    pusher="alice",
    gone_at=None,
    governed_head=HEAD_A,
    governed_at=NOON - MINUTE,
    governed_by="run:run-1",
    read_at=NOON - MINUTE,
    failing_since=None,
    failure="",
    last_delivery_at=NOON - 2 * MINUTE,
    runs=(RUN,),
    leases=(LEASE,),
    announced=Announced(HEAD_A, "alice", NOON - 2 * MINUTE),
    complaints={},
    now=NOON,
)


def rows(view: BranchView) -> list[CoherenceRow]:
    return [
        remote_row(view),
        snapshot_row(view),
        run_row(view),
        lease_row(view),
        webhook_row(view),
    ]


def verdicts(view: BranchView) -> list[bool | None]:
    return [row.agrees for row in rows(view)]


def test_five_sources_that_say_the_same_agree() -> None:
    assert verdicts(COHERENT) == [True] * 5
    assert [row.value for row in rows(COHERENT)] == [
        HEAD_A,
        HEAD_A,
        HEAD_A,
        "alice / laptop / reach-cli",
        HEAD_A,
    ]


@pytest.mark.parametrize(
    ("pushes", "agrees"),
    [
        ((("mallory", NOON - 4 * MINUTE), ("alice", NOON - 2 * MINUTE)), False),
        # Before the lease was acquired it stood in nobody's way.
        ((("mallory", NOON - 6 * MINUTE), ("alice", NOON - 2 * MINUTE)), True),
        ((("alice", NOON - 4 * MINUTE), ("reach-cli", NOON - 2 * MINUTE)), True),
        ((), True),
    ],
)
def test_the_holder_does_not_hide_a_push_below_its_own(
    pushes: tuple[tuple[str, datetime], ...], agrees: bool
) -> None:
    row = lease_row(replace(COHERENT, observed_head=HEAD_B, pusher="alice", pushes=pushes))

    assert row.agrees is agrees
    assert agrees or row.explanation == "mallory pushed while alice held the lease."


def test_a_head_that_moved_contradicts_all_that_knew_the_old_one() -> None:
    moved = replace(COHERENT, observed_head=HEAD_B, pusher="mallory", read_at=NOON)

    assert verdicts(moved) == [False, False, False, False, False]
    assert lease_row(moved).explanation == "mallory pushed while alice held the lease."


def test_a_remote_that_cannot_be_read_is_unknown_and_never_in_sync() -> None:
    failing = replace(COHERENT, failing_since=NOON - MINUTE, failure="remote_auth_failed")

    assert verdicts(failing)[:2] == [None, None]
    assert webhook_row(failing).agrees is None
    assert "remote_auth_failed" in remote_row(failing).explanation


def test_a_branch_that_was_never_read_is_unknown() -> None:
    unread = replace(COHERENT, observed_head=None, observed_at=None, announced_by="")

    assert verdicts(unread)[:3] == [None, None, None]


def test_a_branch_without_a_snapshot_is_unknown() -> None:
    new = replace(COHERENT, governed_head=None, governed_by="")

    assert verdicts(new)[:2] == [None, None]


def test_a_deletion_differs_until_it_is_accepted() -> None:
    gone = replace(COHERENT, observed_head=None, gone_at=NOON, runs=())
    accepted = replace(gone, governed_head=None, gone_at=None, governed_by="user:olga")

    assert verdicts(gone)[:2] == [False, False]
    assert run_row(gone).agrees is None
    assert verdicts(accepted)[:3] == [True, True, True]


@pytest.mark.parametrize(
    ("branch_class", "agrees"),
    [("default", False), ("protected", False), ("governed", False), ("other", True)],
)
def test_a_moved_head_without_any_run_differs_only_where_runs_are_due(
    branch_class: str, agrees: bool
) -> None:
    moved = replace(COHERENT, branch_class=branch_class, observed_head=HEAD_B, runs=())

    assert run_row(moved).agrees is agrees


def test_a_head_that_a_person_accepted_needs_no_run() -> None:
    accepted = replace(COHERENT, governed_by="user:olga", runs=())

    assert run_row(accepted).agrees is True
    assert snapshot_row(accepted).explanation == "Accepted by olga."


def test_a_run_under_way_explains_its_base_and_leaves_other_heads_open() -> None:
    running = replace(RUN, status="running", base_sha=HEAD_A, head_sha="")
    at_base = replace(COHERENT, runs=(running,))
    beyond = replace(at_base, observed_head=HEAD_B)

    assert run_row(at_base).agrees is True
    assert run_row(beyond).agrees is None


def test_an_open_missing_run_finding_speaks_for_the_run_record() -> None:
    missing = replace(COHERENT, complaints={"missing_run": "Merged without a run record."})

    assert run_row(missing).agrees is False
    assert run_row(missing).explanation == "Merged without a run record."


def test_a_run_without_a_lease_differs() -> None:
    running = replace(RUN, status="running")

    assert lease_row(replace(COHERENT, leases=(), runs=(running,))).agrees is False
    assert lease_row(replace(COHERENT, leases=())).agrees is True


@pytest.mark.parametrize(
    ("left", "agrees"), [(timedelta(seconds=1), True), (timedelta(0), None), (-MINUTE, None)]
)
def test_a_lease_counts_until_the_instant_it_ends(left: timedelta, agrees: bool | None) -> None:
    lease = replace(LEASE, expires_at=NOON + left)

    assert lease_row(replace(COHERENT, leases=(lease,))).agrees is agrees


def test_two_live_leases_differ_but_two_on_paths_do_not() -> None:
    second = replace(LEASE, lease_id="lease-2")
    on_paths = (replace(LEASE, scope="path-prefix"), replace(second, scope="path-prefix"))

    assert lease_row(replace(COHERENT, leases=(LEASE, second))).agrees is False
    assert lease_row(replace(COHERENT, leases=on_paths)).agrees is True


def test_a_push_before_the_lease_was_taken_is_nobodys_breach() -> None:
    before = replace(COHERENT, pusher="mallory", observed_at=NOON - 6 * MINUTE)

    assert lease_row(before).agrees is True


def test_an_announcement_newer_than_the_last_reading_is_still_open() -> None:
    fresh = replace(COHERENT, announced=Announced(HEAD_B, "bob", NOON), read_at=NOON - MINUTE)

    assert webhook_row(fresh).agrees is None


def test_a_head_that_a_sweep_saw_first_lost_its_webhook() -> None:
    lost = replace(COHERENT, announced=None, announced_by="sweep")

    assert webhook_row(lost).agrees is False


def test_where_no_delivery_ever_came_the_webhook_is_unknown() -> None:
    silent = replace(COHERENT, announced=None, announced_by="sweep", last_delivery_at=None)

    assert webhook_row(silent).agrees is None


def test_what_never_changed_since_it_was_connected_needs_no_announcement() -> None:
    connected = replace(
        COHERENT,
        announced=None,
        announced_by="manual",
        governed_by="connect",
        last_delivery_at=None,
    )

    assert webhook_row(connected).agrees is True
