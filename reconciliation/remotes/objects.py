"""Read objects out of a mirror by the hundred, with one git process; never fetches any."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciliation.remotes.base import CommitInfo, RemoteUnavailable
from reconciliation.remotes.git import Call, Git, run_git

_OBJECTS_PER_PROCESS = 1000
_PERSON = re.compile(rb".*<([^>]*)>\s*(\d+)?.*", re.DOTALL)
_MOST_DIGITS = 19  # of 2**63; reading more of them takes time that grows with their square


class MirrorUnreadable(RemoteUnavailable):
    """git cannot read the mirror. Set it aside; the next fetch makes a new one."""


def present_commits(git: Git, git_dir: str, oids: Sequence[str]) -> set[str]:
    """Return those of `oids` that are commits in the mirror."""
    output = _cat_file(git, git_dir, "--batch-check", oids)
    rows = (line.split() for line in output.splitlines())
    return {row[0].decode() for row in rows if row[1:2] == [b"commit"]}


def read_objects(git: Git, git_dir: str, oids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
    """Return type and content of those of `oids` the mirror has."""
    found: dict[str, tuple[bytes, bytes]] = {}
    for start in range(0, len(oids), _OBJECTS_PER_PROCESS):
        batch = oids[start : start + _OBJECTS_PER_PROCESS]
        output = _cat_file(git, git_dir, "--batch", batch)
        found.update(_objects(output))
    return found


def _cat_file(git: Git, git_dir: str, mode: str, oids: Sequence[str]) -> bytes:
    if not oids:
        return b""
    wanted = "".join(f"{oid}\n" for oid in oids).encode()
    result = run_git(git, "cat-file", mode, call=Call(git_dir=git_dir, stdin=wanted))
    # A missing object is answered on stdout; stderr is for those that are there and bad.
    if result.status != 0 or result.stderr:
        raise MirrorUnreadable("the mirror was damaged; it is fetched anew with the next try")
    return result.stdout


def _objects(output: bytes) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        oid, *kind_and_size = output[position:end].split()
        position = end + 1
        if len(kind_and_size) == 2:
            kind, size = kind_and_size[0], int(kind_and_size[1])
            yield oid.decode(), (kind, output[position : position + size])
            position += size + 1


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
