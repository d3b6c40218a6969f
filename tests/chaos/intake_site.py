"""A real web server and real workers on the test's database, to be killed and started again."""

import http.client
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from django.conf import settings

from tests.chaos.remains import MARK, end_marked, end_sessions
from tests.integration.queue.programs import ROOT, database_url

START_SECONDS = 300
"""How long a server may take to answer: three programs start at once, on whatever machine."""


class IntakeSite:
    """granian with two processes, a supervised cluster, and a lone drain; each in its own group."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.port = port or _free_port()
        self.log = (folder / "site.log").open("ab")
        self.mark = secrets.token_hex(8)
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "DATABASE_URL": database_url(),
            "SECRET_KEY": "only-this-test-knows-it-" * 3,
            "FIELD_ENCRYPTION_KEYS": settings.FIELD_ENCRYPTION_KEYS,
            "RECONCILER_VAR": str(folder / "var"),
            "RECONCILER_ALLOWED_LOCAL_ROOTS": str(folder),
            "RECONCILER_CLAIM_SECONDS": "5",
            "RECONCILER_LOG_LEVEL": "ERROR",
            MARK: self.mark,
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.restarts = 0

    def start(self) -> None:
        """Start everything and return when the server answers."""
        server = (
            *("-m", "granian", "--interface", "asgi", "--http", "1", "--no-ws"),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "2"),
            *("--backpressure", "8192", "--log-level", "critical"),
            "reconciler_site.asgi:application",
        )
        commands: tuple[tuple[str, ...], ...] = (
            server,
            ("manage.py", "reconcile_worker"),
            ("manage.py", "drain", "--loop"),
        )
        self.processes = [
            subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                start_new_session=True,
            )
            for command in commands
        ]
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise AssertionError(f"no server at port {self.port}: see {self.log.name}")
            time.sleep(0.1)

    def kill_and_restart(self) -> None:
        """Take server and workers away without a word, all at once, and start them again."""
        self.kill()
        self.restarts += 1
        self.start()

    def kill(self) -> None:
        """SIGKILL every process that was started, and all that these started."""
        end_marked(self.mark)
        for process in self.processes:
            process.wait(30)
        self.processes = []

    def end(self) -> None:
        """Leave neither a process nor a session on the database."""
        try:
            self.kill()
            end_sessions()
        finally:
            self.log.close()

    def _answers(self) -> bool:
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            asked.request("GET", "/healthz")
            return asked.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()


class Sender:
    """One keep-alive connection that sends a request until it is answered, as patient hosts do."""

    def __init__(self, port: int, *, patience_seconds: float, over: threading.Event) -> None:
        self.port = port
        self.over = over
        self.patience = patience_seconds
        self.connection: http.client.HTTPConnection | None = None
        self.broken = 0

    def send(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """Return status and body of the answer; a request whose connection died is sent again."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                status, answer = self._once(path, body, headers)
            except (OSError, http.client.HTTPException):
                self.broken += 1
                self.close()
                status, answer = 0, b""
            if status not in (0, 503):
                return status, answer
            if time.monotonic() > deadline or self.over.is_set():
                raise AssertionError(f"no answer within {self.patience} s: {status} {answer!r}")
            # Eight of us ask again and again while the server starts: leave it the machine.
            time.sleep(0.25)

    def close(self) -> None:
        """Forget the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _once(self, path: str, body: bytes, headers: dict[str, Any]) -> tuple[int, bytes]:
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        self.connection.request("POST", path, body=body, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
