"""What a sender sees on a real connection to the real server: lost answers, pieces, hanging up."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import SECRET, github_headers, push_body
from tests.functional.site.test_run_site import ROOT, Site

MIB = 1024 * 1024


class Served:
    """The web server of a fresh installation, and the addresses of sources by host."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.connections: list[http.client.HTTPConnection] = []
        self.database_url = environment.get("DATABASE_URL", "")
        self.site = Site(folder / "var", "--port", "0", "--no-worker", *arguments, **environment)
        self.netloc = urlsplit(self.site.expect("ready")["url"]).netloc
        remote = folder / "api.git"
        subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
        named = ("--tenant", "acme", "--workspace", "main")
        self._manage("connect_repository", str(remote), *named)
        self.paths = {
            host: self._manage("webhook_source", "create", "--tenant", "acme", "--host", host)
            for host in ("github", "gitlab", "gitea")
        }

    def token(self) -> str:
        """Make an API token that may do everything in the tenant."""
        return self._manage(
            "api_token",
            "create",
            "--name",
            "t",
            "--tenant",
            "acme",
            "--scope",
            "admin",
            gives="token",
        )

    def _manage(self, command: str, *arguments: str, gives: str = "path") -> str:
        """Run a command on the installation and return a member of what it prints."""
        secret = ("--secret-env", "HOOK_SECRET") if command == "webhook_source" else ()
        environment = {
            "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.dev",
            "RECONCILER_VAR": str(self.folder / "var"),
            "RECONCILER_ALLOWED_LOCAL_ROOTS": str(self.folder),
            "HOOK_SECRET": SECRET,
        }
        if self.database_url:
            environment["DATABASE_URL"] = self.database_url
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        done = subprocess.run(
            [sys.executable, "manage.py", command, *arguments, *secret, "--json"],
            cwd=ROOT,
            env=kept | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        given: str = json.loads(done.stdout)[gives]
        return given

    def connection(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.netloc, timeout=20)
        self.connections.append(connection)
        return connection

    def stop(self) -> None:
        """Stop the server and close every connection to it."""
        self.site.stop()
        if self.site.process.stdout:
            self.site.process.stdout.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start one server for all tests here."""
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    served.stop()


@pytest.mark.parametrize(("host", "status"), [("gitlab", 202), ("gitea", 413)])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_the_answer_to_a_body_far_over_the_cap_reaches_its_sender(
    served: Served, host: str, status: int, in_chunks: bool
) -> None:
    connection = served.connection()
    pieces = [b"x" * MIB] * 20

    connection.request(
        "POST",
        served.paths[host],
        body=iter(pieces) if in_chunks else b"".join(pieces),
        headers={"X-Gitlab-Token": SECRET},
        encode_chunked=in_chunks,
    )
    answer = connection.getresponse()

    assert answer.status == status
    assert "too_large" in answer.read().decode()


def test_a_body_that_comes_in_pieces_is_waited_for(served: Served) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    connection = served.connection()
    connection.putrequest("POST", served.paths["github"])
    headers = {**github_headers(body, delivery="pieces"), "Content-Length": str(len(body))}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()

    for piece in (body[:10], body[10:200], body[200:]):
        connection.send(piece)
        time.sleep(0.1)

    assert told_by(connection) == (202, "no governed repository has this host id")


def test_two_signatures_prove_nothing_in_any_order(served: Served) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    good = github_headers(body, delivery="twice")
    codes = []

    for order in (1, -1):
        connection = served.connection()
        connection.putrequest("POST", served.paths["github"])
        for value in [good["X-Hub-Signature-256"], "sha256=" + "0" * 64][::order]:
            connection.putheader("X-Hub-Signature-256", value)
        for name in ("X-GitHub-Event", "X-GitHub-Delivery"):
            connection.putheader(name, good[name])
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        codes.append(connection.getresponse().status)

    assert codes == [401, 401]


def test_a_sender_that_hangs_up_half_way_leaves_the_server_answering(served: Served) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    broken = served.connection()
    broken.putrequest("POST", served.paths["github"])
    broken.putheader("Content-Length", str(len(body)))
    broken.endheaders()
    broken.send(body[:50])
    broken.close()

    whole = served.connection()
    whole.request(
        "POST", served.paths["github"], body=body, headers=github_headers(body, delivery="whole")
    )

    assert told_by(whole)[0] == 202


def told_by(connection: http.client.HTTPConnection) -> tuple[int, str]:
    answer = connection.getresponse()
    told: dict[str, Any] = json.loads(answer.read())
    return answer.status, told["reason"]
