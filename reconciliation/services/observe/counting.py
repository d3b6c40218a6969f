"""Counts the calls that a batch makes to remotes, by repository; changes nothing about them."""

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from reconciliation.remotes.base import (
    ChangedEntries,
    ChangedPaths,
    CommitInfo,
    Comparison,
    Remote,
    RemoteHeads,
    RemoteTarget,
    Standing,
)
from reconciliation.remotes.calls import counted_calls


class CountingRemote:
    """A remote that remembers how many calls each repository cost, failed ones included.

    `calls` is by (mirror key, clone URL). Safe to use from the threads that read heads.
    """

    def __init__(self, remote: Remote) -> None:
        self._inner = remote
        self._lock = threading.Lock()
        self.calls: Counter[tuple[str, str]] = Counter()

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        """Read all heads; see `Remote`."""
        with self._counting(target):
            return self._inner.read_heads(target)

    def sync(self, target: RemoteTarget, heads: Mapping[str, str]) -> None:
        """Copy the history of these heads into the mirror; see `Remote`."""
        with self._counting(target):
            self._inner.sync(target, heads)

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        """Relate each (old, new) pair; see `Remote`."""
        with self._counting(target):
            return self._inner.compare(target, pairs)

    def commits(self, target: RemoteTarget, oids: Sequence[str]) -> dict[str, CommitInfo]:
        """Return what the mirror knows of these commits; see `Remote`."""
        return self._inner.commits(target, oids)

    def commits_between(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> tuple[str, ...]:
        """Return the commits that new has and old has not; see `Remote`."""
        with self._counting(target):
            return self._inner.commits_between(target, old, new, limit=limit)

    def changed_paths(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedPaths:
        """Return the paths that differ between two commits; see `Remote`."""
        with self._counting(target):
            return self._inner.changed_paths(target, old, new, limit=limit)

    def changed_entries(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedEntries:
        """Return what differs between two commits; see `Remote`."""
        with self._counting(target):
            return self._inner.changed_entries(target, old, new, limit=limit)

    def changes(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]], *, limit: int
    ) -> dict[tuple[str, str], ChangedEntries]:
        """Return what differs between many pairs of commits; see `Remote`."""
        with self._counting(target):
            return self._inner.changes(target, pairs, limit=limit)

    def standings(
        self,
        target: RemoteTarget,
        heads: Mapping[str, str],
        *,
        base: tuple[str, str],
        look_for_changes: Collection[str],
        compare_files: Collection[str] = (),
    ) -> dict[str, Standing]:
        """Return how each head stands to `base`; see `Remote`."""
        with self._counting(target):
            return self._inner.standings(
                target,
                heads,
                base=base,
                look_for_changes=look_for_changes,
                compare_files=compare_files,
            )

    @contextmanager
    def _counting(self, target: RemoteTarget) -> Iterator[None]:
        with counted_calls() as calls:
            try:
                yield
            finally:
                if calls.made:
                    with self._lock:
                        self.calls[target.mirror_key, target.clone_url] += calls.made
