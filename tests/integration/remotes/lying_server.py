"""A server that answers every connection with bytes a test wrote down, right or wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[[bytes], Iterator[bytes]]


@dataclass(slots=True)
class LyingServer:
    """Where it listens, and the first lines of the requests it got."""

    port: int
    requests: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Return a clone URL that leads here."""
        return f"http://127.0.0.1:{self.port}/acme/api.git"


def http(
    body: bytes,
    *headers: str,
    status: str = "200 OK",
    kind: str = "application/x-git-upload-pack-advertisement",
) -> Script:
    """Return a script that sends one whole HTTP answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    if kind:
        head.append(f"Content-Type: {kind}")
    return raw("\r\n".join(head).encode() + b"\r\n\r\n" + body)


def raw(*pieces: bytes, pause_seconds: float = 0, hang_seconds: float = 0) -> Script:
    """Return a script that sends these bytes, slowly if asked to, and may then keep quiet."""

    def script(_request: bytes) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            time.sleep(pause_seconds)
        time.sleep(hang_seconds)

    return script


@contextlib.contextmanager
def lying(*scripts: Script) -> Iterator[LyingServer]:
    """Answer the first connection by the first script, and so on; the last one serves the rest."""
    listener = socket.create_server(("127.0.0.1", 0))
    lies = LyingServer(listener.getsockname()[1])
    stop = threading.Event()

    def serve() -> None:
        turn = 0
        while True:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                if stop.is_set():
                    connection.close()
                    return
                script = scripts[min(turn, len(scripts) - 1)]
                turn += 1
                threading.Thread(target=answer, args=(connection, script), daemon=True).start()

    def answer(connection: socket.socket, script: Script) -> None:
        with connection, contextlib.suppress(OSError):
            request = connection.recv(65536)
            lies.requests.append(request.split(b"\r\n", 1)[0].decode())
            for piece in script(request):
                connection.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield lies
    finally:
        stop.set()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", lies.port)):
            pass
        thread.join()
        listener.close()
