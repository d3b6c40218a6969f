"""Find what differs between two trees, asking only for the folders that differ.

Goes down level by level; equal folders have equal ids and are never read. Pure but for `read`,
which is handed in and brings trees by their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciliation.remotes.base import ChangedEntries, RemoteMalformed

MAX_TREES = 20_000
_FOLDER = b"40000"

ReadTrees = Callable[[Sequence[str]], Mapping[str, bytes]]


class TreesUnknown(Exception):
    """Raised by `read` when the trees cannot be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a tree object."""

    mode: bytes
    oid: str

    @property
    def is_folder(self) -> bool:
        """Say whether the id names another tree."""
        return self.mode == _FOLDER


def changed_entries(
    old_tree: str, new_tree: str, *, limit: int, read: ReadTrees, max_trees: int = MAX_TREES
) -> ChangedEntries:
    """Return what differs between two trees; how many trees it reads is bounded.

    Levels are finished before the count is looked at, so that the answer depends on the trees and
    the limit only, never on what a mirror happens to hold already.
    """
    entries: dict[str, tuple[str | None, str | None]] = {}
    level: list[tuple[bytes, str | None, str | None]] = []
    if old_tree != new_tree:
        level.append((b"", old_tree, new_tree))
    trees_read = 0
    while level and len(entries) <= limit:
        needed = sorted({oid for _, *both in level for oid in both if oid})
        trees_read += len(needed)
        if trees_read > max_trees:
            break
        try:
            contents = read(needed)
        except TreesUnknown as unknown:
            return ChangedEntries({}, truncated=False, known=False, reason=str(unknown))
        level = list(_descend(level, contents, entries))
    ordered = sorted(entries.items())
    return ChangedEntries(dict(ordered[:limit]), truncated=bool(level) or len(ordered) > limit)


def _descend(
    level: list[tuple[bytes, str | None, str | None]],
    contents: Mapping[str, bytes],
    entries: dict[str, tuple[str | None, str | None]],
) -> Iterator[tuple[bytes, str | None, str | None]]:
    """Note the files that differ on this level; yield the folders that do."""
    for folder, old_tree, new_tree in level:
        old = _parse(old_tree, contents)
        new = _parse(new_tree, contents)
        for name in old.keys() | new.keys():
            before, after = old.get(name), new.get(name)
            if before == after:
                continue
            path = folder + name
            below = _oid_if(before, folder=True), _oid_if(after, folder=True)
            if any(below) and below[0] != below[1]:
                yield path + b"/", *below
            files = _oid_if(before, folder=False), _oid_if(after, folder=False)
            if any(files):
                entries[path.decode("utf-8", "backslashreplace")] = files


def _oid_if(entry: Entry | None, *, folder: bool) -> str | None:
    return entry.oid if entry is not None and entry.is_folder == folder else None


def _parse(tree: str | None, contents: Mapping[str, bytes]) -> dict[bytes, Entry]:
    if tree is None:
        return {}
    return dict(parse_tree(contents[tree], id_bytes=len(tree) // 2))


def parse_tree(content: bytes, *, id_bytes: int) -> Iterator[tuple[bytes, Entry]]:
    """Yield names and entries of a tree object."""
    position = 0
    while position < len(content):
        space = content.find(b" ", position)
        end = content.find(b"\0", space)
        if space < 0 or end < 0 or end + 1 + id_bytes > len(content):
            raise RemoteMalformed("the remote gave a tree that git could not have written")
        oid = content[end + 1 : end + 1 + id_bytes].hex()
        yield content[space + 1 : end], Entry(content[position:space].lstrip(b"0"), oid)
        position = end + 1 + id_bytes
