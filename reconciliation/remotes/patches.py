"""Ask git whether two changes alter lines alike, as `git patch-id` has it.

Only the files of these changes are fetched, and only when they are few.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciliation.remotes.git import Call, Git, run_git
from reconciliation.remotes.mirror_changes import read_changes
from reconciliation.remotes.supply import Supply

Pair = tuple[str, str]

MOST_FILES = 400
_PATHS = 50
_HEADER = re.compile(rb"^[0-9a-f]{40}(?:[0-9a-f]{24})?$", re.MULTILINE)


def prove_alike(git: Git, supply: Supply, asked: Sequence[tuple[Pair, Pair]]) -> list[bool | None]:
    """Return for each two pairs of commits whether their changes are alike; None: not known.

    Questions are answered in their order until the number of files to fetch is used up.
    """
    pairs = list(dict.fromkeys(pair for question in asked for pair in question))
    changed = read_changes(supply, pairs, limit=_PATHS)
    wanted: dict[str, None] = {}
    affordable: set[Pair] = set()
    for question in asked:
        files = {
            oid: None
            for pair in question
            for both in changed[pair].entries.values()
            for oid in both
            if oid
        }
        if any(changed[pair].truncated or not changed[pair].known for pair in question):
            continue
        if len(wanted | files) > MOST_FILES:
            continue
        wanted |= files
        affordable |= set(question)
    supply.fetch_files(list(wanted))
    ids = _patch_ids(git, supply, sorted(affordable))
    return [ids[one] == ids[other] if one in ids and other in ids else None for one, other in asked]


def _patch_ids(git: Git, supply: Supply, pairs: Sequence[Pair]) -> dict[Pair, str]:
    """Return git's patch id of the change between each pair, by two processes.

    A change of a binary file has none: git's id does not depend on what such a file holds.
    """
    if not pairs:
        return {}
    stdin = "".join(f"{new} {old}\n" for old, new in pairs).encode()
    with supply.mirror.reading():
        diff = run_git(
            git,
            "diff-tree",
            "--stdin",
            "--always",
            "-p",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            call=Call(git_dir=supply.mirror.git_dir, stdin=stdin),
        )
    if diff.status != 0:
        return {}
    patches = {
        f"{number:040x}": (pair, patch)
        for number, (pair, patch) in enumerate(zip(pairs, _patches(diff.stdout), strict=False))
        if b"\nBinary files " not in patch
    }
    stdin = b"".join(
        b"commit %s\n%s" % (label.encode(), patch) for label, (_, patch) in patches.items()
    )
    result = run_git(git, "patch-id", "--stable", call=Call(stdin=stdin))
    rows = (line.split() for line in result.stdout.decode("ascii", "replace").splitlines())
    return {patches[label][0]: patch_id for patch_id, label in rows if label in patches}


def _patches(output: bytes) -> Iterator[bytes]:
    """Yield the patch behind each line that is an id; no line of a patch looks like one."""
    starts = [match.end() + 1 for match in _HEADER.finditer(output)]
    ends = [match.start() for match in _HEADER.finditer(output)][1:]
    for start, end in zip(starts, [*ends, len(output)], strict=True):
        yield output[start:end]
