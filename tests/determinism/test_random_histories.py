"""The class we give to a drift, against git's own plumbing, over 2,100 random histories.

Many small graphs lie in one repository, so that building it costs little per pair of commits.
Graphs come from a seed: nobody could read a shrunk one of hundreds, and it would take minutes.
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
REPOSITORIES = 6
GRAPHS_EACH = 350
BORN = 1_700_000_000
MOST_PARENTS = 3


@dataclass(frozen=True, slots=True)
class Built:
    """A bare repository, and the commits of each of its graphs."""

    path: Path
    graphs: list[list[str]]
    phantom: str


def random_graphs(chance: Random, number: int) -> list[Graph]:
    """Return histories of two to nine commits, with merges, several roots and clocks that lie."""
    return [
        [(chance.getrandbits(9), chance.randint(-3, 3)) for _ in range(chance.randint(2, 9))]
        for _ in range(number)
    ]


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
    """Return what `git fast-import` makes the graphs from.

    One last commit joins all of them, and is the one head: thousands of heads would cost more than
    everything else together.
    """
    lines, tips, mark = ["feature done"], set[int](), 0
    for number, graph in enumerate(graphs):
        marks: list[int] = []
        for place, (mask, moment) in enumerate(graph):
            mark += 1
            earlier = [marks[one] for one in range(place) if mask >> one & 1]
            parents = earlier[-MOST_PARENTS:]
            lines += _commit(f"commit {number} {place}", mark, parents, born=BORN + moment)
            marks.append(mark)
            tips = tips - set(parents) | {mark}
    lines += _commit("everything", mark + 1, sorted(tips), born=BORN)
    return "\n".join([*lines, "done", ""]).encode()


def _commit(words: str, mark: int, parents: list[int], *, born: int) -> list[str]:
    return [
        "reset refs/heads/everything",  # else it would follow the commit before it
        "",
        "commit refs/heads/everything",
        f"mark :{mark}",
        f"committer A U Thor <a@example.org> {born} +0000",
        f"data {len(words)}",
        words,
        *(f"{'merge' if place else 'from'} :{parent}" for place, parent in enumerate(parents)),
        "",
    ]


@contextmanager
def built(graphs: list[Graph], object_format: str) -> Iterator[Built]:
    """Make a repository of these graphs in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "api.git"
        path.mkdir()
        assert git(path, "init", "-q", "--bare", f"--object-format={object_format}").returncode == 0
        marks = Path(name) / "marks"
        asked = ("fast-import", "--quiet", "--done", f"--export-marks={marks}")
        made = git(path, *asked, stdin=stream_of(graphs))
        assert made.returncode == 0, made.stderr
        oids = iter(line.split()[1] for line in sorted(marks.read_text().splitlines(), key=_mark))
        yield Built(
            path, [[next(oids) for _ in graph] for graph in graphs], PHANTOMS[object_format]
        )


def _mark(line: str) -> int:
    return int(line.split(maxsplit=1)[0].removeprefix(":"))


def ancestors(built: Built, chance: Random) -> dict[str, set[str]]:
    """Return what each commit reaches, itself included, by the parents that git lists.

    What a few of them reach is asked of git one by one as well.
    """
    listed = git(built.path, "rev-list", "--all", "--topo-order", "--reverse", "--parents").stdout
    reach: dict[str, set[str]] = {}
    for oid, *parents in map(str.split, listed.decode().splitlines()):
        reach[oid] = {oid}.union(*(reach[parent] for parent in parents))
    for oid in chance.sample(sorted(reach), 20):
        assert reach[oid] == set(git(built.path, "rev-list", oid).stdout.decode().split())
    return reach


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
    max_examples=REPOSITORIES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would rebuild for minutes
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.integers(0, 2**32), st.sampled_from(["sha1", "sha1", "sha256"]))
def test_every_drift_has_the_class_that_git_itself_tells(seed: int, object_format: str) -> None:
    chance = Random(seed)
    with built(random_graphs(chance, GRAPHS_EACH), object_format) as repository:
        reach = ancestors(repository, chance)
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


def test_the_random_histories_are_thousands_and_hold_every_class() -> None:
    chance = Random(7)
    graphs = random_graphs(chance, GRAPHS_EACH)
    with built(graphs, "sha1") as repository:
        reach = ancestors(repository, chance)
        classes = [expected_class(*pair, reach) for pair in pairs_of(repository, chance)]

    shapes = {tuple(mask % 2**place for place, (mask, _) in enumerate(graph)) for graph in graphs}
    assert REPOSITORIES * GRAPHS_EACH >= 2000
    assert len(shapes) > GRAPHS_EACH * 0.7
    assert len(classes) > 10_000
    for drift_class in ("in_sync", "fast_forward", "rewound", "rewritten", "unrelated", "unknown"):
        assert classes.count(drift_class) >= 2, drift_class
