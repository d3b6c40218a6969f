"""Understand what a git server says about itself and its refs; pure functions of bytes.

Knows protocol v2 (capabilities and ls-refs), the v0/v1 ref advertisement, and the output of
`git ls-remote --symref`. Anything that is not exactly such an answer raises RemoteMalformed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from governance.domain.refs import LONG_NAME_MARK, MAX_BRANCH_LENGTH
from reconciliation.remotes.base import RemoteHeads, RemoteMalformed, is_null_id
from reconciliation.remotes.failures import failure_in_words_of_the_server
from reconciliation.remotes.pktlines import Mark, frame, section, unframe

_HEADS = b"refs/heads/"
_LONG_NAME_HEAD = 200
_ID_LENGTHS = {"sha1": 40, "sha256": 64}
_OBJECT_ID = re.compile(rb"[0-9a-f]+")
# git-check-ref-format, in bytes; `governance.domain.refs` says the same of text.
_NOT_IN_REF_NAMES = re.compile(
    rb"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|\A[./]|[./]\Z"
)
_DUMB_LINE = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\trefs/\S+")


@dataclass(frozen=True, slots=True)
class Advertisement:
    """The first answer of a server: its protocol version, its capabilities, and v0's refs."""

    version: int
    capabilities: Mapping[str, str]
    heads: RemoteHeads | None  # None when they must be asked for (v2)

    @property
    def object_format(self) -> str:
        """Return `sha1` or `sha256`; servers older than the capability have only sha1."""
        return self.capabilities.get("object-format", "sha1")

    @property
    def can_filter(self) -> bool:
        """Say whether the server gives commits without their trees and files."""
        if self.version == 2:
            return "filter" in self.capabilities.get("fetch", "").split()
        return "filter" in self.capabilities


def parse_advertisement(body: bytes) -> Advertisement:
    """Parse the body of `GET info/refs?service=git-upload-pack`."""
    packets = unframe(body)
    lines = section(packets)
    announced = lines == [b"# service=git-upload-pack"]
    if announced:
        lines = section(packets)
    _refuse_more(packets)
    _refuse_error_line(lines)
    if lines and lines[0] == b"version 2":
        capabilities = dict(_split_capability(line) for line in lines[1:])
        if "ls-refs" not in capabilities:
            raise RemoteMalformed("server speaks protocol v2 but cannot list refs")
        _require_known_format(capabilities)
        return Advertisement(2, capabilities, None)
    if lines and lines[0] == b"version 1":
        return _parse_ref_lines(lines[1:], version=1)
    if not announced:
        raise RemoteMalformed("answer does not announce git-upload-pack")
    return _parse_ref_lines(lines, version=0)


def _parse_ref_lines(lines: list[bytes], *, version: int) -> Advertisement:
    if not lines:  # servers older than `capabilities^{}` say nothing more about an empty repository
        empty = RemoteHeads.of((), default_branch=None, object_format="sha1")
        return Advertisement(version, {}, empty)
    first, separator, words = lines[0].partition(b"\0")
    if not separator:
        raise RemoteMalformed("answer is no ref advertisement: its first line has no capabilities")
    symrefs, capabilities = {}, {}
    for word in words.split():
        name, value = _split_capability(word)
        if name == "symref":
            source, _, leads_to = value.partition(":")
            symrefs[source] = leads_to
        else:
            capabilities[name] = value
    object_format = _require_known_format(capabilities)
    refs = list(_ref_lines([first, *lines[1:]], object_format))
    head_target = symrefs.get("HEAD", "").encode()
    heads = _heads(refs, head_target=head_target, object_format=object_format)
    return Advertisement(version, capabilities, heads)


def _ref_lines(lines: Iterable[bytes], object_format: str) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        if line.startswith(b"shallow "):
            continue
        oid, separator, name = line.partition(b" ")
        if not separator:
            raise RemoteMalformed("answer has a line that is no ref")
        if name == b"capabilities^{}":
            continue
        _require_oid(oid, object_format)
        yield name, oid


def ls_refs_request(advertisement: Advertisement, *, agent: str) -> bytes:
    """Return the v2 request for all branch heads and HEAD; tags are not asked for."""
    words = [frame(b"command=ls-refs\n")]
    if "agent" in advertisement.capabilities:
        words.append(frame(b"agent=" + agent.encode("ascii")))
    if "object-format" in advertisement.capabilities:
        words.append(frame(b"object-format=" + advertisement.object_format.encode()))
    words += [Mark.DELIMITER.value, frame(b"symrefs\n")]
    if "unborn" in advertisement.capabilities["ls-refs"].split():
        words.append(frame(b"unborn\n"))
    words += [frame(b"ref-prefix HEAD\n"), frame(b"ref-prefix refs/heads/\n"), Mark.FLUSH.value]
    return b"".join(words)


def parse_ls_refs(body: bytes, *, object_format: str) -> RemoteHeads:
    """Parse the answer to `ls_refs_request`."""
    packets = unframe(body)
    lines = section(packets)
    _refuse_more(packets)
    _refuse_error_line(lines)
    head_target, refs = b"", []
    for line in lines:
        oid, _, rest = line.partition(b" ")
        name, *attributes = rest.split(b" ")
        if name == b"HEAD":
            targets = [a[14:] for a in attributes if a.startswith(b"symref-target:")]
            head_target = targets[0] if targets else b""
        if oid == b"unborn":
            continue
        _require_oid(oid, object_format)
        refs.append((name, oid))
    return _heads(refs, head_target=head_target, object_format=object_format)


def parse_ls_remote(output: bytes) -> RemoteHeads:
    """Parse what `git ls-remote --symref` prints."""
    head_target, refs = b"", []
    for line in output.splitlines():
        left, separator, name = line.partition(b"\t")
        if not separator:
            raise RemoteMalformed("git ls-remote printed a line that is no ref")
        if left.startswith(b"ref: "):
            head_target = left[5:] if name == b"HEAD" else head_target
            continue
        refs.append((name, left))
    lengths = {len(oid) for _, oid in refs}
    object_format = "sha256" if lengths == {64} else "sha1"
    for _, oid in refs:
        _require_oid(oid, object_format)
    return _heads(refs, head_target=head_target, object_format=object_format)


def is_dumb_ref_list(body: bytes) -> bool:
    """Say whether this is the plain file `info/refs` of a server that only hands out files."""
    lines = body.splitlines()
    return bool(lines) and all(_DUMB_LINE.fullmatch(line) for line in lines)


def _heads(
    refs: Iterable[tuple[bytes, bytes]], *, head_target: bytes, object_format: str
) -> RemoteHeads:
    """Keep the branches; a branch may itself be named `refs/heads/odd`, so cut one prefix only."""
    heads: dict[str, str] = {}
    for name, oid in refs:
        if name.startswith(_HEADS):
            branch = _decode_name(name.removeprefix(_HEADS))
            if branch in heads:
                raise RemoteMalformed(f"answer lists branch {branch!r} twice")
            heads[branch] = oid.decode()
    points_to_branch = head_target.startswith(_HEADS)
    default = _decode_name(head_target.removeprefix(_HEADS)) if points_to_branch else None
    return RemoteHeads.of(heads.items(), default_branch=default, object_format=object_format)


def _decode_name(name: bytes) -> str:
    if not name or _NOT_IN_REF_NAMES.search(name):
        raise RemoteMalformed(f"answer has a ref name git forbids: {name[:80]!r}")
    if len(name) > MAX_BRANCH_LENGTH:
        # No index of a database holds more. The digest keeps it distinct, and no name of git's
        # holds a backslash.
        digest = hashlib.sha256(name).hexdigest()[:32]
        return name[:_LONG_NAME_HEAD].decode("utf-8", "backslashreplace") + LONG_NAME_MARK + digest
    return name.decode("utf-8", "backslashreplace")


def _require_oid(oid: bytes, object_format: str) -> None:
    right = len(oid) == _ID_LENGTHS[object_format] and _OBJECT_ID.fullmatch(oid)
    if not right or is_null_id(oid.decode()):
        raise RemoteMalformed(f"answer has a bad {object_format} object id: {oid[:80]!r}")


def _split_capability(word: bytes) -> tuple[str, str]:
    name, _, value = word.decode("utf-8", "backslashreplace").partition("=")
    return name, value


def _require_known_format(capabilities: Mapping[str, str]) -> str:
    object_format = capabilities.get("object-format", "sha1")
    if object_format not in _ID_LENGTHS:
        raise RemoteMalformed(f"server uses an unknown object format {object_format[:20]!r}")
    return object_format


def _refuse_more(packets: Iterator[bytes | Mark]) -> None:
    if next(packets, None) is not None:
        raise RemoteMalformed("answer goes on after its end")


def _refuse_error_line(lines: list[bytes]) -> None:
    if lines and lines[0].startswith(b"ERR "):
        raise failure_in_words_of_the_server(lines[0][4:].decode("utf-8", "replace"))
