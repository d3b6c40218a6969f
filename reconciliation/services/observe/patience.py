"""Bounds how long a batch may ask remotes: what was not asked in time is handed back unasked."""

from collections.abc import Callable, Collection, Mapping, Sequence

from reconciliation.remotes.base import (
    ChangedEntries,
    ChangedPaths,
    CommitInfo,
    Comparison,
    Remote,
    RemoteHeads,
    RemoteTarget,
    RemoteThrottled,
    Standing,
)
from reconciliation.services.observe.values import OUT_OF_TIME


class OutOfTime(RemoteThrottled):
    """The batch's time was up before the remote was asked; nothing is known against the remote."""

    code = OUT_OF_TIME


class PatientRemote:
    """A remote that is asked only while `may_ask()` says so.

    An exchange that has begun is left to its own timeouts; only the next one is refused. So a
    batch ends soon after its time, however many slow repositories it holds, and what it has read
    by then is not read again.
    """

    def __init__(self, remote: Remote, *, may_ask: Callable[[], bool]) -> None:
        self._inner = remote
        self._may_ask = may_ask

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        """Read all heads; see `Remote`."""
        return self._remote.read_heads(target)

    def sync(self, target: RemoteTarget, heads: Mapping[str, str]) -> None:
        """Copy the history of these heads into the mirror; see `Remote`."""
        self._remote.sync(target, heads)

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        """Relate each (old, new) pair; see `Remote`."""
        return self._remote.compare(target, pairs)

    def commits(self, target: RemoteTarget, oids: Sequence[str]) -> dict[str, CommitInfo]:
        """Return what the mirror knows of these commits; see `Remote`."""
        return self._remote.commits(target, oids)

    def commits_between(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> tuple[str, ...]:
        """Return the commits that new has and old has not; see `Remote`."""
        return self._remote.commits_between(target, old, new, limit=limit)

    def changed_paths(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedPaths:
        """Return the paths that differ between two commits; see `Remote`."""
        return self._remote.changed_paths(target, old, new, limit=limit)

    def changed_entries(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedEntries:
        """Return what differs between two commits; see `Remote`."""
        return self._remote.changed_entries(target, old, new, limit=limit)

    def changes(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]], *, limit: int
    ) -> dict[tuple[str, str], ChangedEntries]:
        """Return what differs between many pairs of commits; see `Remote`."""
        return self._remote.changes(target, pairs, limit=limit)

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
        return self._remote.standings(
            target,
            heads,
            base=base,
            look_for_changes=look_for_changes,
            compare_files=compare_files,
        )

    @property
    def _remote(self) -> Remote:
        if not self._may_ask():
            raise OutOfTime("not asked: the batch's time was up", retry_after_seconds=1)
        return self._inner
