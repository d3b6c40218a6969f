"""Measure how a whole stale pass reads one repository, against plain git on the same one.

A history of 25,000 commits with 1,000 idle branches, half of them merged in one of three ways.
Plain git reads the whole graph once (`rev-list --parents --all`) and what the newest 200 commits
changed (`log --raw --no-renames -200 main`). Both sides are measured in seconds of CPU, git's own
processes included, since the machine is shared; the figure is the median of the paired ratios. The
mirror has its trees; nothing is remembered of earlier passes. Each result is one line of JSON.
Run: python -m tests.benchmarks.stale_pass [--commits 25000] [--branches 1000] [--pairs 5]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from reconciliation.remotes import GitRemote, RemoteTarget
from reconciliation.remotes.base import Standing
from tests.git_worlds import Fate, World, build_world

SHARES = {
    Fate.UNMERGED: 0.42,
    Fate.HALF_SQUASHED: 0.08,
    Fate.MERGED: 0.17,
    Fate.SQUASHED: 0.13,
    Fate.REBASED: 0.12,
    Fate.SQUASHED_BESIDE_OTHERS: 0.04,
    Fate.REBASED_BESIDE_OTHERS: 0.04,
}


def main() -> None:
    """Print one line for a first pass and one for a second with nothing changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=25_000)
    parser.add_argument("--branches", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stale-pass-") as name:
        folder = Path(name)
        world = build_world(
            folder / "r.git",
            commits=options.commits,
            branches={fate: int(share * options.branches) for fate, share in SHARES.items()},
        )
        measure(world, folder / "mirrors", pairs=options.pairs)


def measure(world: World, mirrors: Path, *, pairs: int) -> None:
    """Take turns; the first turn of ours brings trees into the mirror and is not counted."""
    found: dict[str, Standing] = {}

    def ours() -> None:
        (mirrors / "1" / "memo.sqlite3").unlink(missing_ok=True)
        found.update(one_pass(world, mirrors))

    def theirs() -> None:
        world.git("rev-list", "--parents", "--all")
        world.git("log", "--raw", "--no-renames", "-200", "main")

    first = cpu_seconds(ours)
    rows = [(cpu_seconds(theirs), cpu_seconds(ours)) for _ in range(pairs)]
    again = [cpu_seconds(lambda: one_pass(world, mirrors)) for _ in range(pairs)]
    git = statistics.median(row[0] for row in rows)
    raw = {
        "git_cpu_s": round(git, 3),
        "ours_cpu_s": round(statistics.median(row[1] for row in rows), 3),
        "first_pass_with_fetches_cpu_s": round(first, 3),
        "branches": len(found),
        "commits": world.commits,
        "answers": answers(world, found),
    }
    report("stale_pass.first", statistics.median(row[1] / row[0] for row in rows), 3.0, raw)
    report("stale_pass.unchanged", statistics.median(again) / git, 0.5, {})


def one_pass(world: World, mirrors: Path) -> dict[str, Standing]:
    """Ask how all branches stand to main, as the stale check does."""
    remote = GitRemote(mirrors, allowed_local_roots=[world.path.parent])
    heads = world.heads()
    main_head = heads.pop("main")
    found = remote.standings(
        RemoteTarget(str(world.path), "1"),
        heads,
        base=("main", main_head),
        look_for_changes=heads,
    )
    remote.close()
    return found


def answers(world: World, found: dict[str, Standing]) -> dict[str, int]:
    """Count the answers by the fate of the branch; a wrong one would show here."""
    counts = Counter(
        f"{world.fates[name]}: {one.merged_by or ('cannot be told' if one.merge_unknown else 'no')}"
        for name, one in found.items()
    )
    return dict(sorted(counts.items()))


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of this process and of its ended children."""
    before = used()
    work()
    return used() - before


def used() -> float:
    """Return what was used so far."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def report(name: str, ratio: float, target: float, raw: dict[str, object]) -> None:
    """Print a figure."""
    met = ratio <= target
    print(
        json.dumps(
            {"name": name, "ratio": round(ratio, 2), "target": target, "met": met, "raw": raw}
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
