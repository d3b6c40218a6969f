"""A PostgreSQL whose processes are stopped: the site says so in time, and goes on afterwards.

A stopped server keeps its connections open and its kernel acknowledges everything, so only a
deadline of our own ends the waiting. It is a server of the test's own: no other may be stopped.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts.postgres_programs import PostgresMissing
from scripts.throwaway_postgres import ThrowawayPostgres
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import github_headers, push_body
from tests.functional.site.test_run_site import ROOT
from tests.functional.webhooks.test_real_connections import Served

PASSWORD = "hunter2-of-the-database"

pytestmark = [pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[ThrowawayPostgres]:
    server = ThrowawayPostgres()
    try:
        server.start()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@contextmanager
def stopped(server: ThrowawayPostgres) -> Iterator[None]:
    """Stop every process of the server, and let all go on at the end of the block."""
    process = server._process
    assert process is not None
    # The server's processes lead groups of their own; all are children of the first.
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    pids = [process.pid, *map(int, children)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def database_of(server: ThrowawayPostgres, name: str) -> str:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    # The server trusts whoever comes; the password is there to be looked for in logs.
    return server.url.rpartition("/")[0].replace("postgres@", f"postgres:{PASSWORD}@") + f"/{name}"


@pytest.fixture(scope="module")
def served(server: ThrowawayPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(
        tmp_path_factory.mktemp("hanging"),
        "--migrate",
        "--workers",
        "1",
        DATABASE_URL=database_of(server, "site"),
    )
    yield served
    served.stop()


Answer = tuple[int, dict[str, str], dict[str, Any], float]


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Return status, headers, JSON and the seconds that the answer took."""
    began = time.monotonic()
    connection.request(method, path, body=body, headers={"Accept": "*/*", **(headers or {})})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    given = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, given, told, time.monotonic() - began


def deliver(connection: http.client.HTTPConnection, served: Served, delivery: str) -> Answer:
    body = push_body("main", HEAD_A, HEAD_B)
    return ask(
        connection, "POST", served.paths["github"], body, github_headers(body, delivery=delivery)
    )


def test_requests_on_new_and_kept_connections_are_503_within_ten_seconds_and_all_goes_on(
    server: ThrowawayPostgres, served: Served
) -> None:
    token = {"Authorization": f"Bearer {served.token()}"}
    kept = [served.connection() for _ in range(6)]
    for number, connection in enumerate(kept):
        assert deliver(connection, served, f"before-{number}")[0] == 202
        assert ask(connection, "GET", "/api/v1/status", headers=token)[0] == 200
    new = [served.connection() for _ in range(3)]

    with stopped(server):
        answers = [
            deliver(kept[0], served, "hanging-0"),
            ask(kept[1], "GET", "/api/v1/status", headers=token),
            deliver(new[0], served, "hanging-1"),
            ask(new[1], "GET", "/api/v1/tasks", headers=token),
        ]
        health = ask(served.connection(), "GET", "/healthz")
        ready = ask(served.connection(), "GET", "/readyz")

    for status, headers, problem, seconds in answers:
        assert (status, problem["code"]) == (503, "unavailable")
        assert int(headers["retry-after"]) > 0
        assert seconds < 10
    assert (health[0], health[3] < 1) == (200, True)
    assert (ready[0], ready[2]["status"], ready[3] < 10) == (503, "not_ready", True)

    deadline = time.monotonic() + 10
    while deliver(served.connection(), served, "hanging-0")[0] != 202:
        assert time.monotonic() < deadline
        time.sleep(0.25)
    assert deliver(kept[2], served, "after")[0] == 202
    log = served.site.log.read_text()
    # One line for each request that failed, without a traceback.
    assert "Traceback" not in log
    assert log.count("code=unavailable") >= len(answers)


def test_many_requests_at_once_are_all_answered_within_ten_seconds(
    server: ThrowawayPostgres, served: Served
) -> None:
    connections = [served.connection() for _ in range(24)]
    for connection in connections:
        assert deliver(connection, served, "before-all")[0] == 202
    body = push_body("main", HEAD_A, HEAD_B)

    with stopped(server):
        began = time.monotonic()
        for number, connection in enumerate(connections):
            headers = github_headers(body, delivery=f"all-{number}")
            connection.request("POST", served.paths["github"], body=body, headers=headers)
        statuses = [connection.getresponse().status for connection in connections]
        seconds = time.monotonic() - began

    assert statuses == [503] * 24
    assert seconds < 10


def test_a_worker_survives_and_works_afterwards(
    server: ThrowawayPostgres, served: Served, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
        "RECONCILER_VAR": str(served.folder / "var"),
        "RECONCILER_ALLOWED_LOCAL_ROOTS": str(served.folder),
        "RECONCILER_DATABASE_SECONDS": "3",
        "DATABASE_URL": served.database_url,
    }
    log = (tmp_path / "worker.log").open("wb")
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "reconcile_worker", "--json"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    try:
        expect(worker, "cluster.proven")
        with stopped(server):
            assert "did not answer" in expect(worker, "database.gone")["error"]
        expect(worker, "database.back")
        completed = tasks_completed(served)
        assert deliver(served.connection(), served, f"work-{completed}")[0] == 202
        request_check(served)
        deadline = time.monotonic() + 40
        while tasks_completed(served) <= completed:
            assert time.monotonic() < deadline
            time.sleep(0.25)
    finally:
        worker.terminate()
        began = time.monotonic()
        assert worker.wait(timeout=40) == 0
        assert time.monotonic() - began < 35
        assert worker.stdout is not None
        worker.stdout.close()
        log.close()


def request_check(served: Served) -> None:
    connection = served.connection()
    headers = {"Authorization": f"Bearer {served.token()}"}
    assert (
        ask(connection, "POST", "/api/v1/repositories/acme/api/reconcile", headers=headers)[0]
        == 202
    )


def tasks_completed(served: Served) -> int:
    with psycopg.connect(served.database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM reconciliation_reconciliationtask WHERE state = 'completed'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def expect(worker: "subprocess.Popen[str]", event: str) -> dict[str, Any]:
    """Return the next such event of the worker."""
    assert worker.stdout is not None
    for line in worker.stdout:
        told: dict[str, Any] = json.loads(line)
        if told["event"] == event:
            return told
    raise AssertionError(f"the worker ended without {event}")


def test_no_log_of_an_outage_holds_a_token_or_a_password(
    server: ThrowawayPostgres, served: Served
) -> None:
    token = served.token()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    holder_token = "holder-token-that-nobody-may-read"
    lease = {
        "tenant": "acme",
        "repo": "api",
        "scope": "branch-level",
        "branch": "main",
        "owner": {"user_id": "alice", "device_id": "laptop", "agent_id": ""},
        "holder_token": holder_token,
    }
    status, _, told, _ = ask(
        served.connection(), "POST", "/api/v1/leases", json.dumps(lease).encode(), headers
    )
    assert status == 201, told
    renewal = json.dumps({"holder_token": holder_token}).encode()
    renew = f"/api/v1/leases/{told['lease_id']}/heartbeat"

    with stopped(server):
        assert deliver(served.connection(), served, "logged")[0] == 503
        assert ask(served.connection(), "POST", renew, renewal, headers)[0] == 503
        assert ask(served.connection(), "GET", f"/api/v1/status?q={token}", None, headers)[0] == 503
    refused = subprocess.run(
        [sys.executable, "manage.py", "reconcile_worker", "--once"],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "DATABASE_URL": f"postgres://postgres:{PASSWORD}@127.0.0.1:1/x",
            "RECONCILER_VAR": str(served.folder / "var"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1

    log = served.site.log.read_text() + refused.stdout + refused.stderr
    webhook_token = served.paths["github"].rpartition("/")[2]
    assert "/api/v1/webhooks/[hidden]" in log
    for secret in (webhook_token, token, holder_token, PASSWORD):
        assert secret not in log


def test_a_writer_that_holds_sqlite_is_waited_for_seconds_and_then_said(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        assert deliver(served.connection(), served, "before")[0] == 202
        writer = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            " c.execute('BEGIN IMMEDIATE'); print('holds', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", writer, str(tmp_path / "var" / "reconciler.sqlite3")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            status, headers, problem, seconds = deliver(served.connection(), served, "held")
            assert holder.stdin is not None
            holder.stdin.close()

        assert (status, problem["code"]) == (503, "unavailable")
        assert "retry-after" in headers
        assert seconds < 10
        assert deliver(served.connection(), served, "held")[0] == 202
    finally:
        served.stop()


def test_a_page_says_it_too(server: ThrowawayPostgres, served: Served) -> None:
    connection = served.connection()
    with stopped(server):
        connection.request("GET", "/admin/login/", headers={"Cookie": "sessionid=" + "a" * 32})
        answer = connection.getresponse()
        page = answer.read().decode()

    assert (answer.status, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert "Retry-After" in answer.headers
    assert "does not answer" in page
