"""`GitRemote`: read real remotes, over HTTP, ssh or from folders; writes only to its own mirrors.

Heads come from one exchange per repository. Ancestry and changed paths come from a partial bare
mirror per repository below `mirror_root`. Safe to share between threads and processes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from reconciliation.remotes.base import (
    NOT_THERE,
    NULL_ID,
    ChangedEntries,
    ChangedPaths,
    CommitInfo,
    Comparison,
    HistoryUnknown,
    RemoteHeads,
    RemoteMalformed,
    RemoteRefused,
    RemoteTarget,
    is_null_id,
    require_object_id,
)
from reconciliation.remotes.fetching import (
    MirrorSuspect,
    fetch_commits,
    fetch_heads,
    fetch_trees,
)
from reconciliation.remotes.git import Git
from reconciliation.remotes.history import INCOMPLETE, commits_between, compare_pairs
from reconciliation.remotes.mirror import Mirror
from reconciliation.remotes.objects import (
    MirrorUnreadable,
    parse_commit,
    present_commits,
    read_objects,
)
from reconciliation.remotes.protocol import Limits
from reconciliation.remotes.reach import Reach
from reconciliation.remotes.trees import TreesUnknown, changed_entries
from reconciliation.remotes.urls import UrlRules

NO_FILTER = (
    "the server offers no partial fetches, and we do not fetch files;"
    " switch uploadpack.allowFilter on there"
)
NO_TREES = "the remote does not hand out single trees"


class GitRemote:
    """The adapter for real remotes. See `Remote` for what each method promises."""

    def __init__(
        self,
        mirror_root: Path,
        *,
        allowed_local_roots: Sequence[Path] = (),
        allow_insecure_http: bool = False,
        block_private_addresses: bool = False,
        connect_timeout_seconds: float = 5,
        read_timeout_seconds: float = 15,
        git_timeout_seconds: float = 60,
        user_agent: str = "git/reconciler",
    ) -> None:
        self._mirror_root = mirror_root.resolve()
        self._git = Git(timeout_seconds=git_timeout_seconds)
        self._reach = Reach(
            self._git,
            rules=UrlRules(tuple(allowed_local_roots), allow_insecure_http),
            limits=Limits(
                connect_timeout_seconds=connect_timeout_seconds,
                read_timeout_seconds=read_timeout_seconds,
                total_timeout_seconds=max(git_timeout_seconds, read_timeout_seconds),
            ),
            block_private_addresses=block_private_addresses,
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
        self._obtain(target, self._mirror(target), set(wanted.values()), heads=wanted)

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        """Relate each (old, new) pair; see `Remote`.

        A commit the mirror lacks is asked of the remote once, as the governed head of a branch
        may have been pushed away before we ever saw it.
        """
        oids = {require_object_id(oid) for pair in pairs for oid in pair}
        mirror = self._mirror(target)
        nothing = {oid for oid in oids if is_null_id(oid)}
        lacking = self._obtain(target, mirror, oids - nothing)
        answers: dict[tuple[str, str], Comparison] = {}
        askable = []
        for pair in dict.fromkeys(pairs):
            if nothing & set(pair):
                answers[pair] = Comparison.unknown(NULL_ID)
            elif unknown := [lacking[oid] for oid in pair if oid in lacking]:
                answers[pair] = Comparison.unknown(unknown[0])
            else:
                askable.append(pair)
        if askable:
            with mirror.reading():
                answers |= compare_pairs(self._git, mirror.git_dir, askable)
        holes = {pair for pair in askable if answers[pair].reason == INCOMPLETE}
        if holes:
            mirror.set_aside_if_damaged(tips={oid for pair in holes for oid in pair})
        return {pair: answers[pair] for pair in dict.fromkeys(pairs)}

    def commits(self, target: RemoteTarget, oids: Sequence[str]) -> dict[str, CommitInfo]:
        """Return what the mirror knows of these commits; see `Remote`. Never fetches."""
        wanted = [require_object_id(oid) for oid in dict.fromkeys(oids)]
        mirror = self._mirror(target)
        if not wanted or not mirror.exists:
            return {}
        found = self._read(mirror, wanted)
        return {
            oid: parse_commit(oid, content)
            for oid, (kind, content) in found.items()
            if kind == b"commit"
        }

    def commits_between(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> tuple[str, ...]:
        """Return the commits that new has and old has not; see `Remote`."""
        mirror = self._mirror(target)
        lacking = self._obtain(target, mirror, {require_object_id(old), require_object_id(new)})
        if lacking:
            raise HistoryUnknown("; ".join(sorted(set(lacking.values()))))
        with mirror.reading():
            return commits_between(self._git, mirror.git_dir, old, new, limit=limit)

    def changed_paths(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedPaths:
        """Return the paths that differ between two commits; see `Remote`."""
        return self.changed_entries(target, old, new, limit=limit).paths()

    def changed_entries(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedEntries:
        """Return what differs between two commits, with the ids on both sides; see `Remote`."""
        mirror = self._mirror(target)
        lacking = self._obtain(target, mirror, {require_object_id(old), require_object_id(new)})
        if lacking:
            reason = "; ".join(sorted(set(lacking.values())))
            return ChangedEntries({}, truncated=False, known=False, reason=reason)
        commits = self.commits(target, [old, new])
        return changed_entries(
            commits[old].tree,
            commits[new].tree,
            limit=limit,
            read=lambda oids: self._read_trees(target, mirror, oids),
        )

    def _read_trees(
        self, target: RemoteTarget, mirror: Mirror, oids: list[str]
    ) -> Mapping[str, bytes]:
        found = self._read(mirror, oids)
        missing = [oid for oid in oids if oid not in found]
        if missing:
            self._bring_trees(target, mirror, missing)
            found |= self._read(mirror, missing)
        if any(oid not in found or found[oid][0] != b"tree" for oid in oids):
            raise TreesUnknown(NO_TREES)
        return {oid: content for oid, (_, content) in found.items()}

    def _read(self, mirror: Mirror, oids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        try:
            with mirror.reading():
                return read_objects(self._git, mirror.git_dir, oids)
        except MirrorUnreadable:
            mirror.set_aside()
            raise

    def _bring_trees(self, target: RemoteTarget, mirror: Mirror, oids: list[str]) -> None:
        way = self._reach.way_to(target)
        if not way.can_filter:
            raise TreesUnknown(NO_FILTER)

        def fetch() -> None:
            with mirror.writing(object_format=_object_format(oids)) as writer:
                if not fetch_trees(self._git, writer, way.access, oids):
                    raise TreesUnknown(NO_TREES)
                writer.finish()

        _mending(mirror, fetch)

    def _obtain(
        self,
        target: RemoteTarget,
        mirror: Mirror,
        oids: Collection[str],
        *,
        heads: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Make sure of these commits; return a reason for each that cannot be had.

        `heads` tells which of them are heads of which branch, as far as that is known.
        """
        missing = self._missing(mirror, oids)
        if not missing:
            return {}
        reason = self._bring(target, missing, heads=heads)
        absent = self._missing(mirror, oids)
        if absent - missing:  # the mirror was damaged and made anew: what it held is to be fetched
            reason = self._bring(target, absent, heads=heads)
            absent = self._missing(mirror, oids)
        return dict.fromkeys(absent, reason or NOT_THERE)

    def _missing(self, mirror: Mirror, oids: Iterable[str]) -> set[str]:
        wanted = sorted(set(oids))
        if not wanted or not mirror.exists:
            return set(wanted)
        try:
            with mirror.reading():
                return set(wanted) - present_commits(self._git, mirror.git_dir, wanted)
        except MirrorUnreadable:
            mirror.set_aside()
            return set(wanted)

    def _bring(
        self, target: RemoteTarget, missing: Collection[str], *, heads: Mapping[str, str]
    ) -> str:
        """Fetch what is missing; return why nothing was fetched, or an empty text."""
        way = self._reach.way_to(target)
        if not way.can_filter:
            return NO_FILTER
        mirror = self._mirror(target)
        wanted_heads = {name: oid for name, oid in heads.items() if oid in missing}
        others = set(missing) - set(wanted_heads.values())

        def heads_of_this_moment() -> Mapping[str, str]:
            return self.read_heads(target).heads

        def fetch() -> None:
            with mirror.writing(object_format=_object_format(missing)) as writer:
                lost = fetch_heads(
                    self._git, writer, way.access, wanted_heads, read_heads=heads_of_this_moment
                ) | fetch_commits(
                    self._git, writer, way.access, others, read_heads=heads_of_this_moment
                )
                writer.finish()
            if self._missing(mirror, set(missing) - lost):
                raise MirrorSuspect(RemoteMalformed("git fetched commits and did not keep them"))

        _mending(mirror, fetch)
        return ""

    def _mirror(self, target: RemoteTarget) -> Mirror:
        return Mirror(
            self._git,
            self._mirror_root,
            target.mirror_key,
            lock_timeout_seconds=self._git.timeout_seconds,
        )


def _mending(mirror: Mirror, fetch: Callable[[], None]) -> None:
    """Fetch; if that fails over a damaged mirror, start a new mirror and fetch once more."""
    try:
        fetch()
    except MirrorSuspect as suspect:
        if not mirror.set_aside_if_damaged():
            raise suspect.failure from suspect
    else:
        return
    try:
        fetch()
    except MirrorSuspect as suspect:
        raise suspect.failure from suspect


def _object_format(oids: Iterable[str]) -> str:
    lengths = {len(oid) for oid in oids}
    if len(lengths) > 1:
        raise RemoteRefused("these object ids are of two kinds; a repository has only one")
    return "sha256" if lengths == {64} else "sha1"
