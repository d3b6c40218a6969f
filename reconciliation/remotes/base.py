"""The words for reading a remote: targets, heads, ancestry, and the errors that reading can meet.

Nothing here touches a network, a disk or a clock. Every adapter (`GitRemote`, `MemoryRemote`)
speaks in these values, so that observe never learns how a remote is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Protocol

NOT_THERE = "the remote no longer has this commit"
NULL_ID = "the null object id names no commit"

_OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class RemoteError(Exception):
    """Reading a remote failed. The message is fit for an operator and never holds a secret.

    `code` is stable and fit for storage; `retry_after_seconds` is what the host asked for, if it
    did. A failure is never reported as "this repository has no heads".
    """

    code: ClassVar[str] = "remote_error"

    def __init__(self, message: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class RemoteUnavailable(RemoteError):
    """Temporary: refused connection, time-out, unknown name, 5xx, or a busy mirror. Try again."""

    code = "remote_unavailable"


class RemoteThrottled(RemoteError):
    """The host asks for patience (429, or 403 with Retry-After). Wait, then try again."""

    code = "remote_throttled"


class RemoteAuthFailed(RemoteError):
    """The host does not accept the credential (401, 403, ssh key). A person must replace it."""

    code = "remote_auth_failed"


class RemoteNotFound(RemoteError):
    """No such repository for this credential (404, 410). A person must look at the clone URL."""

    code = "remote_not_found"


class RemoteRefused(RemoteError):
    """We refuse to ask: the URL, its address or an argument is not allowed. Never retried."""

    code = "remote_refused"


class RemoteMalformed(RemoteError):
    """The answer is not what git would say: garbled, cut short, oversized, or a web page."""

    code = "remote_malformed"


class DiskFull(RemoteError):
    """Our own disk, which holds the mirrors, is full. No host and no credential is at fault."""

    code = "disk_full"


DISK_FULL = "the disk that holds the mirrors is full: make room on it"


class HistoryUnknown(RemoteError):
    """The commits asked about are not in the mirror and the remote no longer gives them."""

    code = "history_unknown"


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and its secret (password or token) for HTTP; its repr shows no secret."""

    username: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RemoteTarget:
    """Which repository to read. `mirror_key` names its mirror directory, e.g. the repository id."""

    clone_url: str
    mirror_key: str
    credential: Credential | None = None


@dataclass(frozen=True, slots=True)
class RemoteHeads:
    """All branch heads of one repository, as one exchange saw them.

    `heads` maps branch names, exactly as git has them but without the leading `refs/heads/`, to
    object ids (40 or 64 hex digits), in code-point order. A byte of a name that is not UTF-8 is
    written `\\xNN`: git forbids backslashes in ref names, so the spelling cannot collide.
    `default_branch` is where HEAD points, also when that branch is yet to be born; None when
    HEAD is detached or unknown. `digest` is the SHA-256 of the lines `<oid> <name>\\n`.
    """

    heads: Mapping[str, str]
    default_branch: str | None
    object_format: str
    digest: str

    @classmethod
    def of(
        cls, heads: Iterable[tuple[str, str]], *, default_branch: str | None, object_format: str
    ) -> RemoteHeads:
        """Sort the heads and digest them: same heads in any order, same value."""
        ordered = dict(sorted(heads))
        lines = "".join(f"{oid} {name}\n" for name, oid in ordered.items())
        digest = hashlib.sha256(lines.encode()).hexdigest()
        return cls(ordered, default_branch, object_format, digest)


class Relation(StrEnum):
    """How the old head stands to the new one."""

    SAME = "same"
    ANCESTOR = "ancestor"  # old is an ancestor of new: a fast-forward
    DESCENDANT = "descendant"  # new is an ancestor of old: a rewind
    DIVERGED = "diverged"  # neither, but they share history: a rewrite
    UNRELATED = "unrelated"  # no common ancestor
    UNKNOWN = "unknown"  # cannot tell; `reason` says why


@dataclass(frozen=True, slots=True)
class Comparison:
    """The answer for one (old, new) pair; counts are commits, None when unknown.

    `ahead` counts commits reachable from new and not from old, `behind` the reverse. Of several
    best common ancestors `merge_base` is the one whose id sorts first.
    """

    relation: Relation
    ahead: int | None
    behind: int | None
    merge_base: str | None
    reason: str = ""

    @classmethod
    def unknown(cls, reason: str) -> Comparison:
        """Say that the relation cannot be told, and why."""
        return cls(Relation.UNKNOWN, None, None, None, reason)


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """What a commit object says; people are given by email.

    `committed_at` is Unix seconds, as some clock said: `domain.activity` decides what can be true.
    """

    oid: str
    committed_at: int
    author: str
    committer: str
    parents: tuple[str, ...]
    tree: str


@dataclass(frozen=True, slots=True)
class ChangedPaths:
    """The paths that differ between two commits, sorted.

    `truncated` says there are more than were asked for. `known` is False when the trees could not
    be had; `reason` then says why, and `paths` is empty without meaning "nothing changed".
    """

    paths: tuple[str, ...]
    truncated: bool
    known: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ChangedEntries:
    """As `ChangedPaths`, with what stood at each path: (old blob id, new blob id).

    None stands for "no file there". A mode change keeps the id on both sides; a submodule shows
    the commit it is pinned to. Bytes of a path that are not UTF-8 are written `\\xNN`.
    """

    entries: Mapping[str, tuple[str | None, str | None]]
    truncated: bool
    known: bool = True
    reason: str = ""

    def paths(self) -> ChangedPaths:
        """Keep the paths, forget what stood there."""
        return ChangedPaths(tuple(self.entries), self.truncated, self.known, self.reason)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a branch's head stands to the head of the branch that it would be merged into.

    `comparison` is of (branch's head, target's head). `merged_by` is `ancestry`, `equivalence` or
    empty; `merge_unknown` says why it cannot be told whether the target holds the change.
    """

    comparison: Comparison
    merged_by: str = ""
    merge_unknown: str = ""


@dataclass(frozen=True, slots=True)
class LookBack:
    """How far equal changes are looked for: commits of the target, commits and paths of a branch.

    `history` is the largest number of commits that is read at once; beyond it each branch is
    compared by itself, and equal changes are not looked for.
    """

    commits: int = 200
    branch_commits: int = 50
    paths: int = 500
    history: int = 250_000


LOOK_BACK = LookBack()


class Remote(Protocol):
    """One way to read remotes. All methods may raise `RemoteError`s; none writes to a remote."""

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        """Read all heads in one exchange."""

    def sync(self, target: RemoteTarget, heads: Mapping[str, str]) -> None:
        """Bring the history of these heads (branch name -> id) into the mirror; only what is new.

        A head the remote no longer has is left out without an error; `compare` then says so.
        """

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        """Relate each (old, new) pair; one that cannot be decided is UNKNOWN with a reason."""

    def commits(self, target: RemoteTarget, oids: Sequence[str]) -> dict[str, CommitInfo]:
        """Return what the mirror knows of these commits; the ones it lacks are absent."""

    def commits_between(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> tuple[str, ...]:
        """Return at most `limit` commits reachable from new and not from old.

        Children before parents; where that leaves a choice, the newest first, then by id.
        Raises HistoryUnknown when either commit, or history between them, is missing.
        """

    def changed_paths(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedPaths:
        """Return the paths that differ between the trees of two commits; never reads a blob."""

    def changed_entries(
        self, target: RemoteTarget, old: str, new: str, *, limit: int
    ) -> ChangedEntries:
        """Return the paths that differ, with the object ids on both sides."""

    def changes(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]], *, limit: int
    ) -> dict[tuple[str, str], ChangedEntries]:
        """Do so for many pairs at once, at hardly more cost than for one."""

    def standings(
        self,
        target: RemoteTarget,
        heads: Mapping[str, str],
        *,
        base: tuple[str, str],
        look_for_changes: Collection[str],
        compare_files: Collection[str] = (),
    ) -> dict[str, Standing]:
        """Return how each head (branch name -> id) stands to `base`, a (branch name, id).

        Brings the history of all of them into the mirror first. Whether `base` holds the change of
        a branch under other commits costs trees of many commits: it is looked for where the branch
        is one of `look_for_changes`. Of `compare_files` the few files that decide are fetched.
        """


class NewRemote(Remote, Protocol):
    """A remote of which some repositories are read before they are governed."""

    def adopt(self, mirror_key: str, *, new_key: str) -> None:
        """Give the mirror of a repository its final name; without a mirror nothing happens."""


def require_object_id(text: str) -> str:
    """Return `text` if it is a full object id, 40 or 64 lower-case hex digits; refuse it if not.

    Some hosts send 12 digits; a short id may name another commit tomorrow, so it is not accepted.
    """
    if not _OBJECT_ID.fullmatch(text):
        raise RemoteRefused(f"not a full object id: {text[:80]!r}")
    return text


def is_null_id(oid: str) -> bool:
    """Say whether this id (40 or 64 zeros) stands for "no commit"."""
    return len(oid) in (40, 64) and not oid.strip("0")
