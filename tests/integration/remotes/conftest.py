"""Hosts and servers for the tests of remotes; every test gets folders of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciliation.remotes import GitRemote, RemoteTarget
from tests.git_server import GitServer, serving
from tests.integration.remotes.hosts import GitHost, Host, MemoryHost

MakeHost = Callable[..., GitHost]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """Serve the folder `served` over smart HTTP."""
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as running:
        yield running


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[GitRemote]:
    """Return a remote that may read folders below `served`."""
    remote = GitRemote(
        tmp_path / "mirrors",
        allowed_local_roots=[tmp_path / "served"],
        connect_timeout_seconds=1,
        read_timeout_seconds=10,
        git_timeout_seconds=20,
    )
    yield remote
    remote.close()


@pytest.fixture
def http_host(server: GitServer, remote: GitRemote) -> GitHost:
    """Return an empty repository behind the HTTP server."""
    target = RemoteTarget(server.url("acme/api.git"), "1")
    return GitHost(server.root / "acme/api.git", remote, target)


@pytest.fixture
def file_host(tmp_path: Path, remote: GitRemote) -> GitHost:
    """Return an empty repository in an allowed folder."""
    folder = tmp_path / "served" / "acme" / "api.git"
    return GitHost(folder, remote, RemoteTarget(str(folder), "1"))


@pytest.fixture(params=["memory", "http", "file"])
def host(request: pytest.FixtureRequest) -> Host:
    """Return an empty repository on each kind of host in turn."""
    if request.param == "memory":
        return MemoryHost()
    made: Host = request.getfixturevalue(f"{request.param}_host")
    return made
