"""The class we give to a drift, against git's own plumbing, over thousands of random histories.

Many small graphs lie in one repository, so that building it costs little per pair of commits.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reconciliation.domain.facts import HeadFacts
from reconciliation.evaluators.drift_class import classify
from reconciliation.remotes import GitRemote, RemoteTarget
from reconciliation.services.observe.ancestry import Ancestry, ancestry_of
from tests.unit.evaluators.facts import head_facts

PHANTOMS = {"sha1": "dead" * 10, "sha256": "dead" * 16}
"""A commit that no repository ever had, by object format."""

Graph = list[tuple[int, int]]
"""Of each commit: which earlier ones are its parents (a bit each), and a date of its own."""
COMMITS = st.tuples(st.integers(0, 2**9 - 1), st.integers(-3, 3))
GRAPHS = st.lists(st.lists(COMMITS, min_size=2, max_size=9), min_size=25, max_size=40)
BORN = 1_700_000_000
MOST_PARENTS = 3


@dataclass(frozen=True, slots=True)
class Built:
    """A bare repository, and the commits of each of its graphs."""

    path: Path
    graphs: list[list[str]]
    phantom: str


def git(path: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run plain git, without anybody's configuration."""
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(path)}
    return subprocess.run(
        ["git", "-C", str(path), *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        env=environment,
    )


def stream_of(graphs: list[Graph]) -> bytes:
    """Return what `git fast-import` makes the graphs from; every commit is the head of a branch."""
    lines, mark = ["feature done"], 0
    for number, graph in enumerate(graphs):
        marks: list[int] = []
        for place, (mask, moment) in enumerate(graph):
            mark += 1
            parents = [marks[earlier] for earlier in range(place) if mask >> earlier & 1]
            words = f"commit {number} {place}"
            lines += [
                f"commit refs/heads/g{number}/c{place}",
                f"mark :{mark}",
                f"committer A U Thor <a@example.org> {BORN + moment} +0000",
                f"data {len(words)}",
                words,
            ]
            keywords = ["from", "merge", "merge"]
            lines += [
                f"{keyword} :{parent}"
                for keyword, parent in zip(keywords, parents[-MOST_PARENTS:], strict=False)
            ]
            lines.append("")
            marks.append(mark)
    return "\n".join([*lines, "done", ""]).encode()


@contextmanager
def built(graphs: list[Graph], object_format: str) -> Iterator[Built]:
    """Make a repository of these graphs in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "api.git"
        path.mkdir()
        assert git(path, "init", "-q", "--bare", f"--object-format={object_format}").returncode == 0
        made = git(path, "fast-import", "--quiet", "--done", stdin=stream_of(graphs))
        assert made.returncode == 0, made.stderr
        listed = git(path, "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)").stdout
        heads = dict(line.split() for line in listed.decode().splitlines())
        yield Built(
            path,
            [[heads[f"g{n}/c{place}"] for place in range(len(g))] for n, g in enumerate(graphs)],
            PHANTOMS[object_format],
        )


def ancestors(built: Built) -> dict[str, set[str]]:
    """Return what each commit reaches, as `git rev-list` says, commit by commit."""
    return {
        oid: set(git(built.path, "rev-list", oid).stdout.decode().split())
        for graph in built.graphs
        for oid in graph
    }


def expected_class(governed: str, observed: str, reach: dict[str, set[str]]) -> str:
    """Return the class by its definition in the domain's table."""
    if governed == observed:
        return "in_sync"
    if {governed, observed} & set(PHANTOMS.values()):
        return "unknown"
    if governed in reach[observed]:
        return "fast_forward"
    if observed in reach[governed]:
        return "rewound"
    return "rewritten" if reach[governed] & reach[observed] else "unrelated"


def pairs_of(built: Built, chance: Random) -> list[tuple[str, str]]:
    """Return all pairs within each graph, some across graphs, and some with a commit nobody has."""
    every = [oid for graph in built.graphs for oid in graph]
    inside = [pair for graph in built.graphs for pair in product(graph, graph)]
    across = [(chance.choice(every), chance.choice(every)) for _ in range(100)]
    phantoms = [(built.phantom, chance.choice(every)), (chance.choice(every), built.phantom)]
    return list(dict.fromkeys([*inside, *across, *phantoms]))


def facts_of(governed: str, observed: str, found: Ancestry) -> HeadFacts:
    return head_facts(
        found.relation,
        governed_head=governed,
        observed_head=observed,
        ahead=found.ahead,
        behind=found.behind,
    )


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would rebuild for minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(GRAPHS, st.integers(0, 2**32), st.sampled_from(["sha1", "sha1", "sha256"]))
def test_every_drift_has_the_class_that_git_itself_tells(
    graphs: list[Graph], seed: int, object_format: str
) -> None:
    chance = Random(seed)
    with built(graphs, object_format) as repository:
        reach = ancestors(repository)
        folder = repository.path.parent
        remote = GitRemote(folder / "mirrors", allowed_local_roots=[folder])
        target = RemoteTarget(str(repository.path), "1")
        remote.sync(target, remote.read_heads(target).heads)
        pairs = pairs_of(repository, chance)
        named = {f"branch-{number}": pair for number, pair in enumerate(pairs)}

        at_once = ancestry_of(remote, target, named, with_paths=set())

        for name, (governed, observed) in named.items():
            found = at_once[name]
            expected = expected_class(governed, observed, reach)
            assert classify(facts_of(governed, observed, found)) == expected, (governed, observed)
            if expected != "unknown":
                assert found.ahead == len(reach[observed] - reach[governed])
                assert found.behind == len(reach[governed] - reach[observed])
        # A few pairs are answered in another way than many: ask for some of them alone.
        few = {name: named[name] for name in chance.sample(sorted(named), 8)}
        assert ancestry_of(remote, target, few, with_paths=set()) == {
            name: at_once[name] for name in few
        }
        for governed, observed in chance.sample(pairs, 25):
            is_ancestor = git(repository.path, "merge-base", "--is-ancestor", governed, observed)
            told = classify(
                facts_of(governed, observed, at_once[name_of(named, governed, observed)])
            )
            assert (is_ancestor.returncode == 0) == (told in {"in_sync", "fast_forward"})


def name_of(named: dict[str, tuple[str, str]], governed: str, observed: str) -> str:
    return next(name for name, pair in named.items() if pair == (governed, observed))


def test_the_random_histories_hold_every_class() -> None:
    chance = Random(7)
    graphs = [
        [(chance.getrandbits(9), chance.randint(-3, 3)) for _ in range(chance.randint(2, 9))]
        for _ in range(30)
    ]
    with built(graphs, "sha1") as repository:
        reach = ancestors(repository)
        classes = [expected_class(*pair, reach) for pair in pairs_of(repository, chance)]

    assert len(classes) > 900
    for drift_class in ("in_sync", "fast_forward", "rewound", "rewritten", "unrelated", "unknown"):
        assert classes.count(drift_class) >= 2, drift_class
