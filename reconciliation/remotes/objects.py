"""Say what a commit object says; pure."""

from __future__ import annotations

import re

from reconciliation.remotes.base import CommitInfo

_PERSON = re.compile(rb".*<([^>]*)>\s*(\d+)?.*", re.DOTALL)
_MOST_DIGITS = 19  # of 2**63; reading more of them takes time that grows with their square


def parse_commit(oid: str, content: bytes) -> CommitInfo:
    """Read a commit object. A date git itself cannot read counts as 0, as it does in git."""
    tree, parents, people = "", [], {b"author": ("", 0), b"committer": ("", 0)}
    for line in content.split(b"\n\n", 1)[0].split(b"\n"):
        word, _, rest = line.partition(b" ")
        if word == b"tree":
            tree = rest.decode("ascii", "replace")
        elif word == b"parent":
            parents.append(rest.decode("ascii", "replace"))
        elif word in people:
            people[word] = _person(rest)
    (author, _), (committer, committed_at) = people[b"author"], people[b"committer"]
    return CommitInfo(oid, committed_at, author, committer, tuple(parents), tree)


def _person(line: bytes) -> tuple[str, int]:
    """Return email and Unix seconds of an author or committer line."""
    match = _PERSON.fullmatch(line)
    if match is None:
        return "", 0
    digits = match[2] or b"0"
    seconds = int(digits) if len(digits) <= _MOST_DIGITS else 0
    return match[1].decode("utf-8", "backslashreplace"), seconds
