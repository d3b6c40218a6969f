"""`MemoryRemote`: the same promises as `GitRemote`, kept in dictionaries; for tests and dry runs.

It plays host and mirror at once: people push to it, it forgets what nobody points to any more
(`prune`), it can be made to fail, and what was never synced stays unknown to comparisons.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciliation.remotes.base import (
    LOOK_BACK,
    NOT_THERE,
    NULL_ID,
    ChangedEntries,
    ChangedPaths,
    CommitInfo,
    Comparison,
    HistoryUnknown,
    LookBack,
    RemoteError,
    RemoteHeads,
    RemoteNotFound,
    RemoteTarget,
    Standing,
    is_null_id,
    require_object_id,
)
from reconciliation.remotes.calls import note_call
from reconciliation.remotes.graph import CommitGraph, newest_first
from reconciliation.remotes.standings import Sources, find_standings


@dataclass(frozen=True, slots=True)
class MemoryCommit:
    """A commit as a test writes it down; `files` maps every path to a blob id."""

    oid: str
    parents: tuple[str, ...] = ()
    committed_at: int = 0
    author: str = "author@example.org"
    committer: str = "committer@example.org"
    files: Mapping[str, str] = field(default_factory=dict)
    tree: str = ""

    def info(self) -> CommitInfo:
        """Return what `Remote.commits` says of it; a tree that was not given is made up."""
        content = json.dumps(sorted(self.files.items())).encode()
        made_up = hashlib.sha256(content).hexdigest()[: len(self.oid)]
        return CommitInfo(
            self.oid,
            self.committed_at,
            self.author,
            self.committer,
            self.parents,
            self.tree or made_up,
        )


@dataclass(slots=True)
class MemoryRepository:
    """One repository on the pretended host."""

    commits: dict[str, MemoryCommit] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    default_branch: str | None = "main"
    object_format: str = "sha1"
    failure: RemoteError | None = None

    def history(self, tips: Iterable[str]) -> dict[str, MemoryCommit]:
        """Return the commits reachable from those of `tips` the host still has."""
        found: dict[str, MemoryCommit] = {}
        waiting = [oid for oid in tips if oid in self.commits]
        while waiting:
            oid = waiting.pop()
            if oid not in found:
                found[oid] = self.commits[oid]
                waiting.extend(self.commits[oid].parents)
        return found


class MemoryRemote:
    """Repositories by clone URL, mirrors by mirror key. Thread-safe."""

    def __init__(self, *, look_back: LookBack = LOOK_BACK) -> None:
        self._look_back = look_back
        self._repositories: dict[str, MemoryRepository] = {}
        self._mirrors: dict[str, dict[str, MemoryCommit]] = {}
        self._lock = threading.RLock()
        self.calls: list[tuple[str, str]] = []

    # What the people of the pretended host do.

    def create(
        self,
        clone_url: str,
        *,
        default_branch: str | None = "main",
        object_format: str = "sha1",
    ) -> None:
        """Make an empty repository."""
        with self._lock:
            self._repositories[clone_url] = MemoryRepository(
                default_branch=default_branch, object_format=object_format
            )

    def push(self, clone_url: str, branch: str, *commits: MemoryCommit) -> None:
        """Add commits, parents first, and point `branch` at the last one, by force if need be."""
        with self._lock:
            repository = self._repositories[clone_url]
            for commit in commits:
                require_object_id(commit.oid)
                unknown = [p for p in commit.parents if p not in repository.commits]
                if unknown:
                    raise ValueError(f"push the parents of {commit.oid} first: {unknown}")
                repository.commits[commit.oid] = commit
            repository.heads[branch] = commits[-1].oid

    def reset(self, clone_url: str, branch: str, oid: str) -> None:
        """Point `branch` at a commit the repository already has."""
        with self._lock:
            repository = self._repositories[clone_url]
            repository.heads[branch] = repository.commits[oid].oid

    def delete_branch(self, clone_url: str, branch: str) -> None:
        """Remove a branch; its commits stay until `prune`."""
        with self._lock:
            del self._repositories[clone_url].heads[branch]

    def prune(self, clone_url: str) -> None:
        """Forget every commit no branch leads to, as a host's garbage collection does."""
        with self._lock:
            repository = self._repositories[clone_url]
            repository.commits = repository.history(repository.heads.values())

    def set_default_branch(self, clone_url: str, branch: str | None) -> None:
        """Point HEAD at another branch."""
        with self._lock:
            self._repositories[clone_url].default_branch = branch

    def rename(self, clone_url: str, new_url: str) -> None:
        """Give a repository another address; the old one leads there, as hosts redirect it."""
        with self._lock:
            self._repositories[new_url] = self._repositories[clone_url]

    def fail(self, clone_url: str, failure: RemoteError | None) -> None:
        """Make every exchange with this repository fail so, until told otherwise (None)."""
        with self._lock:
            self._repositories[clone_url].failure = failure

    # What `Remote` promises.

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        """Read all heads; see `Remote`."""
        with self._lock:
            repository = self._reach("read_heads", target)
            return RemoteHeads.of(
                repository.heads.items(),
                default_branch=repository.default_branch,
                object_format=repository.object_format,
            )

    def sync(self, target: RemoteTarget, heads: Mapping[str, str]) -> None:
        """Copy the history of these heads into the mirror; see `Remote`."""
        wanted = {
            name: oid for name, oid in heads.items() if not is_null_id(require_object_id(oid))
        }
        with self._lock:
            mirror = self._mirror(target)
            missing = {name: oid for name, oid in wanted.items() if oid not in mirror}
            if not missing:
                return
            repository = self._reach("sync", target)
            gone = {name for name, oid in missing.items() if oid not in repository.commits}
            successors = [repository.heads[name] for name in gone if name in repository.heads]
            mirror.update(repository.history([*missing.values(), *successors]))

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        """Relate each (old, new) pair; see `Remote`."""
        with self._lock:
            oids = {require_object_id(oid) for pair in pairs for oid in pair}
            lacking = self._obtain(target, {oid for oid in oids if not is_null_id(oid)})
            mirror = self._mirror(target)
            graph = CommitGraph({oid: commit.parents for oid, commit in mirror.items()})
            answers = {}
            for old, new in pairs:
                if is_null_id(old) or is_null_id(new):
                    answers[old, new] = Comparison.unknown(NULL_ID)
                elif old in lacking or new in lacking:
                    answers[old, new] = Comparison.unknown(NOT_THERE)
                else:
                    answers[old, new] = graph.compare(old, new)
            return answers

    def commits(self, target: RemoteTarget, oids: Sequence[str]) -> dict[str, CommitInfo]:
        """Return what the mirror knows of these commits; see `Remote`."""
        with self._lock:
            mirror = self._mirror(target)
            wanted = [require_object_id(oid) for oid in dict.fromkeys(oids)]
            return {oid: mirror[oid].info() for oid in wanted if oid in mirror}

    def commits_between(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> tuple[str, ...]:
        """Return the commits that new has and old has not; see `Remote`."""
        with self._lock:
            if self._obtain(target, {require_object_id(old), require_object_id(new)}):
                raise HistoryUnknown(NOT_THERE)
            mirror = MemoryRepository(commits=self._mirror(target))
            left_out = mirror.history([old])
            between = {o: c for o, c in mirror.history([new]).items() if o not in left_out}
            return newest_first(
                {oid: commit.parents for oid, commit in between.items()},
                {oid: commit.committed_at for oid, commit in between.items()},
                limit=limit,
            )

    def changed_paths(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedPaths:
        """Return the paths that differ between two commits; see `Remote`."""
        return self.changed_entries(target, old, new, limit=limit).paths()

    def changed_entries(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedEntries:
        """Return what differs between two commits; see `Remote`."""
        with self._lock:
            if self._obtain(target, {require_object_id(old), require_object_id(new)}):
                return ChangedEntries({}, truncated=False, known=False, reason=NOT_THERE)
            mirror = self._mirror(target)
            before, after = mirror[old].files, mirror[new].files
        entries = {
            path: (before.get(path), after.get(path))
            for path in sorted(before.keys() | after.keys())
            if before.get(path) != after.get(path)
        }
        kept = dict(list(entries.items())[:limit])
        return ChangedEntries(kept, truncated=len(entries) > limit)

    def changes(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]], *, limit: int
    ) -> dict[tuple[str, str], ChangedEntries]:
        """Return what differs between many pairs of commits; see `Remote`."""
        return {pair: self.changed_entries(target, *pair, limit=limit) for pair in pairs}

    def standings(
        self,
        target: RemoteTarget,
        heads: Mapping[str, str],
        *,
        base: tuple[str, str],
        look_for_changes: Collection[str],
        compare_files: Collection[str] = (),  # noqa: ARG002 - files have no lines here
    ) -> dict[str, Standing]:
        """Return how each head stands to `base`; see `Remote`."""
        self.sync(target, {base[0]: base[1], **heads})
        with self._lock:
            mirror = self._mirror(target)
            there = {
                name: oid for name, oid in heads.items() if oid in mirror and base[1] in mirror
            }
            found = {
                name: Standing(Comparison.unknown(NOT_THERE), "", NOT_THERE)
                for name in heads
                if name not in there
            }
            if not there:
                return found
            repository = MemoryRepository(commits=mirror)
            needed = repository.history([base[1], *there.values()])
            committed_at = {oid: commit.committed_at for oid, commit in needed.items()}
            parents = {oid: commit.parents for oid, commit in needed.items()}
            order = newest_first(parents, committed_at, limit=len(needed))
            of_base = repository.history([base[1]])
            standings, _ = find_standings(
                {oid: parents[oid] for oid in order},
                newest_first(
                    {oid: commit.parents for oid, commit in of_base.items()},
                    committed_at,
                    limit=self._look_back.commits,
                ),
                target=base[1],
                heads=set(there.values()),
                look_for={there[name] for name in look_for_changes if name in there},
                prove_for=(),
                look_back=self._look_back,
                sources=Sources(
                    changes_of=lambda pairs: self.changes(
                        target, pairs, limit=self._look_back.paths
                    ),
                    files_at=lambda oid, paths: {
                        path: mirror[oid].files.get(path) for path in paths
                    },
                ),
            )
        return found | {name: standings[oid] for name, oid in there.items()}

    def adopt(self, mirror_key: str, *, new_key: str) -> None:
        """Give a mirror its final name; see `NewRemote`."""
        with self._lock:
            if mirror_key in self._mirrors:
                self._mirrors[new_key] = self._mirrors.pop(mirror_key)

    def _reach(self, method: str, target: RemoteTarget) -> MemoryRepository:
        self.calls.append((method, target.clone_url))
        note_call()
        repository = self._repositories.get(target.clone_url)
        if repository is None:
            raise RemoteNotFound(f"{target.clone_url} is not there for this credential (404)")
        if repository.failure is not None:
            raise repository.failure
        return repository

    def _mirror(self, target: RemoteTarget) -> dict[str, MemoryCommit]:
        return self._mirrors.setdefault(target.mirror_key, {})

    def _obtain(self, target: RemoteTarget, oids: set[str]) -> set[str]:
        """Make sure of these commits; return the ones that cannot be had."""
        mirror = self._mirror(target)
        missing = oids - mirror.keys()
        if missing:
            mirror.update(self._reach("fetch", target).history(missing))
        return missing - mirror.keys()
