"""Servers of many kinds: long ids, files only, no partial fetches, TLS, guarded addresses."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciliation.remotes import (
    Comparison,
    GitRemote,
    Relation,
    RemoteTarget,
    RemoteUnavailable,
    connections,
)
from reconciliation.remotes.base import NOT_THERE
from tests.git_server import GitServer
from tests.integration.remotes.hosts import GitHost, Sketch, git


def fill(host: GitHost) -> None:
    host.add(Sketch("root"), Sketch("work", ("root",), {"a/b": "1"}))
    host.point("main", "root")
    host.point("work", "work")


def test_a_repository_of_long_ids_is_read_and_compared(
    server: GitServer, remote: GitRemote
) -> None:
    target = RemoteTarget(server.url("long.git"), "2")
    host = GitHost(server.root / "long.git", remote, target, object_format="sha256")
    fill(host)

    heads = remote.read_heads(target)
    remote.sync(target, heads.heads)
    pair = (heads.heads["main"], heads.heads["work"])

    assert heads.object_format == "sha256"
    assert {len(oid) for oid in pair} == {64}
    assert remote.compare(target, [pair])[pair].relation is Relation.ANCESTOR
    assert remote.changed_paths(target, *pair, limit=9).paths == ("a/b",)


def test_an_empty_repository_of_long_ids_says_so(server: GitServer, remote: GitRemote) -> None:
    target = RemoteTarget(server.url("long.git"), "2")
    GitHost(server.root / "long.git", remote, target, object_format="sha256")

    heads = remote.read_heads(target)

    assert (dict(heads.heads), heads.object_format) == ({}, "sha256")


def test_a_server_that_only_hands_out_files_is_read_by_git(
    server: GitServer, http_host: GitHost
) -> None:
    fill(http_host)
    modern = http_host.remote.read_heads(http_host.target)
    git("update-server-info", folder=http_host.folder)
    server.switches.only_dumb = True
    fresh = RemoteTarget(http_host.target.clone_url + "/", "1")

    heads = http_host.remote.read_heads(fresh)
    http_host.remote.sync(fresh, heads.heads)
    pair = (heads.heads["main"], heads.heads["work"])

    assert heads.heads == modern.heads
    assert "partial fetches" in http_host.remote.compare(fresh, [pair])[pair].reason


def test_a_server_without_partial_fetches_gives_heads_and_no_files(
    server: GitServer, http_host: GitHost, tmp_path: Path
) -> None:
    server.switches.upload_pack_config = {}
    http_host.add(Sketch("root"), Sketch("work", ("root",), {"secret.txt": "do not copy"}))
    http_host.point("main", "root")
    http_host.point("work", "work")
    heads = http_host.remote.read_heads(http_host.target).heads

    http_host.remote.sync(http_host.target, heads)

    pair = (heads["main"], heads["work"])
    answer = http_host.remote.compare(http_host.target, [pair])[pair]
    assert (answer.relation, "allowFilter" in answer.reason) == (Relation.UNKNOWN, True)
    assert not list(tmp_path.glob("mirrors/**/*.pack"))


def test_when_partial_fetches_are_switched_on_there_nothing_needs_a_restart_here(
    server: GitServer, http_host: GitHost
) -> None:
    allowing, server.switches.upload_pack_config = server.switches.upload_pack_config, {}
    fill(http_host)
    pair = (http_host.oids["root"], http_host.oids["work"])
    before = http_host.remote.compare(http_host.target, [pair])[pair].relation
    server.switches.upload_pack_config = allowing

    after = http_host.remote.compare(http_host.target, [pair])[pair].relation

    assert (before, after) == (Relation.UNKNOWN, Relation.ANCESTOR)


@pytest.mark.parametrize("dumb", [False, True])
def test_an_operator_may_allow_fetches_that_bring_files_too(
    server: GitServer, http_host: GitHost, tmp_path: Path, dumb: bool
) -> None:
    fill(http_host)
    git("update-server-info", folder=http_host.folder)
    server.switches.upload_pack_config = {}
    server.switches.only_dumb = dumb
    lenient = GitRemote(tmp_path / "mirrors", allow_unfiltered_fetches=True)
    heads = lenient.read_heads(http_host.target).heads
    lenient.sync(http_host.target, heads)
    pair = (heads["main"], heads["work"])

    assert lenient.compare(http_host.target, [pair])[pair].relation is Relation.ANCESTOR
    assert lenient.changed_paths(http_host.target, *pair, limit=9).paths == ("a/b",)


def test_an_id_of_the_wrong_length_does_not_cost_us_the_mirror(
    http_host: GitHost, tmp_path: Path
) -> None:
    fill(http_host)
    heads = http_host.remote.read_heads(http_host.target).heads
    http_host.remote.sync(http_host.target, heads)
    foreign, known = ("1" * 64, heads["main"]), (heads["main"], heads["work"])

    answers = http_host.remote.compare(http_host.target, [foreign, known])

    assert answers[foreign] == Comparison.unknown(NOT_THERE)
    assert answers[known].relation is Relation.ANCESTOR
    assert not (tmp_path / "mirrors/1/damaged.git").exists()


def test_the_address_that_was_checked_is_the_one_that_is_used(
    http_host: GitHost, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    genuine = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        address = "127.0.0.1" if host == "git.invalid" else host
        return genuine(address, *arguments, **options)

    fill(http_host)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(connections, "is_public", lambda address: address == "127.0.0.1")
    guarded = GitRemote(
        tmp_path / "mirrors", allow_insecure_http=True, block_private_addresses=True
    )
    # Only our look-up knows this name: if git looked it up itself, it would find nothing.
    url = f"http://git.invalid:{server.port}/acme/api.git"
    target = RemoteTarget(url, "1")

    heads = guarded.read_heads(target).heads
    guarded.sync(target, heads)

    assert set(guarded.commits(target, list(heads.values()))) == set(heads.values())
    assert set(asked) == {"git.invalid", "127.0.0.1"}


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_nobody_vouches_for_is_not_accepted_and_a_trusted_one_is(
    server: GitServer, http_host: GitHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(http_host)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *request.split(), *subject, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    target = RemoteTarget(f"https://localhost:{server.port}/acme/api.git", "1")

    with pytest.raises(RemoteUnavailable, match="could not prove who it is"):
        http_host.remote.read_heads(target)

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = GitRemote(tmp_path / "mirrors")
    heads = trusting.read_heads(target).heads
    trusting.sync(target, heads)
    assert set(trusting.commits(target, list(heads.values()))) == set(heads.values())


def test_a_forked_worker_does_not_share_connections_with_its_parent(
    server: GitServer, http_host: GitHost, tmp_path: Path
) -> None:
    fill(http_host)
    script = """
import os, pathlib, sys
from reconciliation.remotes import GitRemote, RemoteTarget
remote = GitRemote(pathlib.Path(sys.argv[1])); target = RemoteTarget(sys.argv[2], "1")
expected = remote.read_heads(target)
child = os.fork()
for _ in range(20):
    assert remote.read_heads(target) == expected
if child == 0:
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""
    arguments = [sys.executable, "-c", script, str(tmp_path), http_host.target.clone_url]

    subprocess.run(arguments, check=True, timeout=30)


def test_a_mirror_never_holds_a_files_content(http_host: GitHost, tmp_path: Path) -> None:
    fill(http_host)
    heads = http_host.remote.read_heads(http_host.target).heads
    http_host.remote.sync(http_host.target, heads)
    http_host.remote.changed_paths(http_host.target, heads["main"], heads["work"], limit=9)

    objects = git(
        "cat-file",
        "--batch-all-objects",
        "--batch-check=%(objecttype)",
        folder=tmp_path / "mirrors/1/mirror.git",
    )

    assert sorted(objects.split()) == ["commit", "commit", "tree", "tree"]
