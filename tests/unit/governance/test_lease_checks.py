"""Whether a push may go ahead: from an allowed one, each test changes one thing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from governance.domain.lease_checks import (
    CheckedLease,
    KnownHeads,
    LeaseCheck,
    Reason,
    check,
)
from governance.domain.lease_scopes import BRANCH_LEVEL, PATH_PREFIX, REPO_WIDE, LeaseClaim
from governance.domain.leases import Owner
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C, NOON

ZEROS = "0" * 40
MINE = CheckedLease(
    lease_id="mine",
    state="held",
    owner=Owner("alice"),
    claim=LeaseClaim(BRANCH_LEVEL, "topic"),
    fencing_token=7,
    expires_at=NOON + timedelta(seconds=1),
)
OTHERS = replace(MINE, lease_id="others", owner=Owner("bob"), fencing_token=8)
ALLOWED = LeaseCheck(
    branch="topic",
    fencing_token=7,
    sha=HEAD_B,
    paths=("src/a.py",),
    heads=KnownHeads(HEAD_B, (HEAD_A,)),
    leases=(MINE,),
)


def reason_of(question: LeaseCheck) -> Reason:
    return check(question, now=NOON).reason


def test_the_holder_may_push_onto_the_head_that_is_there() -> None:
    decision = check(ALLOWED, now=NOON)

    assert (decision.allowed, decision.reason, decision.lease) == (True, Reason.ALLOWED, MINE)


def test_without_any_lease_nobody_may() -> None:
    assert reason_of(replace(ALLOWED, leases=())) is Reason.NO_LEASE


@pytest.mark.parametrize(
    ("left", "reason"),
    [(1, Reason.ALLOWED), (0, Reason.EXPIRED), (-1, Reason.EXPIRED)],
)
def test_a_lease_ends_at_its_expiry_even_before_anybody_wrote_so(left: int, reason: Reason) -> None:
    run_out = replace(MINE, expires_at=NOON + timedelta(microseconds=left))

    assert reason_of(replace(ALLOWED, leases=(run_out,))) is reason


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("expired", Reason.EXPIRED),
        ("released", Reason.ENDED),
        ("broken", Reason.ENDED),
    ],
)
def test_an_ended_lease_allows_nothing(state: str, reason: Reason) -> None:
    assert reason_of(replace(ALLOWED, leases=(replace(MINE, state=state),))) is reason


def test_whoever_comes_without_a_fencing_token_meets_the_holder() -> None:
    decision = check(replace(ALLOWED, fencing_token=None), now=NOON)

    assert (decision.reason, decision.lease) == (Reason.OTHER_HOLDER, MINE)


def test_an_older_fencing_token_is_fenced_off_by_the_newer_lease() -> None:
    ended = replace(MINE, state="expired")

    decision = check(replace(ALLOWED, leases=(ended, OTHERS)), now=NOON)

    assert (decision.reason, decision.lease) == (Reason.STALE_FENCING_TOKEN, OTHERS)
    assert "7 is older than 8" in decision.detail


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (6, Reason.STALE_FENCING_TOKEN),
        (7, Reason.ALLOWED),
        (8, Reason.OTHER_HOLDER),
    ],
)
def test_only_the_very_token_of_the_lease_is_its_holder(token: int, reason: Reason) -> None:
    assert reason_of(replace(ALLOWED, fencing_token=token)) is reason


def test_a_newer_lease_on_other_paths_does_not_fence_a_holder_off() -> None:
    mine = replace(MINE, claim=LeaseClaim(PATH_PREFIX, "topic", ("src",)))
    others = replace(OTHERS, claim=LeaseClaim(PATH_PREFIX, "topic", ("docs",)))

    assert reason_of(replace(ALLOWED, leases=(mine, others))) is Reason.ALLOWED


def test_an_ended_lease_is_not_called_outdated_for_a_newer_one_elsewhere() -> None:
    mine = replace(MINE, state="released", claim=LeaseClaim(PATH_PREFIX, "topic", ("src",)))
    others = replace(OTHERS, claim=LeaseClaim(PATH_PREFIX, "topic", ("docs",)))

    assert reason_of(replace(ALLOWED, leases=(mine, others))) is Reason.ENDED


@pytest.mark.parametrize(
    ("matches", "reason"),
    [(None, Reason.ALLOWED), (True, Reason.ALLOWED), (False, Reason.OTHER_HOLDER)],
)
def test_a_wrong_holder_token_is_somebody_else(matches: bool | None, reason: Reason) -> None:
    lease = replace(MINE, token_matches=matches)

    assert reason_of(replace(ALLOWED, leases=(lease,))) is reason


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        (("src/a.py", "src/b/c"), Reason.ALLOWED),
        ((), Reason.ALLOWED),
        (("src/a.py", "srcs"), Reason.PATH_OUTSIDE),
        (None, Reason.PATHS_UNKNOWN),
    ],
)
def test_a_lease_on_paths_covers_these_paths_only(
    paths: tuple[str, ...] | None, reason: Reason
) -> None:
    lease = replace(MINE, claim=LeaseClaim(PATH_PREFIX, "topic", ("src",)))

    assert reason_of(replace(ALLOWED, leases=(lease,), paths=paths)) is reason


def test_a_repo_wide_lease_covers_every_branch_and_path() -> None:
    lease = replace(MINE, claim=LeaseClaim(REPO_WIDE))

    assert reason_of(replace(ALLOWED, leases=(lease,), paths=None)) is Reason.ALLOWED


@pytest.mark.parametrize(
    ("sha", "heads", "reason"),
    [
        (HEAD_B, KnownHeads(HEAD_B, (HEAD_A,)), Reason.ALLOWED),
        (HEAD_A, KnownHeads(HEAD_B, (HEAD_A,)), Reason.SHA_MISMATCH),
        (HEAD_C, KnownHeads(HEAD_B, (HEAD_A,)), Reason.ALLOWED),
        (None, KnownHeads(HEAD_B, (HEAD_A,)), Reason.ALLOWED),
        (HEAD_A, None, Reason.ALLOWED),
        (ZEROS, KnownHeads(HEAD_B, ("",)), Reason.SHA_MISMATCH),
        ("0" * 64, KnownHeads(HEAD_B, ("",)), Reason.SHA_MISMATCH),
        (ZEROS, KnownHeads("", (HEAD_A,)), Reason.ALLOWED),
        (HEAD_A, KnownHeads("", (HEAD_A,)), Reason.SHA_MISMATCH),
    ],
)
def test_a_head_known_to_be_left_behind_is_refused_an_unknown_one_is_no_proof(
    sha: str | None, heads: KnownHeads | None, reason: Reason
) -> None:
    assert reason_of(replace(ALLOWED, sha=sha, heads=heads)) is reason


def test_a_refusal_says_where_the_branch_went() -> None:
    decision = check(replace(ALLOWED, sha=HEAD_A), now=NOON)

    assert f"from {HEAD_A} to {HEAD_B}" in decision.detail
