"""Relations in a commit graph, against the definition taken literally."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciliation.remotes.base import Comparison, Relation
from reconciliation.remotes.graph import CommitGraph, newest_first
from tests.unit.remotes.ancestry import ancestors, compare_by_definition

GRAPHS = st.integers(1, 14).flatmap(
    lambda size: st.tuples(
        *(
            st.lists(st.integers(0, number - 1), max_size=3, unique=True) if number else st.just([])
            for number in range(size)
        )
    )
)


def named(graph: tuple[list[int], ...]) -> dict[str, tuple[str, ...]]:
    return {f"c{n:02}": tuple(f"c{p:02}" for p in parents) for n, parents in enumerate(graph)}


@given(GRAPHS)
def test_every_pair_of_any_graph_is_related_as_defined(graph: tuple[list[int], ...]) -> None:
    parents = named(graph)
    relations = CommitGraph(parents)

    for old in parents:
        for new in parents:
            assert relations.compare(old, new) == compare_by_definition(parents, old, new)


@given(GRAPHS, st.randoms(use_true_random=False))
def test_the_order_of_a_graph_is_the_same_however_it_was_written_down(
    graph: tuple[list[int], ...], chance: object
) -> None:
    parents = named(graph)
    dates = {oid: len(oid_parents) for oid, oid_parents in parents.items()}
    shuffled = list(parents.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random

    ordered = newest_first(parents, dates, limit=99)

    assert newest_first(dict(shuffled), dates, limit=99) == ordered
    assert sorted(ordered) == sorted(parents)
    for position, oid in enumerate(ordered):
        assert not ancestors(parents, oid) & set(ordered[:position])


def test_a_long_history_needs_no_recursion() -> None:
    parents = {str(n): (str(n - 1),) if n else () for n in range(5000)}

    answer = CommitGraph(dict(reversed(parents.items()))).compare("0", "4999")

    assert answer == Comparison(Relation.ANCESTOR, 4999, 0, "0")
