"""Requests as raw bytes to the shipped server: read whole, or refused, never acted on in part."""

# drf-spectacular's generator has no types.
# mypy: disable-error-code="no-untyped-call"

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import github_headers, push_body
from tests.functional.api.test_strict_requests import filled, operations
from tests.functional.webhooks.test_real_connections import Served

CORRELATION = "caller-chosen-0001"


class Api:
    """The shipped server and a token that may do everything in one tenant."""

    def __init__(self, served: Served, token: str) -> None:
        self.served = served
        self.token = token

    def send(
        self, method: str, path: str, document: Any, *, in_chunks: bool
    ) -> tuple[int, dict[str, Any]]:
        body = json.dumps(document).encode()
        connection = self.served.connection()
        connection.request(
            method,
            path,
            body=iter([body[:3], body[3:]]) if in_chunks else body,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            encode_chunked=in_chunks,
        )
        answer = connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read() or b"{}")
        connection.close()
        return answer.status, told

    def raw(self, sent: bytes, *, ends: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are; return status, headers and body of the answer."""
        host, _, port = self.served.netloc.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(sent)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, headers, answer.read()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Start one server for all tests here."""
    served = Served(tmp_path_factory.mktemp("framing"))
    yield Api(served, served.token())
    served.stop()


def without_ids(told: tuple[int, dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    return told[0], {name: value for name, value in told[1].items() if name != "correlation_id"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for method in ("post", "put", "patch", "delete")
        for path, _ in operations(method)
    ],
)
def test_a_write_sent_in_chunks_is_the_write_sent_with_its_length(
    api: Api, method: str, path: str
) -> None:
    unknown = {"no_such_field": 1}

    plain, chunked = (
        api.send(method.upper(), filled(path), unknown, in_chunks=in_chunks)
        for in_chunks in (False, True)
    )

    assert without_ids(chunked) == without_ids(plain)
    assert plain[0] >= 400


def test_a_sweep_of_one_repository_sent_in_chunks_stays_one_of_one_repository(api: Api) -> None:
    status, told = api.send(
        "POST",
        "/api/v1/sweeps",
        {"scope": "acme/main/api", "everything": True},
        in_chunks=True,
    )

    assert (status, told["sweep"]["scope"]) == (202, "acme/main/api")


def test_a_sweep_that_was_accepted_says_where_to_look(api: Api) -> None:
    connection = api.served.connection()
    connection.request(
        "POST",
        "/api/v1/sweeps",
        body=json.dumps({"everything": True}),
        headers={"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"},
    )
    answer = connection.getresponse()
    number = json.loads(answer.read())["sweep"]["id"]

    assert (answer.status, answer.headers["Location"]) == (202, f"/api/v1/sweeps/{number}")


def test_a_delivery_that_was_accepted_says_where_to_look(api: Api) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    connection = api.served.connection()
    connection.request(
        "POST",
        api.served.paths["github"],
        body=body,
        headers=github_headers(body, delivery="located"),
    )
    answer = connection.getresponse()
    number = json.loads(answer.read())["delivery"]

    assert (answer.status, answer.headers["Location"]) == (202, f"/api/v1/deliveries/{number}")


LEASE = b"POST /api/v1/leases HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
        b"Content-Length: -2\r\n\r\n{}",
        b"Content-Length: +2\r\n\r\n{}",
        b"Content-Length: 2, 3\r\n\r\n{} ",
        b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"Content-Length : 2\r\n\r\n{}",
        b"X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_length_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed(
    api: Api, framing: bytes
) -> None:
    status, headers, _ = api.raw(LEASE + framing)

    assert status == 400
    assert headers["connection"] == "close"


def test_chunks_win_over_a_length_and_nothing_else_is_read_from_that_connection(api: Api) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    status, headers, body = api.raw(
        LEASE
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        + hidden
    )

    # Whatever a proxy took for the next request is never answered as one.
    assert status == 401
    assert headers["connection"] == "close"
    assert b'"status": "ok"' not in body


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 50\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ],
)
def test_a_body_that_breaks_off_is_refused_and_nothing_is_done(api: Api, framing: bytes) -> None:
    status, _, body = api.raw(LEASE + framing, ends=True)

    problem = json.loads(body)
    assert (status, problem["code"]) == (400, "incomplete_body")
    assert "nothing was done" in problem["detail"]


def test_a_sender_that_waits_for_100_continue_gets_it(api: Api) -> None:
    host, _, port = api.served.netloc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(LEASE + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        answer = http.client.HTTPResponse(connection)
        answer.begin()

        assert answer.status == 401


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
        (
            b"GET /?q=" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
            414,
            "uri_too_long",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 70_000 + b"\r\n\r\n",
            431,
            "headers_too_large",
        ),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405, "method_not_allowed"),
        (b"GET /api/v1/%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "bad_request"),
        (b"GET /api/v1/a?q=%00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 400, "bad_request"),
        (b"GET /api/v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400, "bad_request"),
        (b"GET /api/v1/status HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_request"),
        (b"GET /api/v1/status HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET /api/v1/status HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", 401, "not_authenticated"),
        (b"GET http://evil.example/api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 401, ""),
        (
            b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
            401,
            "not_authenticated",
        ),
    ],
)
def test_what_is_refused_has_a_problem_and_a_correlation_id(
    api: Api, head: bytes, status: int, code: str
) -> None:
    line, _, rest = head.partition(b"\r\n")
    sent = line + b"\r\nX-Correlation-ID: " + CORRELATION.encode() + b"\r\n" + rest

    answered, headers, body = api.raw(sent)

    problem = json.loads(body)
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    assert code in problem["code"]
    assert problem["correlation_id"] == headers["x-correlation-id"] == CORRELATION


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(200)) + b"\r\n", 431),
    ],
)
def test_what_the_server_cannot_read_is_refused_and_the_connection_closed(
    api: Api, head: bytes, status: int
) -> None:
    # These never reach us: the server answers them, without a body.
    answered, headers, _ = api.raw(head)

    assert (answered, headers["connection"]) == (status, "close")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/healthz", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PATCH", "/readyz", "GET, HEAD"),
        ("DELETE", "/metrics", "GET, HEAD"),
        ("POST", "/alerts", "GET, HEAD"),
        ("PUT", "/", "GET, HEAD"),
        ("PUT", "/tasks/dead-letters/requeue", "POST"),
        ("DELETE", "/admin/login/", "GET, HEAD, OPTIONS, POST"),
    ],
)
def test_a_method_that_is_not_taken_is_405_and_no_csrf_refusal(
    api: Api, method: str, path: str, allowed: str
) -> None:
    sent = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n"

    status, headers, body = api.raw(sent.encode())

    assert (status, headers["allow"]) == (405, allowed)
    assert json.loads(body)["code"] == "method_not_allowed"


def test_a_header_with_underscores_is_not_taken_for_the_one_with_hyphens(api: Api) -> None:
    sent = (
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX_Correlation_ID: caller-chosen-0001\r\n\r\n"
    )

    assert api.raw(sent)[1]["x-correlation-id"] != CORRELATION
