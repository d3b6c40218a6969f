"""A small git host on loopback: bare repositories behind git's own http-backend, with real hooks.

Every push runs a server-side `post-receive` hook that posts a signed webhook, as a host would. The
user name of the push's basic authentication is the pusher. For demonstration and tests only: it
believes any user name.
"""

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

GIT_ENV = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C.UTF-8",
    "PATH": os.environ["PATH"],
}


class GitHost:
    """Serves the bare repositories below `root` at `http://127.0.0.1:<port>/<owner>/<name>.git`."""

    def __init__(self, root: Path, *, port: int = 0) -> None:
        self.root = root
        handler = type("Handler", (_Backend,), {"root": root})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        """The address of the host, without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, name="git-host", daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Backend(BaseHTTPRequestHandler):
    """Hands each request to `git http-backend` as CGI (RFC 3875)."""

    root: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Serve an advertisement."""
        self._run(b"")

    def do_POST(self) -> None:
        """Serve a fetch or take a push."""
        self._run(self._body())

    def log_message(self, *_: object) -> None:
        """Say nothing: the story tells what happens."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _run(self, body: bytes) -> None:
        url = urlsplit(self.path)
        pusher = self._user()
        if "git-receive-pack" in self.path and not pusher:
            # git sends credentials only when it is asked for them.
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="demonstration"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        env = {
            **GIT_ENV,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": url.path,
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        if pusher:
            env["REMOTE_USER"] = pusher
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
        )
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode("latin-1").splitlines():
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _user(self) -> str:
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return ""
        return base64.b64decode(token).decode("utf-8", "replace").partition(":")[0]
