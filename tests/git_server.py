"""Serve bare repositories over smart HTTP on loopback, for tests and benchmarks only.

Every request runs git's own `git http-backend` as a CGI program, so what a client meets is
real git. The switches turn on what hosts differ in: protocol version, passwords, compression.
Run `python -m tests.git_server ROOT` to serve a folder from a process of its own; it prints the
port it listens on.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PARTIAL_FETCHES_ALLOWED: Mapping[str, str] = {"uploadpack.allowFilter": "true"}
EVERY_OBJECT_WANTABLE: Mapping[str, str] = {
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
}


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request the server answered: enough to count exchanges and to look for secrets."""

    method: str
    path: str
    protocol: str
    authorization: str
    status: int


@dataclass(slots=True)
class Switches:
    """What the server pretends to be; may be changed between two requests."""

    only_v0: bool = False
    only_dumb: bool = False
    login: tuple[str, str] | None = None
    gzip_answers: bool = False
    chunked_answers: bool = False
    redirects: dict[str, str] = field(default_factory=dict)
    refuse_posts_with: int | None = None
    refuse_everything_with: tuple[int, Mapping[str, str]] | None = None
    upload_pack_config: Mapping[str, str] = field(
        default_factory=lambda: dict(PARTIAL_FETCHES_ALLOWED)
    )


class GitServer(ThreadingHTTPServer):
    """A threaded HTTP/1.1 server over the repositories below `root`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, root: Path, *, port: int = 0, remember: bool = True, cached: bool = False
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.root = root.resolve()
        # Run directly, as web servers do: `git http-backend` would start one process more.
        exec_path = subprocess.run(["git", "--exec-path"], capture_output=True, check=True)
        self.backend = f"{exec_path.stdout.decode().strip()}/git-http-backend"
        self.switches = Switches()
        self.seen: list[SeenRequest] = []
        self.remember = remember
        # With a cache, answers to equal requests are given without git: a host that is fast.
        self.answers: dict[tuple[str, str, str, bytes], bytes] | None = {} if cached else None
        self.during: Callable[[], object] | None = None  # called while a client waits
        self._seen_lock = threading.Lock()

    @property
    def port(self) -> int:
        """Return the TCP port, chosen by the system when none was asked for."""
        return int(self.server_address[1])

    def url(self, name: str) -> str:
        """Return the clone URL of the repository `name`, a path relative to the root."""
        return f"http://127.0.0.1:{self.port}/{name}"

    def note(self, request: SeenRequest) -> None:
        """Remember one answered request."""
        if self.remember:
            with self._seen_lock:
                self.seen.append(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that hang up: tests make them do so on purpose."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, BrokenPipeError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True
    server: GitServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        return

    def _answer(self) -> None:
        switches = self.server.switches
        body = self._read_body()
        if self.server.during is not None:
            self.server.during()
        location = self._redirect(switches)
        if switches.refuse_everything_with is not None:
            self._send(*switches.refuse_everything_with, b"not now\n")
        elif location is not None:
            self._send(302, {"Location": location}, b"")
        elif not self._may_enter(switches):
            self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"a name, please\n")
        elif self.command == "POST" and switches.refuse_posts_with is not None:
            self._send(switches.refuse_posts_with, {}, b"not today\n")
        elif switches.only_dumb:
            self._send_file()
        else:
            self._run_backend(body, switches)

    def _redirect(self, switches: Switches) -> str | None:
        for prefix, target in switches.redirects.items():
            if self.path.startswith(prefix):
                return target + self.path[len(prefix) :]
        return None

    def _may_enter(self, switches: Switches) -> bool:
        if switches.login is None:
            return True
        expected = base64.b64encode(":".join(switches.login).encode()).decode()
        return self.headers.get("Authorization", "") == f"Basic {expected}"

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return b"".join(_chunks(self.rfile))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send_file(self) -> None:
        parts = urlsplit(self.path)
        path = (self.server.root / unquote(parts.path).lstrip("/")).resolve()
        if not path.is_relative_to(self.server.root) or not path.is_file():
            self._send(404, {}, b"")
            return
        self._send(200, {"Content-Type": "text/plain"}, path.read_bytes())

    def _run_backend(self, body: bytes, switches: Switches) -> None:
        question = (self.command, self.path, self.headers.get("Git-Protocol", ""), body)
        answer = self.server.answers.get(question) if self.server.answers is not None else None
        if answer is None:
            answer = self._ask_git(body, switches)
        if self.server.answers is not None:
            self.server.answers[question] = answer
        head, _, payload = answer.partition(b"\r\n\r\n")
        headers = dict(
            line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line
        )
        status = int(headers.pop("Status", "200 OK").split()[0])
        self._send(status, headers, payload, gzip_answer=switches.gzip_answers)

    def _ask_git(self, body: bytes, switches: Switches) -> bytes:
        process = subprocess.Popen(
            [self.server.backend],
            env=self._cgi_environment(len(body), switches),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return process.communicate(body)[0]

    def _cgi_environment(self, length: int, switches: Switches) -> dict[str, str]:
        parts = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self.server.root),
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_CONFIG_COUNT": str(len(switches.upload_pack_config) + 1),
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        for number, (key, value) in enumerate(switches.upload_pack_config.items(), start=1):
            environment[f"GIT_CONFIG_KEY_{number}"] = key
            environment[f"GIT_CONFIG_VALUE_{number}"] = value
        if encoding := self.headers.get("Content-Encoding"):
            environment["HTTP_CONTENT_ENCODING"] = encoding
        if (protocol := self.headers.get("Git-Protocol")) and not switches.only_v0:
            environment["GIT_PROTOCOL"] = protocol
        return environment

    def _send(
        self, status: int, headers: Mapping[str, str], payload: bytes, *, gzip_answer: bool = False
    ) -> None:
        self.server.note(
            SeenRequest(
                method=self.command,
                path=self.path,
                protocol=self.headers.get("Git-Protocol", ""),
                authorization=self.headers.get("Authorization", ""),
                status=status,
            )
        )
        if gzip_answer and "gzip" in self.headers.get("Accept-Encoding", ""):
            payload = gzip.compress(payload)
            headers = {**headers, "Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        if self.server.switches.chunked_answers:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(payload), 1000):
                piece = payload[start : start + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass


@contextlib.contextmanager
def serving(root: Path, *, port: int = 0) -> Iterator[GitServer]:
    """Serve `root` from a thread of this process until the block ends."""
    server = GitServer(root, port=port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve a folder until killed; the first line of output is the port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cached", action="store_true", help="run git once per equal request")
    options = parser.parse_args()
    server = GitServer(options.root, port=options.port, remember=False, cached=options.cached)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
