"""Servers that are wrong, slow, huge or elsewhere: each an error by name, none an empty answer."""

from __future__ import annotations

import gzip
import socket
import time

import pytest

from reconciliation.remotes import (
    GitRemote,
    RemoteAuthFailed,
    RemoteError,
    RemoteMalformed,
    RemoteNotFound,
    RemoteRefused,
    RemoteTarget,
    RemoteThrottled,
    RemoteUnavailable,
)
from reconciliation.remotes.pktlines import frame
from reconciliation.remotes.protocol import Limits, SmartHttp
from tests.integration.remotes.lying_server import Script, http, lying, raw

A = b"a" * 40
HELLO = (
    frame(b"# service=git-upload-pack\n")
    + b"0000"
    + frame(b"version 2\n")
    + frame(b"ls-refs\n")
    + b"0000"
)
MAIN = frame(A + b" refs/heads/main\n")
RESULT = "application/x-git-upload-pack-result"


def refs(body: bytes, *headers: str, status: str = "200 OK", kind: str = RESULT) -> list[Script]:
    return [http(HELLO), http(body, *headers, status=status, kind=kind)]


def read(remote: GitRemote, *scripts: Script) -> RemoteError:
    """Read the heads of a lying server and return the error that must come of it."""
    with lying(*scripts) as server, pytest.raises(RemoteError) as failure:
        remote.read_heads(RemoteTarget(server.url, "1"))
    return failure.value


def test_the_passing_case_from_which_the_others_depart(remote: GitRemote) -> None:
    with lying(*refs(MAIN + b"0000")) as server:
        heads = remote.read_heads(RemoteTarget(server.url, "1"))

    assert heads.heads == {"main": A.decode()}
    assert [line.split()[0] for line in server.requests] == ["GET", "POST"]


@pytest.mark.parametrize(
    "scripts",
    [
        refs(MAIN),
        refs(MAIN[:-5]),
        refs(b"00ff" + MAIN[4:] + b"0000"),
        refs(b"zzzz" + MAIN[4:] + b"0000"),
        refs(b""),
        refs(MAIN + b"0000" + MAIN),
        refs(MAIN + b"0000", kind="text/html"),
        refs(MAIN + b"0000", status="418 I'm a teapot"),
        refs(MAIN + b"0000", "Content-Encoding: gzip"),
        [http(b"<html>Sign in</html>", kind="text/html; charset=utf-8")],
        [http(b"<html>Sign in</html>")],
        [http(b"", kind="text/plain")],
        [http(b"", status="204 No Content")],
    ],
)
def test_an_answer_that_is_not_gits_is_malformed(remote: GitRemote, scripts: list[Script]) -> None:
    assert isinstance(read(remote, *scripts), RemoteMalformed)


@pytest.mark.parametrize(
    ("script", "expected", "retry_after_seconds"),
    [
        (http(b"", status="500 Oops"), RemoteUnavailable, None),
        (http(b"", "Retry-After: 30", status="503 Busy"), RemoteUnavailable, 30),
        (http(b"", "Retry-After: 120", status="429 Slow down"), RemoteThrottled, 120),
        (http(b"", "Retry-After: 9", status="403 Forbidden"), RemoteThrottled, 9),
        (http(b"", status="429 Slow down"), RemoteThrottled, None),
        (http(b"", "Retry-After: soon", status="429 Slow down"), RemoteThrottled, None),
        (
            http(
                b"",
                "Date: Mon, 02 Mar 2026 12:00:00 GMT",
                "Retry-After: Mon, 02 Mar 2026 12:01:30 GMT",
                status="429 Slow down",
            ),
            RemoteThrottled,
            90,
        ),
        (http(b"", status="401 Who"), RemoteAuthFailed, None),
        (http(b"", status="403 No"), RemoteAuthFailed, None),
        (http(b"", status="404 Nothing"), RemoteNotFound, None),
        (http(b"", status="410 Gone"), RemoteNotFound, None),
    ],
)
def test_each_status_has_its_error(
    remote: GitRemote, script: Script, expected: type[RemoteError], retry_after_seconds: int | None
) -> None:
    failure = read(remote, script)

    assert type(failure) is expected
    assert failure.retry_after_seconds == retry_after_seconds


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{port}/acme/api.git/info/refs?service=git-upload-pack",
        "http://127.0.0.1:1/acme/api.git/info/refs?service=git-upload-pack",
        "http://127.0.0.1@evil.example/x/info/refs?service=git-upload-pack",
        "//evil.example/acme/api.git/info/refs?service=git-upload-pack",
        "file:///etc/info/refs?service=git-upload-pack",
        "/login",
        "",
    ],
)
def test_a_redirect_to_anywhere_else_is_refused(remote: GitRemote, location: str) -> None:
    with lying(http(b"", f"Location: {location}", status="302 Found")) as server:
        with pytest.raises(RemoteRefused):
            remote.read_heads(RemoteTarget(server.url, "1"))

        assert len(server.requests) == 1


def test_a_second_redirect_is_refused(remote: GitRemote) -> None:
    onward = "/b.git/info/refs?service=git-upload-pack"

    failure = read(remote, http(b"", f"Location: {onward}", status="301 Moved"))

    assert isinstance(failure, RemoteRefused)


def test_silence_and_drip_end_in_time() -> None:
    limits = Limits(read_timeout_seconds=0.4, total_timeout_seconds=0.6)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n"
    for script in (
        raw(hang_seconds=20),
        raw(head, hang_seconds=20),
        raw(head, *([b"0"] * 200), pause_seconds=0.1),
        raw(head[:-2], *([b"X-Again: and again\r\n"] * 200), pause_seconds=0.1),
    ):
        reader = SmartHttp(user_agent="git/test", limits=limits)
        with lying(script) as server:
            begun = time.monotonic()
            with pytest.raises(RemoteUnavailable):
                reader.read_heads(server.url, credential=None)
            assert time.monotonic() - begun < 8


@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_answer_is_cut_off(packed: bool) -> None:
    limits = Limits(max_answer_bytes=100_000)
    body = (MAIN * 5000)[:200_000]
    script = (
        http(gzip.compress(body), "Content-Encoding: gzip", kind=RESULT)
        if packed
        else http(body, kind=RESULT)
    )
    reader = SmartHttp(user_agent="git/test", limits=limits)

    with lying(http(HELLO), script) as server, pytest.raises(RemoteMalformed, match="over 100000"):
        reader.read_heads(server.url, credential=None)


def test_a_closed_port_is_unavailable(remote: GitRemote) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(RemoteUnavailable, match="refused the connection"):
        remote.read_heads(RemoteTarget(f"http://127.0.0.1:{port}/a", "1"))


def test_a_hang_up_is_unavailable(remote: GitRemote) -> None:
    assert isinstance(read(remote, raw(b"")), RemoteUnavailable)
    assert isinstance(
        read(remote, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")), RemoteUnavailable
    )


def test_a_server_that_changed_is_met_afresh_once(remote: GitRemote) -> None:
    target_path = "/acme/api.git/info/refs?service=git-upload-pack"
    version_0 = (
        frame(b"# service=git-upload-pack\n")
        + b"0000"
        + frame(b"b" * 40 + b" refs/heads/main\0filter\n")
        + b"0000"
    )
    scripts = [*refs(MAIN + b"0000"), http(b"what?", kind="text/html"), http(version_0)]
    with lying(*scripts) as server:
        target = RemoteTarget(server.url, "1")

        first, second = remote.read_heads(target), remote.read_heads(target)

    assert (first.heads["main"], second.heads["main"]) == ("a" * 40, "b" * 40)
    assert [line.split()[:2] for line in server.requests] == [
        ["GET", target_path],
        ["POST", "/acme/api.git/git-upload-pack"],
        ["POST", "/acme/api.git/git-upload-pack"],
        ["GET", target_path],
    ]


def test_private_addresses_are_not_even_connected_to_when_blocked() -> None:
    reader = SmartHttp(user_agent="git/test", limits=Limits(), block_private_addresses=True)

    with lying(http(HELLO)) as server:
        with pytest.raises(RemoteRefused, match="private address"):
            reader.read_heads(server.url, credential=None)
        assert server.requests == []
