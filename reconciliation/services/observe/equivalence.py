"""Observes whether a target branch holds a branch's change under another commit: a squash merge.

Read from trees alone: one commit of the target takes the same paths to the same blobs as the whole
branch does. No blob is fetched. What cannot be read is no proof: the branch counts as unmerged.
"""

from collections.abc import Mapping

from reconciliation.remotes.base import (
    Comparison,
    HistoryUnknown,
    Relation,
    Remote,
    RemoteTarget,
)

LOOK_BACK_COMMITS = 200
"""How far back on the target a squash merge is looked for, from its head."""
LARGEST_CHANGE_PATHS = 500
"""A branch that changes more paths than this is not looked for."""

Change = Mapping[str, str | None]
"""Path to blob id after the change; None for a path that it removes."""


def holds_the_same_change(
    remote: Remote, target: RemoteTarget, *, head: str, target_head: str, comparison: Comparison
) -> bool:
    """Return whether one commit of the target, since the fork, makes the branch's whole change."""
    fork = comparison.merge_base
    if comparison.relation is not Relation.DIVERGED or fork is None:
        return False
    wanted = _change(remote, target, fork, head)
    if not wanted:
        return False
    try:
        candidates = remote.commits_between(target, fork, target_head, limit=LOOK_BACK_COMMITS)
    except HistoryUnknown:
        return False
    commits = remote.commits(target, candidates)
    for oid in candidates:
        parents = commits[oid].parents if oid in commits else ()
        # A merge commit says nothing by itself: its other parent is ancestry's business.
        if len(parents) == 1 and _change(remote, target, parents[0], oid) == wanted:
            return True
    return False


def _change(remote: Remote, target: RemoteTarget, old: str, new: str) -> Change | None:
    changed = remote.changed_entries(target, old, new, limit=LARGEST_CHANGE_PATHS)
    if not changed.known or changed.truncated:
        return None
    return {path: after for path, (_, after) in changed.entries.items()}
