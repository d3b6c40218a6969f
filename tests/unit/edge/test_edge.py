"""The edge by itself: what it does when threads, memory or readers are short."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from reconciler_site.edge.app import Edge
from reconciler_site.edge.limits import Limits

LIMITS = Limits(
    threads=2, body_seconds=5, body_memory_bytes=1000, queue_seconds=5, answer_seconds=5
)
Message = dict[str, Any]
Result = TypeVar("Result")
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def played(story: Coroutine[Any, Any, Result]) -> Result:
    """Run a story to its end, in a thread: that of the tests may have an event loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, story).result()


class Caller:
    """One request to an edge: hands its body over piece by piece and keeps what it is answered."""

    def __init__(self, path: str = "/x", *pieces: bytes, method: str = "POST") -> None:
        self.pieces = list(pieces)
        headers = [(b"host", b"x")]
        if pieces:
            headers.append((b"transfer-encoding", b"chunked"))
        self.scope: Message = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
        }
        self.sent: list[Mapping[str, Any]] = []
        self.reads: asyncio.Event | None = None

    async def receive(self) -> Message:
        piece = self.pieces.pop(0)
        if piece == b"never":
            await asyncio.Event().wait()
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(message)
        if self.reads is not None and len(self.sent) > 1:
            await self.reads.wait()

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def echo(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body and its length."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", ""))])
    return [body]


async def ask(edge: Edge, caller: Caller) -> Caller:
    await edge(caller.scope, caller.receive, caller.send)
    return caller


def test_a_body_in_pieces_reaches_the_application_whole_and_with_its_length() -> None:
    caller = played(ask(Edge(echo, limits=LIMITS), Caller("/x", b"ab", b"", b"cd")))

    assert (caller.status, caller.body) == (200, b"abcd")
    assert (b"x-length", b"4") in caller.sent[0]["headers"]


def test_when_every_thread_is_busy_a_request_is_told_to_come_back_and_health_still_answers() -> (
    None
):
    release = threading.Event()

    def wait(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/healthz":
            release.wait(10)
        start_response("200 OK", [])
        return [b"done"]

    async def story() -> tuple[list[Caller], Caller, Caller]:
        edge = Edge(wait, limits=replace(LIMITS, queue_seconds=0.1))
        busy = [asyncio.create_task(ask(edge, Caller())) for _ in range(2)]
        await asyncio.sleep(0.05)
        late = await ask(edge, Caller("/api/v1/leases"))
        health = await ask(edge, Caller("/healthz", method="GET"))
        release.set()
        return [await task for task in busy], late, health

    busy, late, health = played(story())

    assert [caller.status for caller in busy] == [200, 200]
    assert (late.status, json.loads(late.body)["code"]) == (503, "busy")
    assert (b"retry-after", b"5") in late.sent[0]["headers"]
    assert health.status == 200


def test_of_bodies_that_arrive_the_largest_is_given_up_when_memory_is_short() -> None:
    async def story() -> tuple[Caller, Caller]:
        edge = Edge(echo, limits=replace(LIMITS, body_seconds=0.3))
        large = asyncio.create_task(ask(edge, Caller("/x", b"x" * 900, b"never", b"")))
        await asyncio.sleep(0.05)
        small = await ask(edge, Caller("/x", b"y" * 200))
        return await large, small

    large, small = played(story())

    assert (small.status, small.body) == (200, b"y" * 200)
    assert large.status == 408


def test_one_body_larger_than_the_memory_for_all_is_refused() -> None:
    caller = played(ask(Edge(echo, limits=LIMITS), Caller("/x", b"x" * 600, b"x" * 600, b"x")))

    assert (caller.status, json.loads(caller.body)["code"]) == (503, "busy")


def test_memory_is_free_again_after_every_answer() -> None:
    async def story() -> list[int]:
        edge = Edge(echo, limits=LIMITS)
        return [(await ask(edge, Caller("/x", b"x" * 900))).status for _ in range(5)]

    assert played(story()) == [200] * 5


def test_an_answer_that_is_not_read_in_time_is_not_finished() -> None:
    def large(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"z" * 1_000_000]

    async def story() -> Caller:
        caller = Caller(method="GET")
        caller.reads = asyncio.Event()
        return await ask(Edge(large, limits=replace(LIMITS, answer_seconds=0.1)), caller)

    caller = played(story())

    assert caller.sent[-1]["more_body"] is True
    assert len(caller.body) < 1_000_000


def test_an_application_that_fails_is_answered_without_what_it_said() -> None:
    def fail(environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("secret")

    caller = played(ask(Edge(fail, limits=LIMITS), Caller("/api/v1/x")))

    assert (caller.status, json.loads(caller.body)["code"]) == (500, "internal_error")
    assert b"secret" not in caller.body
