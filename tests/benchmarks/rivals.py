"""Other queues beside ours: starts their workers, gives them work in slices, ends them.

procrastinate and Celery live in a Python environment of their own, made from requirements/bench.txt
below var/ at the first run; Celery also needs Debian's `redis-server`. What cannot be had on a
machine is left out, with the reason.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


class LeftOut(Exception):
    """A rival cannot run on this machine; the message says why and what would help."""


class Rival(Protocol):
    """Something that works tasks which do nothing."""

    def start(self) -> None:
        """Start two worker processes. Raises LeftOut."""

    def rate_of(self, count: int) -> float:
        """Work so many tasks and return how many a second that were."""

    def stop(self) -> None:
        """End all that was started."""


def rivals_bin() -> Path:
    """Return the folder of the rivals' programs, made if need be; BENCH_VENV names another one.

    Raises:
        LeftOut: it cannot be made, for instance because no package index is in reach.
    """
    venv = Path(os.environ.get("BENCH_VENV") or ROOT / "var" / "bench-venv")
    requirements = ROOT / "requirements" / "bench.txt"
    if not (venv / "bin" / "celery").exists():
        shutil.rmtree(venv, ignore_errors=True)
        for command in (
            [sys.executable, "-m", "venv", str(venv)],
            [
                *(str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"),
                *("--disable-pip-version-check", "--require-hashes", "-r", str(requirements)),
            ],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise LeftOut(f"{requirements.name} cannot be installed: {done.stderr[-300:]}")
    return venv / "bin"


@dataclass
class Processes:
    """Programs in groups of their own, so that they can be ended whole."""

    groups: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start(self, command: list[str | Path], environment: Mapping[str, str]) -> None:
        """Start a program, quiet unless BENCH_LOUD is set."""
        quiet = None if os.environ.get("BENCH_LOUD") else subprocess.DEVNULL
        self.groups.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=quiet,
                stderr=quiet,
                start_new_session=True,
            )
        )

    def stop(self) -> None:
        """Kill every group."""
        for process in self.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.groups = []


class DjangoQ:
    """django-q2 on its ORM broker, one message for each task; `tuned` or with its `defaults`."""

    def __init__(self, variant: str, *, database_url: str) -> None:
        self._key = f"bench-{variant}"
        self._environment = {
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.plain_queue",
            "DATABASE_URL": database_url,
            "BENCH_QUEUE": variant,
        }
        self._processes = Processes()

    def start(self) -> None:
        """Start a cluster of two workers."""
        self._processes.start([sys.executable, "manage.py", "qcluster"], self._environment)

    def rate_of(self, count: int) -> float:
        """Queue messages in one transaction; time until all are taken, worked and acknowledged."""
        from django_q.models import OrmQ

        _run([sys.executable, "-m", "tests.benchmarks.plain_queue", str(count)], self._environment)
        waiting = OrmQ.objects.filter(key=self._key)
        started = time.perf_counter()
        before: int = waiting.count()
        wait_until(lambda: not waiting.exists(), what=f"the messages of {self._key} are worked")
        return before / (time.perf_counter() - started)

    def stop(self) -> None:
        """Kill the cluster."""
        self._processes.stop()


class Procrastinate:
    """procrastinate on the same PostgreSQL: two processes, many jobs at once in each."""

    def __init__(self, *, database_url: str, concurrency: int = 32) -> None:
        self._environment = {"RIVAL_DATABASE": database_url, "PYTHONPATH": str(ROOT)}
        self._concurrency = concurrency
        self._processes = Processes()

    def start(self) -> None:
        """Make its tables and start two workers."""
        program: list[str | Path] = [
            rivals_bin() / "procrastinate",
            "--app",
            "tests.benchmarks.rival_procrastinate.app",
        ]
        _run([*program, "schema", "--apply"], self._environment)
        options = ["--concurrency", str(self._concurrency), "--queues", "bench"]
        options += ["--delete-jobs", "successful", "--fetch-job-polling-interval", "0.2"]
        for _ in range(2):
            self._processes.start([*program, "worker", *options], self._environment)

    def rate_of(self, count: int) -> float:
        """Defer jobs in one statement; time until none waits or runs."""
        return _told_rate("tests.benchmarks.rival_procrastinate", count, self._environment)

    def stop(self) -> None:
        """Kill the workers."""
        self._processes.stop()


class Celery:
    """Celery with two prefork workers on a Redis that keeps an append-only file; late acks.

    `appendfsync` is Redis's: always (on disk before it answers) or everysec (within a second).
    """

    def __init__(self, *, appendfsync: str) -> None:
        self._appendfsync = appendfsync
        self._processes = Processes()
        self._folder: Path | None = None
        self._environment: dict[str, str] = {}

    def start(self) -> None:
        """Start a Redis of our own and the workers."""
        server = shutil.which("redis-server")
        if server is None:
            raise LeftOut("there is no redis-server here (Debian: apt-get install redis-server)")
        celery = rivals_bin() / "celery"
        port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="bench-redis-"))
        self._environment = {
            "RIVAL_BROKER": f"redis://127.0.0.1:{port}/0",
            "PYTHONPATH": str(ROOT),
        }
        self._processes.start(
            [
                *(server, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                *("--appendonly", "yes", "--appendfsync", self._appendfsync, "--save", ""),
            ],
            {},
        )
        wait_until(lambda: _answers(port), what="Redis answers")
        self._processes.start(
            [
                *(celery, "--app", "tests.benchmarks.rival_celery", "worker", "--queues", "bench"),
                *("--pool", "prefork", "--concurrency", "2", "--loglevel", "ERROR"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            self._environment,
        )

    def rate_of(self, count: int) -> float:
        """Send messages while nobody takes them; time until all are acknowledged."""
        return _told_rate("tests.benchmarks.rival_celery", count, self._environment)

    def stop(self) -> None:
        """Kill workers and Redis."""
        self._processes.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def wait_until(happens: Callable[[], bool], *, what: str, within_seconds: float = 120) -> None:
    """Return when it happens; end the benchmark when it does not."""
    deadline = time.monotonic() + within_seconds
    while not happens():
        if time.monotonic() > deadline:
            sys.exit(f"executor: waited {within_seconds} s in vain until {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _told_rate(module: str, count: int, environment: Mapping[str, str]) -> float:
    return float(_run([rivals_bin() / "python", "-m", module, str(count)], environment))


def _run(command: list[str | Path], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"executor: {command[:4]} failed: {done.stderr[-600:]}")
    return done.stdout
