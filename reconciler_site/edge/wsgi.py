"""Runs the WSGI application for one whole request in the thread it is called from."""

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from reconciler_site.edge.bodies import Body

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, ready to be written by the event loop."""

    status: int
    headers: list[tuple[bytes, bytes]]
    content: bytes


class BodyNotKept(io.RawIOBase):
    """Stands where the body would be: it was too large, and whoever reads it fails."""

    def readable(self) -> bool:
        """Say that a read may be tried."""
        return True

    def readinto(self, buffer: object) -> NoReturn:
        """Fail as a broken connection does, which Django knows how to answer."""
        raise OSError("The body was too large to be kept.")


def environ_of(scope: Mapping[str, Any], body: Body | None) -> Environ:
    """Return the WSGI environment of an ASGI request (PEP 3333)."""
    server, client = scope.get("server") or ("", 0), scope.get("client") or ("", 0)
    version = scope["http_version"]
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{version if '.' in version else version + '.0'}",
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        _add_header(environ, raw_name.decode("latin-1"), raw_value.decode("latin-1"))
    if body is None:
        environ["wsgi.input"] = io.BytesIO()
        return environ
    # However it came, it is here: nobody behind us needs to know about chunks.
    environ["CONTENT_LENGTH"] = str(body.size)
    environ["wsgi.input"] = io.BytesIO(body.content()) if body.is_kept else BodyNotKept()
    return environ


def _add_header(environ: Environ, name: str, value: str) -> None:
    # Django could not tell `X_Forwarded_Proto` from the header that only a proxy may set.
    if "_" in name or name in ("content-length", "transfer-encoding"):
        return
    key = name.upper().replace("-", "_")
    if key != "CONTENT_TYPE":
        key = f"HTTP_{key}"
    if key in environ:
        value = f"{environ[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
    environ[key] = value


def run(application: Application, environ: Environ) -> Answer:
    """Return the application's answer, all of it, so that no thread waits for its reader."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started[:] = [status, headers]
        return lambda piece: None

    pieces = application(environ, start_response)
    try:
        content = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    status, headers = started
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"content-length" for name, _ in encoded):
        encoded.append((b"content-length", str(len(content)).encode()))
    if environ["REQUEST_METHOD"] == "HEAD":
        content = b""
    return Answer(int(status[:3]), encoded, content)
