"""Reads request bodies whole before any thread is taken; decides nothing about their contents.

A body that does not arrive in time, breaks off, or is longer or shorter than announced is refused
here, so that no view ever acts on a part of a request.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from reconciler_site.edge.limits import MOST_READ_BYTES, Limits
from reconciler_site.edge.refusals import Refusal

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(slots=True, eq=False)
class Body:
    """What arrived of one body. `is_kept` is false when it was too large: then `size` says it."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0
    held: int = 0
    is_kept: bool = True
    is_complete: bool = False
    is_evicted: bool = False

    def content(self) -> bytes:
        """Return the bytes."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


class Bodies:
    """All bodies that one process holds. Together they stay within the limit of memory.

    When they would not, the largest one that is still arriving is given up: whoever floods us
    with large bodies loses them, and ordinary deliveries pass.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._arriving: set[Body] = set()
        self.held = 0

    @asynccontextmanager
    async def whole(
        self, receive: Receive, *, declared: int | None, most_kept: int
    ) -> AsyncIterator[Body]:
        """Give the body when all of it is here; what it holds is released at the end of the block.

        `declared` is its Content-Length, None when it comes in chunks.

        Raises:
            Refusal: it did not arrive, not in time, or memory is short.
        """
        body = Body(is_kept=declared is None or declared <= most_kept)
        self._arriving.add(body)
        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    await self._read(body, receive, declared=declared, most_kept=most_kept)
            except TimeoutError:
                raise _too_slow(body, self._limits) from None
            finally:
                self._arriving.discard(body)
            _check_size(body, declared)
            yield body
        finally:
            self._release(body)

    async def _read(
        self, body: Body, receive: Receive, *, declared: int | None, most_kept: int
    ) -> None:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _broken_off(body)
            self._take(body, message.get("body", b""), most_kept=most_kept)
            # The server would say that no more follows; asking it costs a trip between threads.
            if body.size == declared or not message.get("more_body"):
                body.is_complete = True
                return
            if body.size > MOST_READ_BYTES:
                return

    def _take(self, body: Body, piece: bytes, *, most_kept: int) -> None:
        body.size += len(piece)
        if body.size > most_kept:
            body.is_kept = False
        if not body.is_kept:
            self._release(body)
            return
        while self.held + len(piece) > self._limits.body_memory_bytes and not body.is_evicted:
            largest = max(self._arriving, key=lambda arriving: arriving.held)
            # Nothing that arrives is larger than we are: then it is ours that must go.
            self._evict(largest if largest.held > body.held else body)
        if body.is_evicted:
            raise Refusal(
                503, "busy", "Too many large bodies are arriving; send it again.", retry_after=30
            )
        body.pieces.append(piece)
        body.held += len(piece)
        self.held += len(piece)

    def _evict(self, body: Body) -> None:
        body.is_evicted = True
        self._release(body)

    def _release(self, body: Body) -> None:
        self.held -= body.held
        body.held = 0
        body.pieces = []


def _check_size(body: Body, declared: int | None) -> None:
    """Refuse a body whose size is not the announced one, unless it was too large to read on."""
    if declared is None or not body.is_complete:
        return
    if body.size != declared:
        raise _broken_off(body)


def _broken_off(body: Body) -> Refusal:
    return Refusal(
        400, "incomplete_body", f"The body broke off after {body.size} bytes; nothing was done."
    )


def _too_slow(body: Body, limits: Limits) -> Refusal:
    return Refusal(
        408,
        "body_too_slow",
        f"The body did not arrive within {limits.body_seconds:g} s ({body.size} bytes did);"
        " nothing was done.",
    )
