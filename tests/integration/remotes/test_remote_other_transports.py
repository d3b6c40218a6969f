"""Folders owned by somebody else, ssh, and the way git itself is run."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from reconciliation.remotes import (
    GitRemote,
    Relation,
    RemoteAuthFailed,
    RemoteNotFound,
    RemoteRefused,
    RemoteTarget,
    RemoteUnavailable,
    access,
)
from reconciliation.remotes.git import Call, Git, GitSaidTooMuch, GitTimedOut, run_git
from reconciliation.remotes.urls import Transport
from tests.integration.remotes.hosts import GitHost, Sketch, git

# Stands in for ssh: notes its arguments, then does what sshd would do with the last one.
SSH = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
case "$*" in
*refused.example*) echo "ssh: connect to host: Connection refused" >&2; exit 255;;
*locked.example*) echo "git@locked: Permission denied (publickey)." >&2; exit 255;;
esac
for command; do :; done
exec env -i PATH="$PATH" HOME=/nonexistent GIT_PROTOCOL="$GIT_PROTOCOL" sh -c "$command"
"""


@pytest.fixture
def ssh_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an `ssh` first in PATH and return the file in which it notes how it was called."""
    log, program = tmp_path / "ssh.log", tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH.format(log=log))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


def fill(host: GitHost) -> None:
    host.add(Sketch("root"), Sketch("work", ("root",), {"a/b": "1"}))
    host.point("main", "root")
    host.point("work", "work")


def test_a_repository_is_read_and_compared_over_ssh(
    ssh_log: Path, file_host: GitHost, remote: GitRemote
) -> None:
    fill(file_host)
    git("config", "uploadpack.allowFilter", "true", folder=file_host.folder)
    target = RemoteTarget(f"ssh://git@git.example:2222{file_host.folder}", "2")

    heads = remote.read_heads(target)
    remote.sync(target, heads.heads)
    pair = (heads.heads["main"], heads.heads["work"])

    assert (set(heads.heads), heads.default_branch) == ({"main", "work"}, "main")
    assert remote.compare(target, [pair])[pair].relation is Relation.ANCESTOR
    assert remote.changed_paths(target, *pair, limit=9).paths == ("a/b",)
    called = ssh_log.read_text().splitlines()[0]
    assert "-o BatchMode=yes -o ConnectTimeout=1" in called
    assert "-p 2222 git@git.example git-upload-pack" in called


def test_ssh_is_held_to_the_address_that_was_checked(
    ssh_log: Path, file_host: GitHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(file_host)
    monkeypatch.setattr(access, "require_public_address", lambda host, port: "192.0.2.7")
    guarded = GitRemote(tmp_path / "mirrors", block_private_addresses=True)

    guarded.read_heads(RemoteTarget(f"git@git.example:{file_host.folder}", "2"))

    called = ssh_log.read_text()
    assert "-o HostName=192.0.2.7 -o HostKeyAlias=git.example" in called


def test_over_ssh_too_no_files_are_fetched_from_a_server_that_cannot_leave_them_out(
    ssh_log: Path, file_host: GitHost, remote: GitRemote, tmp_path: Path
) -> None:
    fill(file_host)
    target = RemoteTarget(f"git.example:{file_host.folder}", "2")
    heads = remote.read_heads(target).heads

    remote.sync(target, heads)

    pair = (heads["main"], heads["work"])
    assert "allowFilter" in remote.compare(target, [pair])[pair].reason
    assert not list(tmp_path.glob("mirrors/**/*.pack"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("git@refused.example:x", RemoteUnavailable),
        ("git@locked.example:x", RemoteAuthFailed),
        ("git@git.example:nothing/here", RemoteNotFound),
    ],
)
def test_failures_of_ssh_have_names(
    ssh_log: Path, remote: GitRemote, url: str, expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        remote.read_heads(RemoteTarget(url, "2"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_an_allowed_folder_of_another_owner_is_read(file_host: GitHost) -> None:
    fill(file_host)
    subprocess.run(["chown", "-R", "65534:65534", str(file_host.folder)], check=True)

    heads = file_host.remote.read_heads(file_host.target).heads
    file_host.remote.sync(file_host.target, heads)

    pair = (heads["main"], heads["work"])
    assert file_host.remote.compare(file_host.target, [pair])[pair].relation is Relation.ANCESTOR
    assert file_host.remote.changed_paths(file_host.target, *pair, limit=9).paths == ("a/b",)


def test_a_folder_with_quotes_and_spaces_in_its_name_is_just_a_folder(
    remote: GitRemote, tmp_path: Path
) -> None:
    folder = tmp_path / "served" / 'it\'s $(touch pwned) "api"'
    host = GitHost(folder, remote, RemoteTarget(str(folder), "3"))
    fill(host)

    heads = remote.read_heads(host.target).heads
    remote.sync(host.target, heads)

    assert set(remote.commits(host.target, list(heads.values()))) == set(heads.values())
    assert not list(tmp_path.glob("**/pwned"))


def test_private_hosts_are_not_reached_by_git_either_when_blocked(
    ssh_log: Path, tmp_path: Path
) -> None:
    remote = GitRemote(tmp_path / "mirrors", block_private_addresses=True)

    with pytest.raises(RemoteRefused, match="private address"):
        remote.read_heads(RemoteTarget("ssh://git@127.0.0.1/x", "1"))

    assert not ssh_log.exists()


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% pwned", "file:///tmp", "https://h.example/x", "git://h.example/x"]
)
def test_git_speaks_only_the_transports_it_was_given(url: str) -> None:
    result = run_git(Git(), "ls-remote", "--end-of-options", url, call=Call())

    assert result.status != 0
    assert "not allowed" in result.stderr


def test_git_hears_nothing_from_the_environment_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'alias.x=!env'")
    monkeypatch.setenv("SECRET_KEY", "do not pass on")
    monkeypatch.setenv("HOME", "/home/somebody")

    result = run_git(Git(), "-c", "alias.show-env=!env", "show-env", call=Call())

    names = {line.partition("=")[0] for line in result.stdout.decode().splitlines()}
    assert not names & {"GIT_DIR", "SECRET_KEY"}
    assert "HOME=/nonexistent" in result.stdout.decode().splitlines()
    assert "GIT_TERMINAL_PROMPT=0" in result.stdout.decode().splitlines()


def test_when_time_is_over_git_and_its_children_are_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    alias = f"alias.hang=!sleep 30 & echo $! > {note}; wait"
    begun = time.monotonic()

    with pytest.raises(GitTimedOut):
        run_git(Git(timeout_seconds=0.5), "-c", alias, "hang", call=Call())

    assert time.monotonic() - begun < 5
    child = Path("/proc") / note.read_text().strip()
    deadline = time.monotonic() + 2
    while child.exists() and "Z" not in (child / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the child of git is still alive"
        time.sleep(0.01)


def test_a_child_that_outlives_git_does_not_hold_us(tmp_path: Path) -> None:
    begun = time.monotonic()

    with pytest.raises(GitTimedOut):
        run_git(Git(timeout_seconds=0.5), "-c", "alias.leave=!sleep 30 &", "leave", call=Call())

    assert time.monotonic() - begun < 5


def test_endless_output_is_cut_off() -> None:
    with pytest.raises(GitSaidTooMuch):
        run_git(Git(max_output_bytes=100_000), "-c", "alias.y=!yes", "y", call=Call())


def test_only_the_end_of_a_long_complaint_is_kept() -> None:
    alias = "alias.moan=!yes x | head -n 9000 >&2; echo the end >&2; exit 3"

    result = run_git(Git(), "-c", alias, "moan", call=Call())

    assert result.status == 3
    assert len(result.stderr) <= 4096
    assert result.stderr.endswith("the end\n")


def test_a_long_input_and_a_long_output_do_not_block_each_other() -> None:
    lines = b"x" * 99 + b"\n"

    result = run_git(Git(), "-c", "alias.cat=!cat", "cat", call=Call(stdin=lines * 20_000))

    assert result.stdout == lines * 20_000


def test_transports_have_gits_own_names() -> None:
    assert sorted(Transport) == ["file", "http", "https", "ssh"]
