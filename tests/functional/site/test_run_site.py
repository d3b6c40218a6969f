"""`manage.py run_site` as a newcomer and an operator use it: real processes, a real port."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parents[3]


class Site:
    """One run of the command; `expect` waits for an event that it prints."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "TEST_DATABASE_URL"}
        }
        settings = {
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "RECONCILER_VAR": str(folder),
        }
        self.log = folder.parent / "site.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "run_site", "--json", *arguments],
                env={**inherited, **settings, **environment},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder.parent,  # anywhere but the project
                start_new_session=True,
            )

    def expect(self, event: str) -> dict[str, Any]:
        """Return the next such event; fail when the command ends or prints something else."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event:
                return found
        raise AssertionError(f"ended without {event}: {self.log.read_text()}")

    def stop(self) -> tuple[int, float]:
        """Ask it to stop; return its exit code and how long it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40), time.monotonic() - started

    def children(self) -> dict[str, int]:
        """Return the pids of the direct children by what they are."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_text()
            except OSError:
                continue
            if int(stat[1]) == self.process.pid and stat[0] != "Z":
                found["web" if "granian" in command else "worker"] = int(folder.name)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the installation keeps its files; it does not exist yet."""
    return tmp_path / "with space & 50%" / "var"


@pytest.fixture
def runs(folder: Path) -> Iterator[list[Site]]:
    """Sites that a test started; none outlives it."""
    folder.parent.mkdir(parents=True)
    started: list[Site] = []
    yield started
    for site in started:
        if site.process.poll() is None:
            site.process.terminate()
            site.process.wait(timeout=40)
        if site.process.stdout:
            site.process.stdout.close()


def answer(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    asked = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    asked.request("GET", path, headers=headers)
    got = asked.getresponse()
    body = got.read().decode()
    asked.close()
    return got.status, dict(got.getheaders()), body


def log_in(url: str, *, username: str, password: str) -> int:
    """Log in as a browser would and return the status of the page behind the login."""
    _, headers, page = answer(url, "/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token is not None
    cookies = SimpleCookie(headers.get("Set-Cookie", headers.get("set-cookie", "")))
    csrf = cookies["csrftoken"].value
    form = {"username": username, "password": password, "csrfmiddlewaretoken": token.group(1)}
    asked = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    asked.request(
        "POST",
        "/admin/login/?next=/admin/",
        urlencode(form),
        {
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"csrftoken={csrf}",
            "Referer": url,
        },
    )
    got = asked.getresponse()
    got.read()
    session = SimpleCookie(
        "; ".join(value for name, value in got.getheaders() if name.lower() == "set-cookie")
    )
    asked.close()
    if "sessionid" not in session:
        return got.status
    return answer(url, "/admin/", Cookie=f"sessionid={session['sessionid'].value}")[0]


def test_the_first_start_makes_everything_and_the_second_finds_it(
    folder: Path, runs: list[Site]
) -> None:
    first = Site(folder, "--port", "0", "--no-worker")
    runs.append(first)
    assert first.expect("migrated")["migrations"] > 0
    login = first.expect("admin_created")
    url = first.expect("ready")["url"]

    status, headers, _ = answer(url, "/healthz")
    assert status == 200
    assert {name.lower() for name in headers} >= {"x-correlation-id", "content-security-policy"}
    assert json.loads(answer(url, "/readyz")[2])["status"] == "degraded"
    assert answer(url, "/static/admin/css/base.css")[0] == 200
    assert log_in(url, username=login["username"], password=login["password"]) == 200
    assert log_in(url, username=login["username"], password="wrong") != 302
    assert answer(url, "/api/v1/nothing")[0] == 404
    code, seconds = first.stop()
    assert (code, seconds < 35) == (0, True)

    second = Site(folder, "--port", "0", "--no-worker")
    runs.append(second)
    assert second.process.stdout is not None
    assert json.loads(next(second.process.stdout))["event"] == "ready"
    assert second.stop()[0] == 0
    assert login["password"] not in second.log.read_text()


def test_a_worker_that_is_killed_is_started_again_and_a_dead_web_server_ends_the_command(
    folder: Path, runs: list[Site]
) -> None:
    site = Site(folder, "--port", "0")
    runs.append(site)
    url = site.expect("ready")["url"]
    children = site.children()
    assert set(children) == {"web", "worker"}

    os.kill(children["worker"], signal.SIGKILL)
    died = site.expect("died")
    restarted = site.expect("restarted")

    assert (died["process"], died["exit_code"]) == ("worker", -signal.SIGKILL)
    assert restarted["process"] == "worker"
    assert answer(url, "/healthz")[0] == 200
    os.kill(site.children()["web"], signal.SIGKILL)
    assert site.expect("died")["process"] == "web"
    assert site.expect("stopped")["exit_code"] == 1
    assert site.process.wait(timeout=40) == 1
    assert site.children() == {}


def test_an_occupied_port_is_said_before_anything_is_started(
    folder: Path, runs: list[Site]
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        site = Site(folder, "--port", port)
        runs.append(site)
        code = site.process.wait(timeout=30)

    assert code == 1
    said = site.log.read_text()
    assert f"Cannot listen on 127.0.0.1 port {port}: Address already in use" in said
    assert "Traceback" not in said
    assert not folder.exists() or not list(folder.glob("*.sqlite3"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "99999 is no port"),
        (["--host", "no.such.host.invalid"], "Cannot listen on no.such.host.invalid"),
        (["--port", "0", "--workers", "2"], "SQLite takes one web process"),
        (["--port", "0", "--no-migrate"], "The database lacks"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(
    folder: Path, runs: list[Site], arguments: list[str], said: str
) -> None:
    site = Site(folder, *arguments)
    runs.append(site)

    assert site.process.wait(timeout=30) == 1
    assert said in site.log.read_text()
    assert "Traceback" not in site.log.read_text()


@pytest.fixture
def empty_database(transactional_db: None) -> Iterator[str]:
    """The address of a PostgreSQL database without a schema."""
    name = f"run_site_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield re.sub(r"/[^/?]+(\?|$)", rf"/{name}\1", os.environ["DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.postgres
def test_a_schema_on_postgresql_is_changed_only_when_asked(
    empty_database: str, folder: Path, runs: list[Site]
) -> None:
    refused = Site(folder, "--port", "0", "--no-worker", DATABASE_URL=empty_database)
    runs.append(refused)
    assert refused.process.wait(timeout=30) == 1
    assert "start with --migrate" in refused.log.read_text()

    site = Site(folder, "--port", "0", "--no-worker", "--migrate", DATABASE_URL=empty_database)
    runs.append(site)
    assert site.expect("migrated")["migrations"] > 0
    url = site.expect("ready")["url"]

    assert "postgresql answers" in answer(url, "/readyz")[2]
    # Two web processes, one sum: whichever answers, it has counted them all.
    for _ in range(6):
        answer(url, "/healthz")
    counted = re.findall(
        r'http_requests_total_by_method_total\{method="GET"\} (\S+)', answer(url, "/metrics")[2]
    )
    assert [float(number) >= 7 for number in counted] == [True]
    assert site.stop()[0] == 0


def test_a_database_url_that_cannot_be_read_is_said_without_its_password(
    folder: Path, runs: list[Site]
) -> None:
    site = Site(folder, "--port", "0", DATABASE_URL="postgres://app:hunter/2@db/x")
    runs.append(site)

    assert site.process.wait(timeout=30) == 1
    said = site.log.read_text()
    assert "DATABASE_URL cannot be read" in said
    assert "hunter" not in said
    assert "Traceback" not in said


@pytest.mark.postgres
def test_a_database_that_is_down_is_said_without_a_traceback(
    folder: Path, runs: list[Site]
) -> None:
    site = Site(folder, "--port", "0", DATABASE_URL="postgres://nobody@127.0.0.1:1/x")
    runs.append(site)

    assert site.process.wait(timeout=30) == 1
    assert "The database does not answer" in site.log.read_text()
    assert "Traceback" not in site.log.read_text()
