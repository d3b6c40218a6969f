"""Starts a PostgreSQL server of our own in a fresh folder and removes it; never touches another.

    python -m scripts.throwaway_postgres run -- pytest tests
    python -m scripts.throwaway_postgres run --durable -- python -m tests.benchmarks

The command gets the address as TEST_DATABASE_URL and DATABASE_URL. When TEST_DATABASE_URL is
already set, that server is used as it is and nothing is started.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from scripts.postgres_programs import (
    PostgresMissing,
    choose_account,
    find_programs,
    locales_to_try,
)

START_DEADLINE_SECONDS = 60.0
STOP_DEADLINE_SECONDS = 30.0

# Crash safety costs most of the time of a test suite and buys nothing there.
FAST_AND_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresFailed(RuntimeError):
    """The server is there but does not start or stop; the message ends with its own last words."""


class ThrowawayPostgres:
    """One server: made by `start`, broken by `restart_immediate`, removed with its data by `stop`.

    `durable` keeps fsync and the like on, for benchmarks and for tests that pull the plug.
    """

    def __init__(self, *, durable: bool = False) -> None:
        """Reserve nothing yet; `start` does."""
        self.durable = durable
        self.port = 0
        self.locale = ""
        self._account = choose_account()
        self._folder: Path | None = None
        self._bin = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of the maintenance database, for DATABASE_URL; valid between start and stop."""
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def is_running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Make the data folder and start the server; return when it accepts connections.

        Raises PostgresMissing without usable programs, PostgresFailed when they do not work.
        """
        self._bin = find_programs(account=self._account)
        self._folder = Path(tempfile.mkdtemp(prefix="throwaway-postgres-"))
        atexit.register(self.stop)
        try:
            if self._account.user is not None and self._account.group is not None:
                os.chown(self._folder, self._account.user, self._account.group)
            self._make_cluster()
            self._launch_on_a_free_port()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and remove its data; harmless when that has happened already."""
        atexit.unregister(self.stop)
        self._signal_and_wait(signal.SIGINT)  # "fast": disconnects clients, then shuts down
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def restart_immediate(self, *, down_seconds: float = 0.0) -> None:
        """Pull the plug (no checkpoint, clients cut off), wait, start again on the same data."""
        self._signal_and_wait(signal.SIGQUIT)
        time.sleep(down_seconds)
        self._launch()

    def log_tail(self, *, lines: int = 15) -> str:
        """Return the last lines of the server's log."""
        log = self._data.parent / "server.log"
        if not log.exists():
            return ""
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])

    @property
    def _data(self) -> Path:
        if self._folder is None:
            raise PostgresFailed("This server was not started, or was stopped and removed.")
        return self._folder / "data"

    def _make_cluster(self) -> None:
        """Prefer a locale that does not sort by bytes, so that reliance on collation shows."""
        said = ""
        for locale, options in locales_to_try():
            shutil.rmtree(self._data, ignore_errors=True)
            fixed = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]
            made = self._as_account([self._bin / "initdb", "-D", self._data, *fixed, *options])
            if made.returncode == 0:
                self.locale = locale
                return
            said = made.stdout
        raise PostgresFailed(f"initdb failed in every locale tried. It said last:\n{said}")

    def _launch_on_a_free_port(self, *, tries: int = 3) -> None:
        """Try again elsewhere when somebody takes the port between our look and the server's."""
        for attempt in range(1, tries + 1):
            self.port = _free_port()
            try:
                self._launch()
            except PostgresFailed:
                if attempt == tries:
                    raise
            else:
                return

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._data.parent),
            "max_connections": "100",
            "timezone": "UTC",
        }
        if not self.durable:
            settings |= FAST_AND_CARELESS
        command: list[str | Path] = [self._bin / "postgres", "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._data.parent / "server.log").open("ab") as log:
            # A session of its own, so that Ctrl-C reaches us first and we stop it in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._data.parent,
                user=self._account.user,
                group=self._account.group,
                extra_groups=self._account.extra_groups,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        # The server itself writes "ready" here; asking over a socket would need a client.
        status_file = self._data / "postmaster.pid"
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while self.is_running and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                lines = status_file.read_text().splitlines()
                ours = self._process is not None and lines[:1] == [str(self._process.pid)]
                if ours and lines[-1].strip() == "ready":
                    return
            time.sleep(0.02)
        raise PostgresFailed(f"PostgreSQL did not start. Its log ends:\n{self.log_tail()}")

    def _signal_and_wait(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_DEADLINE_SECONDS)

    def _as_account(self, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd="/",
            user=self._account.user,
            group=self._account.group,
            extra_groups=self._account.extra_groups,
        )


@contextlib.contextmanager
def throwaway_postgres(*, durable: bool = False) -> Iterator[ThrowawayPostgres]:
    """Give a running server and remove it afterwards, also when SIGTERM ends the program."""
    server = ThrowawayPostgres(durable=durable)
    with exit_on_sigterm():
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def postgres_url(*, durable: bool = False) -> Iterator[str]:
    """Give the address of a server to test on: TEST_DATABASE_URL if set, else one of our own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with throwaway_postgres(durable=durable) as server:
        yield server.url


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into SystemExit for a while, so that `finally` blocks run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(command: list[str], *, durable: bool) -> int:
    with postgres_url(durable=durable) as url:
        environment = os.environ | {"TEST_DATABASE_URL": url, "DATABASE_URL": url}
        child = subprocess.Popen(command, env=environment)
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()


def main() -> int:
    """Run one command beside a throw-away server and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    run = actions.add_parser("run", help="run a command with the server's address in DATABASE_URL")
    run.add_argument("--durable", action="store_true", help="leave fsync on: for benchmarks")
    run.add_argument("command", nargs="+", help="the command, after --")
    asked = parser.parse_args()
    try:
        return _run(asked.command, durable=asked.durable)
    except (PostgresMissing, PostgresFailed) as trouble:
        print(f"throwaway_postgres: {trouble}", file=sys.stderr)
        return 69  # EX_UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())
