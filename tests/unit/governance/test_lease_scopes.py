"""What leases cover and when two collide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.domain.lease_scopes import (
    BRANCH_LEVEL,
    PATH_PREFIX,
    REPO_WIDE,
    SCOPES,
    InvalidLease,
    LeaseClaim,
    covers,
    lease_claim,
    normal_path,
    normal_paths,
    overlaps,
    paths_outside,
)
from governance.models import LeaseScope

WHOLE = LeaseClaim(REPO_WIDE)
MAIN = LeaseClaim(BRANCH_LEVEL, "main")
TOPIC = LeaseClaim(BRANCH_LEVEL, "topic")


def paths_of(branch: str, *paths: str) -> LeaseClaim:
    return LeaseClaim(PATH_PREFIX, branch, paths)


@pytest.mark.parametrize(
    ("a", "b", "collide"),
    [
        (WHOLE, WHOLE, True),
        (WHOLE, MAIN, True),
        (WHOLE, paths_of("topic", "src"), True),
        (MAIN, MAIN, True),
        (MAIN, TOPIC, False),
        (MAIN, LeaseClaim(BRANCH_LEVEL, "main/a"), False),
        (MAIN, paths_of("main", "src"), True),
        (MAIN, paths_of("topic", "src"), False),
        (paths_of("main", "src/a"), paths_of("main", "src/a"), True),
        (paths_of("main", "src/a"), paths_of("main", "src/a/x"), True),
        (paths_of("main", "src/a"), paths_of("main", "src/ab"), False),
        (paths_of("main", "src/a"), paths_of("main", "src"), True),
        (paths_of("main", "src/a"), paths_of("main", "src/b"), False),
        (paths_of("main", "src/a"), paths_of("topic", "src/a"), False),
        (paths_of("main", "docs", "src/a"), paths_of("main", "lib", "src/a/x"), True),
        (paths_of("main", "Src"), paths_of("main", "src"), False),
        (paths_of("main", "caf\u00e9"), paths_of("main", "cafe\u0301"), False),
    ],
)
def test_two_claims_collide_when_they_share_a_place(
    a: LeaseClaim, b: LeaseClaim, collide: bool
) -> None:
    assert overlaps(a, b) is collide
    assert overlaps(b, a) is collide


segments = st.sampled_from(["a", "b", "ab", "src", "x.y"])
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)
claims = st.one_of(
    st.just(WHOLE),
    st.sampled_from(["main", "topic"]).map(lambda name: LeaseClaim(BRANCH_LEVEL, name)),
    st.builds(
        lambda branch, some: LeaseClaim(PATH_PREFIX, branch, normal_paths(some)),
        st.sampled_from(["main", "topic"]),
        st.lists(paths, min_size=1, max_size=4),
    ),
)


@given(claims, claims)
def test_colliding_is_mutual(a: LeaseClaim, b: LeaseClaim) -> None:
    assert overlaps(a, b) == overlaps(b, a)


@given(claims)
def test_every_claim_collides_with_itself(claim: LeaseClaim) -> None:
    assert overlaps(claim, claim)


@given(claims, claims, st.sampled_from(["main", "topic"]), paths)
def test_claims_that_cover_one_same_file_collide(
    a: LeaseClaim, b: LeaseClaim, branch: str, file: str
) -> None:
    def has(claim: LeaseClaim) -> bool:
        return claim.branch in ("", branch) and not paths_outside(claim, [file])

    if has(a) and has(b):
        assert overlaps(a, b)


@given(
    st.lists(paths, min_size=1, max_size=6).flatmap(
        lambda some: st.tuples(st.just(some), st.permutations(some))
    )
)
def test_paths_come_out_the_same_in_whatever_order_they_are_given(
    orders: tuple[list[str], list[str]],
) -> None:
    given_paths, shuffled = orders

    assert normal_paths(shuffled) == normal_paths(given_paths)


@given(st.lists(paths, min_size=1, max_size=6))
def test_normal_paths_cover_exactly_what_was_asked_for(given_paths: list[str]) -> None:
    kept = normal_paths(given_paths)

    assert list(kept) == sorted(set(kept))
    assert set(kept) <= set(given_paths)
    assert all(any(covers(one, path) for one in kept) for path in given_paths)


@pytest.mark.parametrize(
    ("path", "normal"),
    [("src", "src"), ("src/", "src"), ("app/[slug]/page", "app/[slug]/page"), ("...", "...")],
)
def test_a_plain_path_is_kept(path: str, normal: str) -> None:
    assert normal_path(path) == normal


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/src", "src//a", "src///", "../x", "src/..", "src/./a", ".", "auth/**"),
        *("a\\b", "a\x00b", "a\nb", "\ud800", "x" * 1001),
    ],
)
def test_a_path_that_would_protect_nothing_is_refused(path: str) -> None:
    with pytest.raises(InvalidLease) as refused:
        normal_path(path)

    assert refused.value.field == "paths"


def test_the_longest_path_is_kept() -> None:
    assert normal_path("x" * 1000) == "x" * 1000


@pytest.mark.parametrize(("count", "is_fine"), [(199, True), (200, True), (201, False)])
def test_a_lease_names_at_most_200_paths(count: int, is_fine: bool) -> None:
    many = [f"p{number}" for number in range(count)]

    if is_fine:
        assert len(normal_paths(many)) == count
    else:
        with pytest.raises(InvalidLease):
            normal_paths(many)


@pytest.mark.parametrize(
    ("scope", "branch", "given_paths", "field"),
    [
        ("everything", "main", [], "scope"),
        (REPO_WIDE, "main", [], "branch"),
        (REPO_WIDE, "", ["src"], "paths"),
        (BRANCH_LEVEL, "", [], "branch"),
        (BRANCH_LEVEL, "main", ["src"], "paths"),
        (PATH_PREFIX, "", ["src"], "branch"),
        (PATH_PREFIX, "main", [], "paths"),
        (BRANCH_LEVEL, "a..b", [], "branch"),
    ],
)
def test_a_claim_whose_parts_do_not_fit_is_refused(
    scope: str, branch: str, given_paths: list[str], field: str
) -> None:
    with pytest.raises(InvalidLease) as refused:
        lease_claim(scope=scope, branch=branch, paths=given_paths)

    assert refused.value.field == field


def test_a_claim_is_stored_in_its_canonical_form() -> None:
    claim = lease_claim(
        scope=PATH_PREFIX, branch="refs/heads/main", paths=["src/b/", "src/a/x", "src/a"]
    )

    assert claim == LeaseClaim(PATH_PREFIX, "main", ("src/a", "src/b"))


def test_only_paths_outside_of_all_prefixes_are_outside() -> None:
    claim = paths_of("main", "docs", "src/a")

    assert paths_outside(claim, ["src/ab", "src/a", "docs/x", "README", "README"]) == (
        "README",
        "src/ab",
    )
    assert paths_outside(MAIN, ["README"]) == ()


def test_the_rules_and_the_table_know_the_same_scopes() -> None:
    assert set(LeaseScope.values) == set(SCOPES)
