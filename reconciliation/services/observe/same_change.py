"""Compares what a merge brought with what was to be merged, from trees alone: no blob is fetched.

What trees cannot tell is `unknown`, never `same`: the same file changed on both sides, a file that
one side moved, a change that is too large.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciliation.remotes.base import ChangedEntries, Remote, RemoteTarget

LARGEST_CHANGE_PATHS = 500

Entries = Mapping[str, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class SameChange:
    """`same`, `differs` or `unknown`; why, in words; and the paths that are not the same."""

    verdict: str
    reason: str = ""
    paths: tuple[str, ...] = ()


def same_change(
    remote: Remote, target: RemoteTarget, *, landed: tuple[str, str], wanted: tuple[str, str]
) -> SameChange:
    """Return whether the step `landed` on one line makes the very change of `wanted` on another.

    Both are (before, after). `wanted` begins at the fork of the two lines.
    """
    changes = _changes(remote, target, landed, wanted)
    brought, meant = changes[landed], changes[wanted]
    for one in (brought, meant):
        if not one.known or one.truncated:
            return SameChange("unknown", one.reason or "the change is too large to compare")
    paths = tuple(
        sorted(
            path
            for path in brought.entries.keys() | meant.entries.keys()
            if brought.entries.get(path) != meant.entries.get(path)
        )
    )
    if not paths:
        return SameChange("same")
    # What the line it landed on did meanwhile to these paths may be mixed in.
    since_fork = (wanted[0], landed[0])
    meanwhile = _changes(remote, target, since_fork)[since_fork]
    if not meanwhile.known or meanwhile.truncated:
        reason = meanwhile.reason or "too much changed since the fork"
        return SameChange("unknown", reason, paths)
    other = [
        path
        for path in paths
        if path not in meanwhile.entries
        # Neither side made it what it is; only a file that was moved here may have been changed.
        or (path not in meant.entries and meanwhile.entries[path][0] is not None)
    ]
    if other:
        return SameChange("differs", f"it differs in {_shown(other)}", paths)
    return SameChange("unknown", f"both sides changed {_shown(paths)}", paths)


def _changes(
    remote: Remote, target: RemoteTarget, *steps: tuple[str, str]
) -> dict[tuple[str, str], ChangedEntries]:
    asked = sorted({step for step in steps if step[0] != step[1]})
    none = dict.fromkeys(steps, ChangedEntries({}, truncated=False))
    return none | remote.changes(target, asked, limit=LARGEST_CHANGE_PATHS) if asked else none


def _shown(paths: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
