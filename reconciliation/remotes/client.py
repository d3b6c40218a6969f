"""`GitRemote`: read real remotes, over HTTP, ssh or from folders; writes only to its own mirrors.

Heads come from one exchange per repository. Ancestry and changed paths come from a partial bare
mirror per repository below `mirror_root`. Safe to share between threads and processes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from reconciliation.remotes.base import (
    LOOK_BACK,
    NULL_ID,
    ChangedEntries,
    ChangedPaths,
    CommitInfo,
    Comparison,
    HistoryUnknown,
    LookBack,
    RemoteHeads,
    RemoteTarget,
    Standing,
    is_null_id,
    require_object_id,
)
from reconciliation.remotes.git import Git
from reconciliation.remotes.history import INCOMPLETE, commits_between, compare_pairs
from reconciliation.remotes.mirror import Mirror, adopt_mirror
from reconciliation.remotes.mirror_changes import read_changes
from reconciliation.remotes.mirror_standings import MirrorStandings
from reconciliation.remotes.objects import parse_commit
from reconciliation.remotes.protocol import Limits
from reconciliation.remotes.reach import Reach
from reconciliation.remotes.readers import ObjectReaders
from reconciliation.remotes.supply import Supply
from reconciliation.remotes.urls import UrlRules


class GitRemote:
    """The adapter for real remotes. See `Remote` for what each method promises."""

    def __init__(
        self,
        mirror_root: Path,
        *,
        allowed_local_roots: Sequence[Path] = (),
        allow_insecure_http: bool = False,
        block_private_addresses: bool = False,
        allow_unfiltered_fetches: bool = False,
        connect_timeout_seconds: float = 5,
        read_timeout_seconds: float = 15,
        git_timeout_seconds: float = 60,
        fetch_seconds: float = 240,
        fetch_silence_seconds: float = 60,
        look_back: LookBack = LOOK_BACK,
        user_agent: str = "git/reconciler",
    ) -> None:
        self._mirror_root = mirror_root.resolve()
        self._git = Git(timeout_seconds=git_timeout_seconds, fetch_seconds=fetch_seconds)
        self._readers = ObjectReaders(self._git)
        self._standings = MirrorStandings(self._git, look_back)
        self._reach = Reach(
            self._git,
            rules=UrlRules(tuple(allowed_local_roots), allow_insecure_http),
            limits=Limits(
                connect_timeout_seconds=connect_timeout_seconds,
                read_timeout_seconds=read_timeout_seconds,
                total_timeout_seconds=max(git_timeout_seconds, read_timeout_seconds),
            ),
            block_private_addresses=block_private_addresses,
            allow_unfiltered_fetches=allow_unfiltered_fetches,
            fetch_silence_seconds=fetch_silence_seconds,
            user_agent=user_agent,
        )

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        """Read all heads in one exchange; see `Remote`."""
        return self._reach.read_heads(target)

    def sync(self, target: RemoteTarget, heads: Mapping[str, str]) -> None:
        """Bring the history of these heads into the mirror; see `Remote`."""
        wanted = {
            name: oid for name, oid in heads.items() if not is_null_id(require_object_id(oid))
        }
        self._supply(target).obtain(wanted.values(), heads=wanted)

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        """Relate each (old, new) pair; see `Remote`.

        A commit the mirror lacks is asked of the remote once, as the governed head of a branch
        may have been pushed away before we ever saw it.
        """
        supply = self._supply(target)
        oids = {require_object_id(oid) for pair in pairs for oid in pair}
        lacking = dict.fromkeys(filter(is_null_id, oids), NULL_ID)
        lacking |= supply.obtain(oids - lacking.keys())
        answers: dict[tuple[str, str], Comparison] = {}
        for old, new in dict.fromkeys(pairs):
            if reason := lacking.get(old) or lacking.get(new):
                answers[old, new] = Comparison.unknown(reason)
        askable = [pair for pair in dict.fromkeys(pairs) if pair not in answers]
        if askable:
            with supply.mirror.reading():
                answers |= compare_pairs(self._git, supply.mirror.git_dir, askable)
        holes = {oid for pair in askable if answers[pair].reason == INCOMPLETE for oid in pair}
        if holes:
            supply.mirror.set_aside_if_damaged(tips=holes)
        return {pair: answers[pair] for pair in dict.fromkeys(pairs)}

    def commits(self, target: RemoteTarget, oids: Sequence[str]) -> dict[str, CommitInfo]:
        """Return what the mirror knows of these commits; see `Remote`. Never fetches."""
        wanted = [require_object_id(oid) for oid in dict.fromkeys(oids)]
        found = self._supply(target).read(wanted)
        return {
            oid: parse_commit(oid, content)
            for oid, (kind, content) in found.items()
            if kind == b"commit"
        }

    def commits_between(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> tuple[str, ...]:
        """Return the commits that new has and old has not; see `Remote`."""
        supply = self._supply(target)
        if lacking := supply.obtain({require_object_id(old), require_object_id(new)}):
            raise HistoryUnknown(_all_reasons(lacking))
        with supply.mirror.reading():
            return commits_between(self._git, supply.mirror.git_dir, old, new, limit=limit)

    def changed_paths(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedPaths:
        """Return the paths that differ between two commits; see `Remote`."""
        return self.changed_entries(target, old, new, limit=limit).paths()

    def changed_entries(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedEntries:
        """Return what differs between two commits, with the ids on both sides; see `Remote`."""
        return self.changes(target, [(old, new)], limit=limit)[old, new]

    def changes(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]], *, limit: int
    ) -> dict[tuple[str, str], ChangedEntries]:
        """Return what differs between many pairs of commits; see `Remote`."""
        supply = self._supply(target)
        lacking = supply.obtain({require_object_id(oid) for pair in pairs for oid in pair})
        unknown = {
            pair: ChangedEntries({}, truncated=False, known=False, reason=_all_reasons(reasons))
            for pair in pairs
            if (reasons := {oid: lacking[oid] for oid in pair if oid in lacking})
        }
        askable = [pair for pair in dict.fromkeys(pairs) if pair not in unknown]
        return unknown | read_changes(supply, askable, limit=limit)

    def standings(
        self,
        target: RemoteTarget,
        heads: Mapping[str, str],
        *,
        base: tuple[str, str],
        look_for_changes: Collection[str],
        compare_files: Collection[str] = (),
    ) -> dict[str, Standing]:
        """Return how each head stands to `base`; see `Remote`.

        What was answered once is remembered beside the mirror: asked again about the same heads,
        this starts no process.
        """
        for oid in (base[1], *heads.values()):
            require_object_id(oid)
        return self._standings.of(
            self._supply(target),
            heads,
            base=base,
            look_for=look_for_changes,
            prove_for=compare_files,
            compare=lambda pairs: self.compare(target, pairs),
        )

    def adopt(self, mirror_key: str, *, new_key: str) -> None:
        """Give a mirror its final name; see `NewRemote`."""
        adopt_mirror(self._mirror_root, mirror_key, new_key=new_key)

    def close(self) -> None:
        """End the processes that are kept for the next question."""
        self._readers.close()

    def _supply(self, target: RemoteTarget) -> Supply:
        mirror = Mirror(
            self._git,
            self._mirror_root,
            target.mirror_key,
            lock_timeout_seconds=self._git.timeout_seconds,
        )
        return Supply(self._git, self._reach, target, mirror, self._readers)


def _all_reasons(lacking: Mapping[str, str]) -> str:
    return "; ".join(sorted(set(lacking.values())))
