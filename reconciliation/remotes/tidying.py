"""Keep a mirror quick: a commit-graph, few packs, few refs. The caller holds the mirror's lock.

Every fetch leaves one small pack and a file per kept head. `git gc` and `git repack` would mend
that by writing the whole mirror anew each time; here only what is small is joined.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from reconciliation.remotes.git import Call, Git, run_git

KEPT = "refs/kept/"

_GRAPH_WORTHY_BYTES = 64 * 1024
_MANY_PACKS = 40
_SMALL_PACK_BYTES = 8 * 1024 * 1024
_MANY_LOOSE_REFS = 500
_REFS_PER_PROCESS = 5000


def pack_bytes(repository: Path) -> int:
    """Return the size of all packs."""
    return sum(pack.stat().st_size for pack in _packs(repository))


def tidy(git: Git, repository: Path, call: Call, *, new_bytes: int) -> None:
    """Do what is worth doing after a fetch that brought `new_bytes`; usually that is nothing."""
    if new_bytes > _GRAPH_WORTHY_BYTES:
        _write_commit_graph(git, call)
    small = [pack for pack in _packs(repository) if pack.stat().st_size < _SMALL_PACK_BYTES]
    if len(small) > _MANY_PACKS:
        _join_packs(git, repository, call, small)
    if _has_many_loose_refs(repository):
        _write_commit_graph(git, call)
        _drop_implied_refs(git, call)
        run_git(git, "pack-refs", "--all", "--prune", call=call)


def _packs(repository: Path) -> list[Path]:
    return sorted(repository.glob("objects/pack/*.pack"))


def _has_many_loose_refs(repository: Path) -> bool:
    kept = repository / KEPT
    return kept.is_dir() and sum(1 for _ in kept.iterdir()) > _MANY_LOOSE_REFS


def _write_commit_graph(git: Git, call: Call) -> None:
    """Never with --changed-paths: in a mirror without trees that fetches them one by one."""
    run_git(git, "commit-graph", "write", "--reachable", "--split", call=call)


def _join_packs(git: Git, repository: Path, call: Call, packs: list[Path]) -> None:
    """Write one pack in place of many, with the mark that what it refers to may be missing.

    The mark comes before the pack, the old packs go last: a kill at any point loses nothing.
    """
    oids: set[bytes] = set()
    for pack in packs:
        index = pack.with_suffix(".idx").read_bytes()
        listing = run_git(git, "show-index", call=replace(call, stdin=index))
        oids.update(line.split()[1] for line in listing.stdout.splitlines())
    with tempfile.TemporaryDirectory(prefix="tmp_join_", dir=repository / "objects") as name:
        folder = Path(name)
        wanted = replace(call, stdin=b"\n".join(sorted(oids)) + b"\n")
        if run_git(git, "pack-objects", "-q", str(folder / "pack"), call=wanted).status != 0:
            return  # an object is bad; that shows, and is mended, where it is asked for
        joined = {pack.stem for pack in folder.glob("*.pack")}
        for stem in joined:
            (folder / f"{stem}.promisor").touch()
        for suffix in (".promisor", ".rev", ".pack", ".idx"):
            for part in folder.glob(f"*{suffix}"):
                part.replace(repository / "objects" / "pack" / part.name)
    for pack in packs:
        if joined and pack.stem not in joined:
            for suffix in (".idx", ".pack", ".rev", ".promisor"):
                pack.with_suffix(suffix).unlink(missing_ok=True)


def _drop_implied_refs(git: Git, call: Call) -> None:
    """A kept head that is an ancestor of another kept head stays reachable without its ref."""
    listing = run_git(git, "for-each-ref", "--format=%(objectname)", KEPT, call=call)
    oids = listing.stdout.decode().split()
    for start in range(0, len(oids), _REFS_PER_PROCESS):
        batch = oids[start : start + _REFS_PER_PROCESS]
        tips = run_git(git, "merge-base", "--independent", *batch, call=call)
        if tips.status != 0 or tips.stderr:
            return  # something is missing: then every ref counts
        implied = set(batch) - set(tips.stdout.decode().split())
        commands = "".join(f"delete {KEPT}{oid}\n" for oid in sorted(implied))
        run_git(git, "update-ref", "--stdin", call=replace(call, stdin=commands.encode()))
