"""Reading Reach lease files: what they say, and which of their invariants are broken."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from governance.domain.lease_scopes import LeaseClaim
from governance.domain.leases import Owner
from governance.domain.reach_leases import NotALeaseFile, read_reach_leases
from tests.factories.governance import NOON


def lease(lease_id: str = "one", **changes: Any) -> dict[str, Any]:
    return {
        "lease_id": lease_id,
        "repo_id": "reach",
        "branch": "topic",
        "scope": "branch-level",
        "paths": [],
        "owner": {"user_id": "alice", "device_id": "mac", "agent_id": "cli"},
        "acquired_at": "2026-03-02T12:00:00.000Z",
        "expires_at": "2026-03-02T12:15:00.000Z",
        "ttl_seconds": 900,
    } | changes


def file(*leases: Any) -> dict[str, Any]:
    return {"schema_version": "1.0", "updated_at": "2026-03-02T12:00:00Z", "leases": [*leases]}


def codes(*leases: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.code, one.lease_ids) for one in read_reach_leases(file(*leases)).broken]


def test_a_sound_lease_is_read_as_it_is() -> None:
    read = read_reach_leases(file(lease()))

    assert read.broken == ()
    (one,) = read.storable()
    assert (one.lease_id, one.repo_id, one.claim) == (
        "one",
        "reach",
        LeaseClaim("branch-level", "topic"),
    )
    assert one.owner == Owner("alice", "mac", "cli")
    assert (one.acquired_at, one.expires_at) == (NOON, NOON + timedelta(seconds=900))


def test_a_repo_wide_lease_forgets_the_branch_that_reach_writes_into_it() -> None:
    (one,) = read_reach_leases(file(lease(scope="repo-wide"))).storable()

    assert one.claim == LeaseClaim("repo-wide")


def test_two_live_leases_on_one_branch_are_named_and_neither_is_storable() -> None:
    read = read_reach_leases(
        file(lease("b", owner={"user_id": "bob"}), lease("a"), lease("c", branch="x"))
    )

    (broken,) = read.broken
    assert (broken.code, broken.lease_ids) == ("two_live_leases", ("a", "b"))
    assert "alice/mac/cli and bob both held topic" in broken.detail
    assert [one.lease_id for one in read.storable()] == ["c"]


@pytest.mark.parametrize(
    ("start", "is_broken"), [("12:14:59.999", True), ("12:15:00.000", False), ("12:15:01", False)]
)
def test_leases_one_after_the_other_do_not_contradict(start: str, is_broken: bool) -> None:
    later = lease(
        "two",
        acquired_at=f"2026-03-02T{start}Z",
        expires_at="2026-03-02T13:00:00Z",
    )

    assert (("two_live_leases", ("one", "two")) in codes(lease(), later)) is is_broken


@pytest.mark.parametrize(
    ("paths", "is_broken"), [(["src/a/x"], True), (["src/ab"], False), (["src"], True)]
)
def test_overlapping_paths_contradict_too(paths: list[str], is_broken: bool) -> None:
    one = lease(scope="path-prefix", paths=["src/a"])
    two = lease("two", scope="path-prefix", paths=paths)

    assert bool(codes(one, two)) is is_broken


def test_a_ttl_that_does_not_fit_is_odd_but_no_reason_to_leave_the_lease_out() -> None:
    read = read_reach_leases(file(lease(expires_at="2026-03-02T12:10:00Z")))

    (odd,) = read.broken
    assert (odd.code, odd.stops) == ("ttl_mismatch", False)
    assert "600 s" in odd.detail
    assert "900 s" in odd.detail
    assert len(read.storable()) == 1


def test_an_id_used_twice_names_nothing() -> None:
    read = read_reach_leases(file(lease(), lease(branch="other")))

    assert [one.code for one in read.broken] == ["lease_id_twice"]
    assert read.storable() == ()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"lease_id": ""}, "bad_lease_id"),
        ({"lease_id": 7}, "bad_lease_id"),
        ({"scope": "galaxy-wide"}, "bad_scope"),
        ({"scope": None}, "bad_scope"),
        ({"branch": ""}, "bad_branch"),
        ({"branch": "a..b"}, "bad_branch"),
        ({"scope": "path-prefix", "paths": ["../x"]}, "bad_paths"),
        ({"paths": "src"}, "bad_paths"),
        ({"paths": [1]}, "bad_paths"),
        ({"owner": None}, "bad_owner"),
        ({"owner": {"device_id": "mac"}}, "bad_owner"),
        ({"owner": {"user_id": "x" * 201}}, "bad_owner"),
        ({"owner": {"user_id": "a\u0000b"}}, "bad_owner"),
        ({"acquired_at": "yesterday"}, "bad_acquired_at"),
        ({"acquired_at": "2026-03-02T12:00:00"}, "bad_acquired_at"),
        ({"expires_at": None}, "bad_expires_at"),
        ({"expires_at": "2026-03-02T12:00:00Z"}, "bad_expires_at"),
        ({"ttl_seconds": "900"}, "bad_ttl_seconds"),
        ({"ttl_seconds": True}, "bad_ttl_seconds"),
        ({"ttl_seconds": 0}, "bad_ttl_seconds"),
    ],
)
def test_a_lease_that_cannot_be_is_named_and_the_others_are_still_read(
    change: dict[str, Any], code: str
) -> None:
    read = read_reach_leases(file(lease(**change), lease("two", branch="other")))

    assert [one.code for one in read.broken] == [code]
    assert [one.lease_id for one in read.storable()] == ["two"]


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"leases": {}}, {"leases": ["x"]}, {"leases": [], "schema_version": "2.0"}],
)
def test_what_is_no_lease_file_is_refused(document: Any) -> None:
    with pytest.raises(NotALeaseFile):
        read_reach_leases(document)


def test_a_file_about_several_repositories_needs_to_be_told_which() -> None:
    both = file(lease(), lease("two", repo_id="other"))

    with pytest.raises(NotALeaseFile, match="other, reach"):
        read_reach_leases(both)
    assert [one.lease_id for one in read_reach_leases(both, repo_id="other").leases] == ["two"]


def test_the_order_of_the_file_does_not_matter() -> None:
    leases = [
        lease("a"),
        lease("b"),
        lease("c", branch="x", acquired_at="2026-03-02T11:00:00Z"),
        lease("d", branch="", scope="path-prefix"),
    ]

    assert read_reach_leases(file(*leases)) == read_reach_leases(file(*reversed(deepcopy(leases))))


def test_an_empty_file_is_fine() -> None:
    assert read_reach_leases({"leases": []}).leases == ()
