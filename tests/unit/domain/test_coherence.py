"""What the five sources say about one another, and what cannot be told."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.coherence import (
    drift_class_of,
    lease_row,
    matrix_of,
    remote_row,
    run_row,
    snapshot_row,
    webhook_row,
)
from reconciliation.domain.coherence_values import (
    Announced,
    BranchView,
    CoherenceRow,
    LeaseView,
    OpenFinding,
    RunView,
)
from tests.coherence import contradictions
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C, NOON

MINUTE = timedelta(minutes=1)
RUN = RunView("run-1", HEAD_C, HEAD_A, "succeeded", "alice", NOON - MINUTE)
LEASE = LeaseView(
    lease_id="lease-1",
    scope="branch-level",
    holders=("alice", "laptop", "reach-cli"),
    fencing_token=7,
    acquired_at=NOON - 5 * MINUTE,
    over_at=NOON + 10 * MINUTE,
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
    findings=(),
    now=NOON,
    head_changes=1,
)


def rows(view: BranchView) -> tuple[CoherenceRow, ...]:
    return matrix_of(view).rows


def found(
    check: str,
    stable_class: str = "x",
    summary: str = "",
    rules: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> OpenFinding:
    return OpenFinding(check, stable_class, summary or check, rules)


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

    assert verdicts(moved) == [False, False, False, False, None]
    assert verdicts(replace(moved, announced_by="sweep"))[4] is False
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
    missing = replace(
        COHERENT, findings=(found("missing_run", summary="Merged without a run record."),)
    )

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
    lease = replace(LEASE, over_at=NOON + left)

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
        head_changes=0,
    )

    assert webhook_row(connected).agrees is True


# --- nothing on the page contradicts the matrix ---------------------------------------------------


def test_a_signed_announcement_of_a_head_that_the_remote_lacks_is_no_agreement() -> None:
    connected = replace(COHERENT, governed_by="connect", announced_by="manual", head_changes=0)
    forged = replace(connected, announced=Announced(HEAD_C, "mallory", NOON - 2 * MINUTE))

    row = webhook_row(forged)

    assert row.agrees is False
    assert "which the remote does not have" in row.explanation
    assert matrix_of(forged).coherent is False


def test_deliveries_out_of_order_are_unknown_where_the_head_was_announced() -> None:
    late = replace(COHERENT, announced=Announced(HEAD_C, "bob", NOON - 1.5 * MINUTE))

    assert webhook_row(late).agrees is None


def test_a_head_that_moved_and_came_back_is_not_unchanged_since_it_was_connected() -> None:
    swung = replace(COHERENT, announced=None, announced_by="sweep", governed_by="connect")

    assert webhook_row(swung).agrees is False


def test_a_push_by_no_known_pusher_under_a_lease_is_unknown() -> None:
    moved = replace(
        COHERENT, observed_head=HEAD_B, pusher="", pushes=(("", NOON - 3 * MINUTE),), read_at=NOON
    )

    assert lease_row(moved).agrees is None
    assert "is not known" in lease_row(moved).explanation


@pytest.mark.parametrize(
    ("rules", "agrees"),
    [
        ({"drift.not_lease_holder": {"pusher": "mallory", "holder": "alice"}}, False),
        ({"drift.two_leases": {"leases": "a, b"}}, False),
        ({"drift.pusher_unknown_under_lease": {"lease": "lease-1"}}, None),
        ({"drift.paths_unknown": {"lease": "lease-1"}}, None),
        ({"drift.paths_unknown": {}}, True),
        ({}, True),
    ],
)
def test_the_lease_says_what_the_finding_says(
    rules: dict[str, dict[str, str]], agrees: bool | None
) -> None:
    drifting = replace(
        COHERENT, observed_head=HEAD_B, findings=(found("head_drift", "fast_forward", rules=rules),)
    )

    assert lease_row(drifting).agrees is agrees


def test_a_push_under_a_lease_that_was_broken_since_is_a_breach() -> None:
    broken = replace(LEASE, over_at=NOON - MINUTE, is_held=False)
    pushed = replace(
        COHERENT,
        observed_head=HEAD_B,
        leases=(broken,),
        pushes=(("mallory", NOON - 2 * MINUTE),),
    )
    after = replace(pushed, pushes=(("mallory", NOON - MINUTE),))

    assert lease_row(pushed).agrees is False
    assert lease_row(pushed).explanation == "mallory pushed while alice held the lease."
    assert lease_row(pushed).value is None
    assert lease_row(after).agrees is True


def test_heads_that_agree_again_wait_for_their_finding_to_be_resolved() -> None:
    waiting = replace(COHERENT, findings=(found("head_drift", "rewritten"),))

    assert verdicts(waiting)[:2] == [None, None]
    assert matrix_of(waiting).coherent is None


def test_a_run_that_ends_at_a_head_which_is_not_accepted_does_not_agree() -> None:
    run = replace(RUN, head_sha=HEAD_B)
    undecided = replace(COHERENT, observed_head=HEAD_B, runs=(run,))
    decided = replace(undecided, findings=(found("head_drift", "fast_forward"),))

    assert run_row(undecided).agrees is None
    assert run_row(decided).agrees is False


def test_a_finding_about_other_heads_is_not_the_class_of_these() -> None:
    stale = replace(found("head_drift", "fast_forward"), heads=(HEAD_A, HEAD_B))
    same = replace(stale, heads=(HEAD_A, HEAD_C))

    def drift(finding: OpenFinding | None) -> str:
        return drift_class_of(
            governed_head=HEAD_A, observed_head=HEAD_C, is_known=True, drift=finding
        )

    assert [drift(None), drift(stale), drift(same)] == ["unknown", "unknown", "fast_forward"]


HEADS = st.sampled_from([HEAD_A, HEAD_B, None])
PEOPLE = st.sampled_from(["alice", "mallory", ""])
MOMENTS = st.integers(-20, 0).map(lambda minutes: NOON + minutes * MINUTE)
RULES = st.sets(
    st.sampled_from(
        [
            "drift.not_lease_holder",
            "drift.two_leases",
            "drift.pusher_unknown_under_lease",
            "drift.paths_unknown",
            "drift.ungoverned_protected",
        ]
    )
)


@st.composite
def leases(draw: st.DrawFn) -> LeaseView:
    acquired_at = draw(MOMENTS)
    return LeaseView(
        lease_id=draw(st.sampled_from(["lease-1", "lease-2"])),
        scope=draw(st.sampled_from(["branch-level", "repo-wide", "path-prefix"])),
        holders=("alice", "laptop"),
        fencing_token=1,
        acquired_at=acquired_at,
        over_at=acquired_at + draw(st.integers(1, 40)) * MINUTE,
        as_of=acquired_at,
        is_held=draw(st.booleans()),
    )


@st.composite
def findings(draw: st.DrawFn) -> tuple[OpenFinding, ...]:
    checks = draw(st.sets(st.sampled_from(["missing_run", "lease_renewal"])))
    shown = [OpenFinding(check, "x", f"About {check}.", {}) for check in sorted(checks)]
    if draw(st.booleans()):
        stable_class = draw(st.sampled_from(["fast_forward", "rewritten", "unknown", "created"]))
        rules = {rule: {"lease": "lease-1"} for rule in draw(RULES)}
        heads = draw(st.none() | st.tuples(HEADS, HEADS))
        shown.append(OpenFinding("head_drift", stable_class, "Drift.", rules, heads))
    return tuple(shown)


SITUATIONS = st.builds(
    BranchView,
    branch_class=st.sampled_from(["default", "protected", "governed", "other"]),
    observed_head=HEADS,
    observed_at=st.none() | MOMENTS,
    announced_by=st.sampled_from(["", "webhook", "sweep", "manual"]),
    pusher=PEOPLE,
    gone_at=st.none() | MOMENTS,
    governed_head=HEADS,
    governed_at=st.none() | MOMENTS,
    governed_by=st.sampled_from(["", "connect", "run:run-1", "user:olga"]),
    read_at=st.none() | MOMENTS,
    failing_since=st.none() | MOMENTS,
    failure=st.just(""),
    last_delivery_at=st.none() | MOMENTS,
    runs=st.lists(
        st.builds(
            RunView,
            run_id=st.just("run-1"),
            base_sha=st.sampled_from([HEAD_A, HEAD_C]),
            head_sha=st.sampled_from([HEAD_A, HEAD_B, ""]),
            status=st.sampled_from(["running", "succeeded", "failed"]),
            actor=PEOPLE,
            as_of=MOMENTS,
        ),
        max_size=2,
    ).map(tuple),
    leases=st.lists(leases(), max_size=3).map(tuple),
    announced=st.none() | st.builds(Announced, after=HEADS, actor=PEOPLE, received_at=MOMENTS),
    findings=findings(),
    now=st.just(NOON),
    head_changes=st.integers(0, 2),
    pushes=st.lists(st.tuples(PEOPLE, MOMENTS), max_size=3).map(tuple),
)


@settings(max_examples=400, deadline=None)
@given(SITUATIONS)
def test_in_any_situation_matrix_findings_and_class_do_not_contradict_each_other(
    view: BranchView,
) -> None:
    drift = view.finding("head_drift")
    is_known = view.is_readable and not view.is_unread

    shown = drift_class_of(
        governed_head=view.governed_head,
        observed_head=view.observed_head,
        is_known=is_known,
        drift=drift,
    )

    told = contradictions(matrix_of(view), view.findings, shown, is_known=is_known)
    assert told == []
    rows = {row.source: row for row in matrix_of(view).rows}
    if view.announced is not None and view.announced.after != view.observed_head:
        assert rows["webhook"].agrees is not True
    if not view.heads_agree and view.decided is None:
        for lease in view.leases:
            if any(lease.stood_at(at) and name not in lease.holders for name, at in view.pushes):
                assert rows["lease"].agrees is not True
