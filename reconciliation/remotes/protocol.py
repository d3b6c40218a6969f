"""Read a repository's heads over smart HTTP: one POST per repository once its server is known.

Speaks protocol v2 itself (several times cheaper than starting `git ls-remote`) and falls back to
the v0 advertisement. Reads only; redirects, sizes and times are bounded.
Source: gitprotocol-http(5), gitprotocol-v2(5).
"""

from __future__ import annotations

import base64
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import urllib3

from reconciliation.remotes.advertisements import (
    Advertisement,
    is_dumb_ref_list,
    ls_refs_request,
    parse_advertisement,
    parse_ls_refs,
)
from reconciliation.remotes.answers import (
    DISCOVERY,
    REDIRECTS,
    Answer,
    raise_for_status,
    redirected_base,
)
from reconciliation.remotes.base import (
    Credential,
    RemoteError,
    RemoteHeads,
    RemoteMalformed,
    RemoteNotFound,
    RemoteRefused,
    RemoteUnavailable,
)
from reconciliation.remotes.calls import note_call
from reconciliation.remotes.connections import deadline, pool_manager

_ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
_RESULT = "application/x-git-upload-pack-result"
_REQUEST = "application/x-git-upload-pack-request"
_PIECE_BYTES = 65536


class ServerIsDumb(Exception):
    """The server only hands out files; `git ls-remote` knows how to read those."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much one exchange may take."""

    connect_timeout_seconds: float = 5
    read_timeout_seconds: float = 15  # silence between two pieces of an answer
    total_timeout_seconds: float = 60  # one answer, first byte to last
    max_answer_bytes: int = 64 * 1024 * 1024  # after decompression


@dataclass(frozen=True, slots=True)
class Server:
    """What is remembered of one repository's server: its final URL and its advertisement."""

    base_url: str
    advertisement: Advertisement


class SmartHttp:
    """A thread-safe reader of heads over HTTP; connections are pooled and kept alive."""

    def __init__(
        self, *, user_agent: str, limits: Limits, block_private_addresses: bool = False
    ) -> None:
        self._limits = limits
        self._agent = user_agent
        self._block_private_addresses = block_private_addresses
        self._servers: dict[str, Server] = {}
        self._start()
        # A connection must not be shared with a child process: each would read the other's answer.
        os.register_at_fork(after_in_child=_restarter(self))

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pool = pool_manager(
            block_private_addresses=self._block_private_addresses,
            num_pools=64,
            maxsize=16,
            retries=False,
            timeout=urllib3.Timeout(
                connect=self._limits.connect_timeout_seconds,
                read=self._limits.read_timeout_seconds,
            ),
        )

    def read_heads(self, url: str, *, credential: Credential | None) -> RemoteHeads:
        """Return the heads behind `url`, learning or re-learning the server where needed.

        A server that is remembered as speaking v2 is asked directly. If it answers with anything
        but v2 (it was replaced, moved or rolled back) it is met afresh, once.
        """
        known = self._servers.get(url)
        if known is not None and known.advertisement.version == 2:
            try:
                return self._list_heads(known, credential)
            except (RemoteMalformed, RemoteNotFound, RemoteRefused):
                self._forget(url)
        server = self.discover(url, credential=credential)
        if server.advertisement.heads is not None:
            return server.advertisement.heads
        try:
            heads = self._list_heads(server, credential)
        except RemoteError:
            self._forget(url)
            raise
        return heads

    def locate(self, url: str, *, credential: Credential | None) -> Server:
        """Return what is known of the server behind `url`, asking it if nothing is."""
        return self._servers.get(url) or self.discover(url, credential=credential)

    def discover(self, url: str, *, credential: Credential | None) -> Server:
        """Ask the server who it is; follow at most one redirect, on the same host only."""
        answer = self._request("GET", url + DISCOVERY, credential=credential)
        base_url = url
        if answer.status in REDIRECTS:
            base_url = redirected_base(url, answer.headers.get("Location", ""))
            answer = self._request("GET", base_url + DISCOVERY, credential=credential)
        raise_for_status(answer, base_url)
        if answer.content_type != _ADVERTISEMENT:
            if is_dumb_ref_list(answer.body):
                raise ServerIsDumb
            raise RemoteMalformed(
                f"answer of {base_url} is {answer.content_type or 'untyped'}, not git's"
            )
        server = Server(base_url, parse_advertisement(answer.body))
        self._remember(url, server)
        return server

    def _list_heads(self, server: Server, credential: Credential | None) -> RemoteHeads:
        answer = self._request(
            "POST",
            server.base_url + "/git-upload-pack",
            credential=credential,
            body=ls_refs_request(server.advertisement, agent=self._agent),
        )
        raise_for_status(answer, server.base_url)
        if answer.content_type != _RESULT:
            raise RemoteMalformed(
                f"answer of {server.base_url} is {answer.content_type or 'untyped'}, not git's"
            )
        return parse_ls_refs(answer.body, object_format=server.advertisement.object_format)

    def _request(
        self, method: str, url: str, *, credential: Credential | None, body: bytes | None = None
    ) -> Answer:
        headers = {
            "Git-Protocol": "version=2",
            "User-Agent": self._agent,
            "Accept-Encoding": "gzip",
            "Pragma": "no-cache",
        }
        if credential is not None:
            headers["Authorization"] = authorization(credential)
        if body is not None:
            headers |= {"Content-Type": _REQUEST, "Accept": _RESULT}
        host = urlsplit(url).netloc
        note_call()
        try:
            with deadline(self._limits.total_timeout_seconds):
                response = self._open(method, url, body=body, headers=headers)
                return Answer(response.status, response.headers, self._read(response, host))
        except urllib3.exceptions.SSLError as error:
            raise RemoteUnavailable(f"{host} could not prove who it is (TLS): {error}") from error
        except urllib3.exceptions.DecodeError as error:
            raise RemoteMalformed(f"answer of {host} is not what its encoding says") from error
        except urllib3.exceptions.NameResolutionError as error:
            raise RemoteUnavailable(f"host {host} cannot be looked up") from error
        except urllib3.exceptions.NewConnectionError as error:
            raise RemoteUnavailable(f"{host} refused the connection") from error
        except urllib3.exceptions.TimeoutError as error:
            raise RemoteUnavailable(f"{host} did not answer in time") from error
        except urllib3.exceptions.HTTPError as error:
            raise RemoteUnavailable(f"{host} broke off: {type(error).__name__}") from error

    def _open(
        self, method: str, url: str, *, body: bytes | None, headers: dict[str, str]
    ) -> urllib3.BaseHTTPResponse:
        """Send one request; again on a new connection if a kept-alive one had just been closed."""

        def send() -> urllib3.BaseHTTPResponse:
            return self._pool.request(
                method, url, body=body, headers=headers, redirect=False, preload_content=False
            )

        try:
            return send()
        except urllib3.exceptions.ProtocolError:
            return send()

    def _read(self, response: urllib3.BaseHTTPResponse, host: str) -> bytes:
        """Read a whole answer, piece by piece, so that its size cannot hurt us."""
        pieces, size = [], 0
        try:
            while piece := response.read1(_PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > self._limits.max_answer_bytes:
                    raise RemoteMalformed(
                        f"answer of {host} is over {self._limits.max_answer_bytes} bytes"
                    )
        except BaseException:
            response.close()  # an answer left half read must not be met by the next request
            raise
        response.release_conn()
        return b"".join(pieces)

    def _remember(self, url: str, server: Server) -> None:
        """Keep who the server is; a v0 advertisement's heads are old the moment they are read."""
        lasting = replace(server, advertisement=replace(server.advertisement, heads=None))
        with self._lock:
            self._servers[url] = lasting

    def _forget(self, url: str) -> None:
        with self._lock:
            self._servers.pop(url, None)


def _restarter(client: SmartHttp) -> Callable[[], None]:
    """Return a function that gives `client`, if it still lives then, connections of its own."""
    reference = weakref.ref(client)

    def restart() -> None:
        living = reference()
        if living is not None:
            living._start()

    return restart


def authorization(credential: Credential) -> str:
    """Return the value of the Authorization header."""
    pair = f"{credential.username}:{credential.secret}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")
