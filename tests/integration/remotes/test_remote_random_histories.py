"""Relations over histories git itself built, against the definition taken literally."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciliation.remotes import GitRemote, RemoteTarget
from reconciliation.remotes.git import Git
from reconciliation.remotes.history import compare_pairs
from tests.integration.remotes.hosts import BORN, GitHost, Sketch
from tests.unit.remotes.ancestry import ancestors, compare_by_definition

# Commits by number; each picks parents among the earlier ones and a date that need not make sense.
HISTORIES = st.integers(2, 10).flatmap(
    lambda size: st.tuples(
        *(
            st.tuples(
                st.lists(st.integers(0, number - 1), max_size=3, unique=True)
                if number
                else st.just([]),
                st.integers(-5, 5),
            )
            for number in range(size)
        )
    )
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HISTORIES)
def test_git_relates_any_two_commits_as_defined(
    history: tuple[tuple[list[int], int], ...],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        remote = GitRemote(folder / "mirrors", allowed_local_roots=[folder])
        host = GitHost(folder / "api.git", remote, RemoteTarget(str(folder / "api.git"), "1"))
        sketches = [
            Sketch(f"c{n}", tuple(f"c{p}" for p in parents), {}, BORN + moment)
            for n, (parents, moment) in enumerate(history)
        ]
        host.add(*sketches)
        for sketch in sketches:
            host.point(f"b/{sketch.name}", sketch.name)
        remote.sync(host.target, remote.read_heads(host.target).heads)
        oids = host.oids
        parents = {oids[s.name]: tuple(oids[p] for p in s.parents) for s in sketches}
        pairs = [(old, new) for old in parents for new in parents]
        expected = {pair: compare_by_definition(parents, *pair) for pair in pairs}

        assert remote.compare(host.target, pairs) == expected  # one walk for all
        few = pairs[1 : len(pairs) : max(1, len(pairs) // 8)][:8]
        git_dir = str(folder / "mirrors/1/mirror.git")
        assert compare_pairs(Git(), git_dir, few) == {pair: expected[pair] for pair in few}
        old, new = oids[sketches[0].name], oids[sketches[-1].name]
        between = remote.commits_between(host.target, old, new, limit=99)
        assert set(between) == ancestors(parents, new) - ancestors(parents, old)
        for position, oid in enumerate(between):
            assert not ancestors(parents, oid) & set(between[:position])
