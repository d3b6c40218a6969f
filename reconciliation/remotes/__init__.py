"""Read remotes by the git protocol: heads, ancestry, changed paths. Never writes to a remote."""

from reconciliation.remotes.base import (
    ChangedEntries,
    ChangedPaths,
    CommitInfo,
    Comparison,
    Credential,
    HistoryUnknown,
    Relation,
    Remote,
    RemoteAuthFailed,
    RemoteError,
    RemoteHeads,
    RemoteMalformed,
    RemoteNotFound,
    RemoteRefused,
    RemoteTarget,
    RemoteThrottled,
    RemoteUnavailable,
)
from reconciliation.remotes.client import GitRemote
from reconciliation.remotes.memory import MemoryRemote

__all__ = [
    "ChangedEntries",
    "ChangedPaths",
    "CommitInfo",
    "Comparison",
    "Credential",
    "GitRemote",
    "HistoryUnknown",
    "MemoryRemote",
    "Relation",
    "Remote",
    "RemoteAuthFailed",
    "RemoteError",
    "RemoteHeads",
    "RemoteMalformed",
    "RemoteNotFound",
    "RemoteRefused",
    "RemoteTarget",
    "RemoteThrottled",
    "RemoteUnavailable",
]
