"""Callers that send nothing, send without end or never read: the shipped server serves the others.

The real server on a real port, without a proxy in front, on SQLite: one process, four threads.
"""

import contextlib
import http.client
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import github_headers, push_body
from tests.functional.webhooks.test_real_connections import Served

IDLE_SECONDS = 6
BODY_SECONDS = 4


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start one server with short deadlines for all tests here."""
    served = Served(
        tmp_path_factory.mktemp("slow"),
        RECONCILER_IDLE_SECONDS=str(IDLE_SECONDS),
        RECONCILER_BODY_SECONDS=str(BODY_SECONDS),
    )
    yield served
    served.stop()


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Let this process open as many connections as the tests need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 4096
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"only {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Raw connections to the server, closed at the end of the block."""

    def __init__(self, served: Served) -> None:
        host, _, port = served.netloc.rpartition(":")
        self.address = (host, int(port))
        self.open: list[socket.socket] = []

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.open:
            connection.close()

    def connect(self, sending: bytes = b"", *, buffer_bytes: int = 0) -> socket.socket:
        connection = socket.socket()
        if buffer_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        connection.settimeout(20)
        connection.connect(self.address)
        self.open.append(connection)
        if sending:
            connection.sendall(sending)
        return connection


def seconds_until_closed(connection: socket.socket, *, dripping: bytes = b"") -> float:
    """Return after how long the server closes the connection."""
    began = time.monotonic()
    connection.settimeout(0.5)
    while time.monotonic() - began < 20:
        try:
            if dripping:
                connection.sendall(dripping)
            if not connection.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def answer_to(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()


def deliver(served: Served, delivery: str) -> float:
    """Send an ordinary delivery and return how many seconds its answer took."""
    body = push_body("main", HEAD_A, HEAD_B)
    began = time.monotonic()
    connection = served.connection()
    connection.request(
        "POST", served.paths["github"], body=body, headers=github_headers(body, delivery=delivery)
    )
    assert connection.getresponse().status == 202
    connection.close()
    return time.monotonic() - began


def middle_of(measure: "list[float]") -> float:
    """Return the middle one: a machine that runs other things must not fail the test."""
    return sorted(measure)[len(measure) // 2]


def healthz(served: Served) -> float:
    began = time.monotonic()
    connection = served.connection()
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    return time.monotonic() - began


def test_two_thousand_idle_connections_and_fifty_endless_bodies_leave_the_site_fast(
    served: Served,
) -> None:
    endless = (
        f"POST {served.paths['github']} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    with Crowd(served) as crowd:
        for _ in range(2000):
            crowd.connect()
        bodies = [crowd.connect(endless) for _ in range(50)]
        over = threading.Event()

        def send_on() -> None:
            while not over.wait(0.05):
                for body in bodies:
                    with contextlib.suppress(OSError):
                        body.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

        sender = threading.Thread(target=send_on)
        sender.start()
        try:
            deliveries = [deliver(served, f"crowded-{number}") for number in range(9)]
            checks = [healthz(served) for _ in range(9)]
        finally:
            over.set()
            sender.join()

    assert middle_of(deliveries) < 1
    assert middle_of(checks) < 0.1


def test_connections_that_stay_open_after_their_answer_stop_nothing(served: Served) -> None:
    with Crowd(served) as crowd:
        for _ in range(200):
            connection = crowd.connect(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert answer_to(connection)[0] == 200

        assert middle_of([deliver(served, f"after-{number}") for number in range(5)]) < 1


def test_idle_connections_and_slow_headers_are_closed_in_time(served: Served) -> None:
    with Crowd(served) as crowd:
        silent = crowd.connect()
        kept = crowd.connect(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answer_to(kept)[0] == 200
        slow = crowd.connect(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        seconds = [
            seconds_until_closed(slow, dripping=b"X-Slow: 1\r\n"),
            seconds_until_closed(silent),
            seconds_until_closed(kept),
        ]

    assert max(seconds) < IDLE_SECONDS + 3


def test_bodies_that_do_not_end_are_problems_after_their_deadline(served: Served) -> None:
    began = time.monotonic()
    with Crowd(served) as crowd:
        for path in (served.paths["github"], "/api/v1/leases", "/admin/login/"):
            for length in ("Content-Length: 1000", "Transfer-Encoding: chunked"):
                crowd.connect(
                    f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n"
                    "X-Correlation-ID: slow-body-1\r\n\r\n".encode()
                )
        answers = [answer_to(connection) for connection in crowd.open]
    seconds = time.monotonic() - began

    for status, headers, body in answers:
        problem = json.loads(body)
        assert (status, problem["code"]) == (408, "body_too_slow")
        assert problem["correlation_id"] == headers["x-correlation-id"] == "slow-body-1"
        assert headers["connection"] == "close"
    assert BODY_SECONDS - 1 < seconds < BODY_SECONDS + 3
    log = served.site.log.read_text()
    assert "slow-body-1" in log
    assert served.paths["github"].rpartition("/")[2] not in log


def test_readers_that_never_read_hold_no_thread(served: Served) -> None:
    with Crowd(served) as crowd:
        request = (
            b"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\n"
            b"Host: 127.0.0.1\r\n\r\n"
        )
        for _ in range(64):
            crowd.connect(request, buffer_bytes=4096)
        time.sleep(0.5)
        deliveries = [deliver(served, f"unread-{number}") for number in range(5)]
        checks = [healthz(served) for _ in range(5)]

    assert middle_of(deliveries) < 1
    assert middle_of(checks) < 0.5
