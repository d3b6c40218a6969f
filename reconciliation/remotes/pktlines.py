"""Frame and unframe git's pkt-lines; pure, and never trusting a length.

Source: gitprotocol-common(5) and gitprotocol-v2(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum

from reconciliation.remotes.base import RemoteMalformed

MAX_PAYLOAD = 65516
_LENGTH = re.compile(rb"[0-9a-fA-F]{4}")


class Mark(Enum):
    """A packet without a payload."""

    FLUSH = b"0000"
    DELIMITER = b"0001"
    RESPONSE_END = b"0002"


def frame(payload: bytes) -> bytes:
    """Put the length before one payload of 1 to `MAX_PAYLOAD` bytes."""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a packet carries 1 to {MAX_PAYLOAD} bytes, not {len(payload)}")
    return b"%04x%s" % (len(payload) + 4, payload)


def unframe(data: bytes) -> Iterator[bytes | Mark]:
    """Yield the packets of a whole answer, in order; raise RemoteMalformed at the first bad one."""
    position, end = 0, len(data)
    marks = {mark.value: mark for mark in Mark}
    while position < end:
        head = data[position : position + 4]
        if mark := marks.get(head):
            yield mark
            position += 4
            continue
        if not _LENGTH.fullmatch(head):
            raise RemoteMalformed(f"answer is not git's: no packet length at byte {position}")
        length = int(head, 16)
        if length <= 4 or length > MAX_PAYLOAD + 4:
            raise RemoteMalformed(f"answer has a packet of impossible length {length}")
        if position + length > end:
            raise RemoteMalformed("answer ends inside a packet")
        yield data[position + 4 : position + length]
        position += length


def section(packets: Iterator[bytes | Mark]) -> list[bytes]:
    """Take payloads up to the next flush, without their line ends.

    An answer that stops before its flush was cut short, however sensible the lines before it
    look: a list of heads that is missing its tail would read as deleted branches.
    """
    lines: list[bytes] = []
    for packet in packets:
        if packet is Mark.FLUSH:
            return lines
        if isinstance(packet, Mark):
            raise RemoteMalformed("answer has a separator where none belongs")
        lines.append(packet.removesuffix(b"\n"))
    raise RemoteMalformed("answer was cut short: it has no flush packet")
