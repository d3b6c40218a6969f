"""Which runs cover a change: unbroken chains of runs that succeeded, the shortest of them."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.domain.coverage import approved_run, covering_runs
from reconciliation.domain.facts import RunFact
from tests.unit.evaluators.facts import NULL_IDS, A, B, C, D, run
from tests.unit.evaluators.strategies import ANY_SHAS, RUNS, SHAS


@pytest.mark.parametrize(
    ("runs", "chain"),
    [
        ([], ()),
        ([run(A, B, "r1")], ("r1",)),
        ([run(A, C, "r2"), run(C, B, "r1")], ("r2", "r1")),
        ([run(A, C, "r1"), run(C, D, "r2"), run(D, B, "r3")], ("r1", "r2", "r3")),
        ([run(A, C, "r1"), run(C, B, "r2"), run(A, B, "r9")], ("r9",)),  # the shortest
        ([run(A, B, "r2"), run(A, B, "r1")], ("r1",)),  # then the first by id
        ([run(A, C, "r1"), run(C, A, "r2"), run(C, B, "r3")], ("r1", "r3")),  # round trips
        ([run(A, A, "r1"), run(A, B, "r2")], ("r2",)),
        ([run(A, C, "r1"), run(D, B, "r2")], ()),  # a gap
        ([run(B, A, "r1")], ()),
        ([run(A, B, "r1", status="failed")], ()),
        ([run(A, B, "r1", status="running")], ()),
        ([run(A, B, "r1", status="abandoned")], ()),
    ],
)
def test_chains(runs: list[RunFact], chain: tuple[str, ...]) -> None:
    for order in permutations(runs):
        assert covering_runs(order, base=A, head=B) == chain


def test_a_head_needs_no_run_to_stay_where_it_is() -> None:
    assert covering_runs([run(A, B), run(B, A, "run-2")], base=A, head=A) == ()


@pytest.mark.parametrize("base", [A, C, *NULL_IDS])
def test_without_a_snapshot_any_run_that_ends_there_covers_the_head(base: str) -> None:
    assert covering_runs([run(base, B), run(A, D, "run-2")], base=None, head=B) == ("run-1",)
    assert covering_runs([run(base, B), run(A, B, "run-2")], base=None, head=B) == ("run-2",)
    assert covering_runs([run(base, D)], base=None, head=B) == ()
    assert covering_runs([run(base, B, status="failed")], base=None, head=B) == ()


@settings(deadline=None)
@given(st.lists(RUNS, max_size=8, unique_by=lambda one: one.run_id), SHAS, SHAS)
def test_a_chain_begins_at_the_base_and_every_run_goes_on_where_the_last_ended(
    runs: list[RunFact], base: str, head: str
) -> None:
    chain = covering_runs(runs, base=base, head=head)

    by_id = {one.run_id: one for one in runs}
    at = base
    for run_id in chain:
        assert by_id[run_id].status == "succeeded"
        assert by_id[run_id].base_sha == at
        at = by_id[run_id].head_sha
    assert not chain or at == head
    assert bool(chain) == (base != head and head in reachable(runs, base))


def reachable(runs: list[RunFact], base: str) -> set[str]:
    """Return the heads that runs lead to, by brute force."""
    found = {base}
    for _ in runs:
        found |= {
            one.head_sha
            for one in runs
            if one.status == "succeeded" and one.head_sha and one.base_sha in found
        }
    return found


@settings(deadline=None)
@given(st.lists(RUNS, max_size=6), st.none() | ANY_SHAS, st.randoms(use_true_random=False))
def test_the_order_of_the_runs_means_nothing(
    runs: list[RunFact], base: str, chance: object
) -> None:
    mixed = list(runs)
    chance.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis gives a random.Random

    assert covering_runs(mixed, base=base, head=B) == covering_runs(runs, base=base, head=B)
    assert approved_run(mixed, base=base) == approved_run(runs, base=base)


def test_a_branch_with_thousands_of_runs_costs_one_look_at_each() -> None:
    shas = [f"{number:040x}" for number in range(5001)]
    chain = [run(shas[n], shas[n + 1], f"r{n:05}") for n in range(5000)]

    found = covering_runs(chain[::-1], base=shas[0], head=shas[-1])

    assert found == tuple(f"r{n:05}" for n in range(5000))


@pytest.mark.parametrize(
    ("runs", "approved"),
    [
        ([], ""),
        ([run(D, A, "r1")], "r1"),  # it led to the snapshot
        ([run(D, A, "r1"), run(C, A, "r2")], "r2"),
        ([run(D, A, "r1"), run(A, C, "r0")], "r0"),  # it went on from there
        ([run(A, C, "r1"), run(C, D, "r0")], "r0"),
        ([run(D, A, "r1", status="failed")], ""),
        ([run(C, D, "r1")], ""),  # another place
    ],
)
def test_the_run_that_last_approved_a_head(runs: list[RunFact], approved: str) -> None:
    for order in permutations(runs):
        found = approved_run(order, base=A)
        assert (found.run_id if found else "") == approved


def test_without_a_snapshot_it_is_the_last_run_of_the_branch() -> None:
    last = run(C, D, "r2")

    assert approved_run([run(A, B, "r1"), last], base=None) == last
    assert approved_run([], base=None) is None
