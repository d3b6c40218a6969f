"""The ASGI application: waits for callers in the event loop, and hands whole requests to threads.

Health checks that use no database have a thread of their own, so that they answer also while all
others wait for one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from prometheus_client import Counter

from reconciler_site.base.correlation import is_well_formed, new_correlation_id
from reconciler_site.edge.bodies import Bodies, Body, Receive
from reconciler_site.edge.limits import (
    MOST_HEADER_BYTES,
    MOST_TARGET_BYTES,
    WEBHOOKS,
    Limits,
    most_kept_bytes,
)
from reconciler_site.edge.refusals import Refusal, refusal_content
from reconciler_site.edge.threads import Threads
from reconciler_site.edge.wsgi import Answer, Application, Environ, environ_of, run

logger = logging.getLogger("reconciler.edge")
REFUSED = Counter(
    "reconciler_edge_refusals_total", "Requests refused before they got a thread.", ["code"]
)
Scope = Mapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_PIECE = 256 * 1024


class Edge:
    """Runs one WSGI application in `limits.threads` threads, behind any ASGI server."""

    def __init__(self, application: Application, *, limits: Limits) -> None:
        self._application = application
        self._limits = limits
        self._bodies = Bodies(limits)
        self._free = asyncio.Semaphore(limits.threads)
        self._threads = Threads[Answer](limits.threads, name="request")
        self._health = Threads[Answer](1, name="health")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        headers = dict(scope["headers"])
        try:
            _refuse_at_once(scope)
            answer = await self._answer(scope, headers, receive)
        except Refusal as refusal:
            answer = _refused(refusal, scope, headers)
        except Exception:
            # Django answers what fails in it; this is for what fails around it.
            logger.exception("edge.failed path=%s", _shown(scope["path"]))
            detail = "Something unexpected failed and was logged; quote the correlation id."
            answer = _refused(Refusal(500, "internal_error", detail), scope, headers)
        await self._write(answer, send)

    async def _answer(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Answer:
        declared = headers.get(b"content-length")
        if declared is None and b"transfer-encoding" not in headers:
            return await self._work(environ_of(scope, None))
        async with self._bodies.whole(
            receive,
            declared=None if declared is None else int(declared),
            most_kept=most_kept_bytes(scope["path"]),
        ) as body:
            return await self._work(environ_of(scope, _as_announced(body, declared)))

    async def _work(self, environ: Environ) -> Answer:
        call = partial(run, self._application, environ)
        if environ["PATH_INFO"] == "/healthz":
            return await self._health.run(call)
        await self._wait_for_a_thread()
        try:
            return await self._threads.run(call)
        finally:
            self._free.release()

    async def _wait_for_a_thread(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                await self._free.acquire()
        except TimeoutError:
            detail = (
                f"No thread became free within {self._limits.queue_seconds:g} s;"
                " nothing was done, try again."
            )
            raise Refusal(503, "busy", detail, retry_after=5) from None

    async def _write(self, answer: Answer, send: Send) -> None:
        """Write the answer; give up on who does not read it in time."""
        content = answer.content
        start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        await send(start)
        if len(content) <= _PIECE:
            await send({"type": "http.response.body", "body": content})
            return
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                for begin in range(0, len(content), _PIECE):
                    piece = content[begin : begin + _PIECE]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            # Returning with the answer unfinished makes the server close the connection.
            logger.info("edge.answer_not_read status=%d bytes=%d", answer.status, len(content))


def _as_announced(body: Body, declared: bytes | None) -> Body:
    """Let a body that was not read to its end have the size that its sender announced."""
    if declared is not None and not body.is_complete:
        body.size = int(declared)
    return body


def _refuse_at_once(scope: Scope) -> None:
    if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_TARGET_BYTES:
        most = f"{MOST_TARGET_BYTES} bytes"
        raise Refusal(414, "uri_too_long", f"The address is longer than {most}.")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER_BYTES:
        most = f"{MOST_HEADER_BYTES} bytes"
        raise Refusal(431, "headers_too_large", f"The headers are larger than {most}.")
    if scope["method"] in ("CONNECT", "TRACE"):
        raise Refusal(405, "method_not_allowed", f"{scope['method']} is not served here.")


def _refused(refusal: Refusal, scope: Scope, headers: Mapping[bytes, bytes]) -> Answer:
    offered = headers.get(b"x-correlation-id", b"").decode("latin-1")
    correlation_id = offered if is_well_formed(offered) else new_correlation_id()
    REFUSED.labels(refusal.code).inc()
    logger.info(
        "edge.refused status=%d code=%s path=%s correlation_id=%s",
        *(refusal.status, refusal.code, _shown(scope["path"]), correlation_id),
    )
    answered, content = refusal_content(
        refusal,
        path=scope["path"],
        accept=headers.get(b"accept", b"").decode("latin-1"),
        correlation_id=correlation_id,
    )
    encoded = [(name.lower().encode(), value.encode()) for name, value in answered.items()]
    encoded.append((b"content-length", str(len(content)).encode()))
    return Answer(refusal.status, encoded, b"" if scope["method"] == "HEAD" else content)


def _shown(path: str) -> str:
    # The rest of a webhook's address is its token.
    return WEBHOOKS if path.startswith(WEBHOOKS) else path[:200]


async def _live(receive: Receive, send: Send) -> None:
    """Follow the server's start and stop; there is nothing to prepare or to end."""
    while True:
        event = await receive()
        step = event["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{step}.complete"})
        if step == "shutdown":
            return
