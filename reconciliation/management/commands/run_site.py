"""Runs the whole site: the web server and the workers, until Ctrl-C or SIGTERM.

    manage.py run_site                       127.0.0.1:8000, SQLite below var/, made on first use
    manage.py run_site --port 9000 --no-worker
    manage.py run_site --migrate             PostgreSQL: apply missing migrations first

The first start makes the login `admin` and prints its password once. Both processes are stopped
within 35 seconds; a worker that dies is started again, a web server that dies ends the command.
Exit code 0: stopped on request. 1: something failed; the last lines say what.
"""

import argparse
import http.client
import json
import os
import resource
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from audit.correlation import new_correlation_id
from reconciliation.management.first_run import (
    ADMIN,
    bring_schema_up_to_date,
    collect_static_files_if_outdated,
    create_admin_if_nobody_can_log_in,
    prepare_folder_of_embedded_database,
)
from reconciliation.management.processes import POLL_SECONDS, Child, Supervisor

WEB_START_SECONDS = 60.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound


class Command(BaseCommand):
    """Run web server and workers together."""

    help = __doc__

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the lines of the help as they are."""
        kwargs["formatter_class"] = argparse.RawDescriptionHelpFormatter
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        embedded = _is_sqlite()
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=int, default=8000, help="0 takes any free port")
        parser.add_argument("--no-worker", action="store_true", help="web server only")
        parser.add_argument(
            "--workers", type=int, default=1 if embedded else 2, help="web processes"
        )
        parser.add_argument(
            "--threads",
            type=int,
            default=settings.WEB_THREADS,
            help="threads of a web process; each holds one database connection",
        )
        parser.add_argument(
            "--connections",
            type=int,
            default=settings.WEB_CONNECTIONS,
            help="connections a web process keeps open at once, idle ones included",
        )
        parser.add_argument(
            "--migrate",
            action=argparse.BooleanOptionalAction,
            default=embedded,
            help="apply missing migrations first (default on SQLite)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per event")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, start, watch, stop."""
        self._as_json: bool = options["json"]
        host, port = _free_address(options["host"], options["port"])
        web_command = _web_command(host, port, options)
        self._prepare(may_migrate=options["migrate"])
        url = _url(host, port)
        with tempfile.TemporaryDirectory(prefix="reconciler-metrics-") as shared:
            environment = _environment(url, shared=shared if options["workers"] > 1 else None)
            threads = {"RECONCILER_WEB_THREADS": str(options["threads"])}
            web = Child("web", web_command, environment | threads, is_vital=True)
            worker = Child("worker", _worker_command(), environment, is_vital=False)
            code = self._run([web] if options["no_worker"] else [web, worker], host, port)
        self._report("stopped", {"exit_code": code})
        if code:
            sys.exit(code)

    def _run(self, children: list[Child], host: str, port: int) -> int:
        """Run the children, the web server first among them, and return the exit code."""
        # They open connections of their own; ours would be idle for as long as the site runs.
        connections.close_all()
        supervisor = Supervisor(children, report=self._report)

        def announce() -> None:
            if _wait_until_it_answers(supervisor, children[0], host, port):
                self._report("ready", {"url": _url(host, port)})

        return supervisor.run(on_start=announce)

    def _prepare(self, *, may_migrate: bool) -> None:
        prepare_folder_of_embedded_database()
        applied = bring_schema_up_to_date(may_migrate=may_migrate)
        if applied:
            self._report("migrated", {"migrations": applied})
        if collect_static_files_if_outdated():
            self._report("collected", {"folder": str(settings.STATIC_ROOT)})
        password = create_admin_if_nobody_can_log_in(
            make_password=lambda: secrets.token_urlsafe(15),
            correlation_id=new_correlation_id(),
            now=timezone.now(),
        )
        if password is not None:
            self._report("admin_created", {"username": ADMIN, "password": password})

    def _report(self, event: str, facts: Mapping[str, object]) -> None:
        if self._as_json:
            line = json.dumps({"event": event, **facts})
        else:
            line = _WORDS[event].format(**facts)
            if "restart_in_seconds" in facts:
                line += f"; starting it again in {facts['restart_in_seconds']} s"
        self.stdout.write(line)
        self.stdout.flush()


_WORDS = {
    "migrated": "Database: {migrations} migrations applied.",
    "collected": "Static files: collected in {folder}.",
    "admin_created": "Login: {username}, password: {password} (shown this once; change it).",
    "ready": "Reconciler is at {url}/  (Ctrl-C stops it)",
    "died": "The {process} died with exit code {exit_code}",
    "restarted": "The {process} was started again.",
    "killed": "The {process} did not stop within {after_seconds} s and was killed.",
    "stopped": "Stopped.",
}


def _web_command(host: str, port: int, options: Mapping[str, Any]) -> list[str]:
    if _is_sqlite() and options["workers"] != 1:
        raise CommandError("SQLite takes one web process: leave out --workers, or use PostgreSQL.")
    module, _, name = settings.ASGI_APPLICATION.rpartition(".")
    # HTTP/1 only: HTTP/2 without TLS is spoken by no host, and has slow callers of its own kind.
    return [
        *(sys.executable, "-m", "granian", "--interface", "asgi", "--http", "1", "--no-ws"),
        *("--host", host, "--port", str(port)),
        *("--workers", str(options["workers"]), "--respawn-failed-workers"),
        # Connections, not requests: those are bounded by the threads of `reconciler_site.edge`.
        *("--backpressure", str(_connections(options["connections"]))),
        *("--http1-header-read-timeout", str(_idle_milliseconds())),
        *("--workers-kill-timeout", "20", "--log-level", "warning"),
        f"{module}:{name}",
    ]


def _idle_milliseconds() -> int:
    """Return how long the server waits for the head of a request, the first or the next one."""
    if not 1 <= settings.IDLE_SECONDS <= 60:
        raise CommandError(
            f"RECONCILER_IDLE_SECONDS is {settings.IDLE_SECONDS}: use 1 to 60 seconds."
        )
    milliseconds: int = settings.IDLE_SECONDS * 1000
    return milliseconds


def _connections(wanted: int) -> int:
    """Return how many connections fit, after raising our limit of open files for them.

    Children inherit it. Some files are left for the database, logs and static files.
    """
    spare = 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    enough = wanted + spare
    if soft != unlimited and soft < enough:
        soft = enough if hard == unlimited else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == unlimited else max(1, min(wanted, soft - spare))


def _worker_command() -> list[str]:
    return [sys.executable, str(settings.MANAGE_PY), "reconcile_worker"]


def _environment(url: str, *, shared: str | None) -> dict[str, str]:
    """Return what the children inherit: ours, and what they cannot know by themselves."""
    path = [str(settings.MANAGE_PY.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        # Links in notifications lead to where the site really is, unless told otherwise.
        "RECONCILER_PUBLIC_URL": url,
        **os.environ,
        # The command may have been started from anywhere.
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
    }
    if shared is not None:
        # Each web process counts for itself; here they add up what they counted.
        environment["PROMETHEUS_MULTIPROC_DIR"] = shared
    return environment


def _is_sqlite() -> bool:
    engine: str = settings.DATABASES["default"]["ENGINE"]
    return engine.endswith("sqlite3")


def _free_address(host: str, port: int) -> tuple[str, int]:
    """Return the numeric address of `host`, and `port` or, for 0, any free one.

    Asked before the server starts: it would share the port with whoever else shares it.

    Raises:
        CommandError: it is taken, not allowed, or the address is not ours.
    """
    if not 0 <= port <= 65535:
        raise CommandError(f"{port} is no port: use 1 to 65535, or 0 for any free one.")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return str(address[0]), int(probe.getsockname()[1])
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(
            f"Cannot listen on {host} port {port}: {reason}. Choose another --host or --port."
        ) from error


def _url(host: str, port: int) -> str:
    shown = _EVERYWHERE.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _wait_until_it_answers(supervisor: Supervisor, web: Child, host: str, port: int) -> bool:
    """Return whether the web server answered anything before it died or we were told to stop."""
    deadline = time.monotonic() + WEB_START_SECONDS
    while web.is_alive and not supervisor.is_stopping and time.monotonic() < deadline:
        asked = http.client.HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=5)
        try:
            asked.request("GET", "/healthz")
            asked.getresponse()
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return True
        finally:
            asked.close()
    return False
