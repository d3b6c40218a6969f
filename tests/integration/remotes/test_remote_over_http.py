"""Heads over HTTP from real git: how many exchanges, which protocol, which credential."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reconciliation.remotes import (
    Credential,
    GitRemote,
    Relation,
    RemoteAuthFailed,
    RemoteTarget,
    RemoteUnavailable,
)
from tests.git_server import GitServer
from tests.integration.remotes.hosts import GitHost, Sketch

LOGIN = ("robot", "s3cret-t0ken")


def fill(host: GitHost) -> None:
    host.add(Sketch("root"), Sketch("work", ("root",), {"a/b": "1"}))
    host.point("main", "root")
    host.point("work", "work")


def test_after_the_first_reading_one_post_is_all_it_takes(
    server: GitServer, http_host: GitHost
) -> None:
    fill(http_host)

    for _ in range(3):
        http_host.remote.read_heads(http_host.target)

    assert [request.method for request in server.seen] == ["GET", "POST", "POST", "POST"]
    assert {request.protocol for request in server.seen} == {"version=2"}


def test_a_server_of_the_old_protocol_is_read_from_its_advertisement(
    server: GitServer, http_host: GitHost
) -> None:
    fill(http_host)
    modern = http_host.remote.read_heads(http_host.target)
    server.switches.only_v0 = True
    server.seen.clear()

    old = http_host.remote.read_heads(http_host.target)
    again = http_host.remote.read_heads(http_host.target)

    assert old == again == modern
    assert [request.method for request in server.seen] == ["POST", "GET", "GET"]


def test_a_server_of_the_old_protocol_gives_history_but_no_single_trees(
    server: GitServer, http_host: GitHost
) -> None:
    server.switches.only_v0 = True
    fill(http_host)
    heads = http_host.remote.read_heads(http_host.target).heads
    http_host.remote.sync(http_host.target, heads)
    pair = (heads["main"], heads["work"])

    relation = http_host.remote.compare(http_host.target, [pair])[pair].relation
    paths = http_host.remote.changed_paths(http_host.target, *pair, limit=9)

    assert relation is Relation.ANCESTOR
    assert (paths.known, paths.paths) == (False, ())
    assert "single trees" in paths.reason


def test_an_old_server_whose_heads_moved_meanwhile_still_gives_the_rest(
    server: GitServer, http_host: GitHost
) -> None:
    server.switches.only_v0 = True
    fill(http_host)
    listed = dict(http_host.remote.read_heads(http_host.target).heads)
    http_host.add(Sketch("further", ("work",)))
    http_host.point("work", "further")

    http_host.remote.sync(http_host.target, listed)

    assert set(http_host.remote.commits(http_host.target, list(listed.values()))) == set(
        listed.values()
    )


@pytest.mark.parametrize("switch", ["gzip_answers", "chunked_answers"])
def test_answers_may_be_compressed_or_in_pieces(
    server: GitServer, http_host: GitHost, switch: str
) -> None:
    fill(http_host)
    plain = http_host.remote.read_heads(http_host.target)
    setattr(server.switches, switch, True)

    assert http_host.remote.read_heads(http_host.target) == plain


def test_long_requests_that_git_compresses_or_sends_in_pieces_arrive(
    server: GitServer, http_host: GitHost
) -> None:
    sketches = [Sketch(f"c{n}", (f"c{n - 1}",) if n else ()) for n in range(300)]
    http_host.add(*sketches)
    http_host.point_all({f"b/{sketch.name}": sketch.name for sketch in sketches})

    heads = http_host.remote.read_heads(http_host.target).heads
    http_host.remote.sync(http_host.target, heads)

    assert len(heads) == 300
    assert len(http_host.remote.commits(http_host.target, list(heads.values()))) == 300
    server.seen.clear()
    http_host.remote.sync(http_host.target, heads)
    assert server.seen == []  # all there: nobody was asked


def test_three_hundred_branches_rewritten_at_once_are_compared(http_host: GitHost) -> None:
    old = [Sketch(f"old{n}", ("root",)) for n in range(300)]
    new = [Sketch(f"new{n}", ("root",)) for n in range(300)]
    http_host.add(Sketch("root"), *old, *new)
    http_host.point_all({f"b/{n}": f"old{n}" for n in range(300)})
    http_host.remote.sync(http_host.target, http_host.remote.read_heads(http_host.target).heads)
    http_host.point_all({f"b/{n}": f"new{n}" for n in range(300)})
    http_host.prune()
    http_host.remote.sync(http_host.target, http_host.remote.read_heads(http_host.target).heads)
    pairs = [(http_host.oids[f"old{n}"], http_host.oids[f"new{n}"]) for n in range(300)]

    answers = http_host.remote.compare(http_host.target, pairs)

    assert list(answers) == pairs
    assert {(a.relation, a.ahead, a.behind, a.merge_base) for a in answers.values()} == {
        (Relation.DIVERGED, 1, 1, http_host.oids["root"])
    }


def test_a_credential_opens_the_door_to_heads_history_and_trees(
    server: GitServer, http_host: GitHost
) -> None:
    server.switches.login = LOGIN
    fill(http_host)
    target = replace(http_host.target, credential=Credential(*LOGIN))

    heads = http_host.remote.read_heads(target).heads
    http_host.remote.sync(target, heads)
    changed = http_host.remote.changed_paths(target, heads["main"], heads["work"], limit=9)

    assert changed.paths == ("a/b",)


@pytest.mark.parametrize("credential", [None, Credential("robot", "wrong")])
def test_a_wrong_credential_is_named_as_such(
    server: GitServer, http_host: GitHost, credential: Credential | None
) -> None:
    server.switches.login = LOGIN
    fill(http_host)
    target = replace(http_host.target, credential=credential)

    with pytest.raises(RemoteAuthFailed):
        http_host.remote.read_heads(target)
    with pytest.raises(RemoteAuthFailed):
        http_host.remote.sync(target, {"main": http_host.oids["root"]})


def test_the_secret_is_in_no_argument_no_file_and_no_message(
    server: GitServer, http_host: GitHost, tmp_path: Path
) -> None:
    server.switches.login = LOGIN
    fill(http_host)
    target = replace(http_host.target, credential=Credential(*LOGIN))
    command_lines: list[str] = []
    server.during = lambda: command_lines.extend(_command_lines())

    heads = http_host.remote.read_heads(target).heads
    http_host.remote.sync(target, heads)
    http_host.remote.changed_paths(target, heads["main"], heads["work"], limit=9)
    server.switches.login = ("robot", "another")
    with pytest.raises(RemoteAuthFailed) as failure:
        http_host.remote.compare(target, [("1" * 40, heads["main"])])

    secret, encoded = LOGIN[1], server.seen[0].authorization.removeprefix("Basic ")
    assert any("git" in line and "fetch" in line for line in command_lines)
    for text in (*command_lines, str(failure.value), repr(target), repr(failure.value)):
        assert secret not in text
        assert encoded not in text
    mirrors = [path for path in (tmp_path / "mirrors").rglob("*") if path.is_file()]
    assert mirrors
    for path in mirrors:
        assert secret.encode() not in path.read_bytes()
        assert encoded.encode() not in path.read_bytes()
        assert server.url("").encode() not in path.read_bytes()


def _command_lines() -> list[str]:
    """Return the command lines of all processes there are at this moment."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError:  # it ended meanwhile
            continue
    return lines


def test_a_renamed_repository_is_followed_on_the_same_host(
    server: GitServer, http_host: GitHost
) -> None:
    fill(http_host)
    server.switches.redirects = {"/old/name.git": "/acme/api.git"}
    target = RemoteTarget(server.url("old/name.git"), "1")

    heads = http_host.remote.read_heads(target).heads
    http_host.remote.sync(target, heads)

    assert set(http_host.remote.commits(target, list(heads.values()))) == set(heads.values())


def test_sixteen_threads_may_read_at_once(server: GitServer, remote: GitRemote) -> None:
    targets = []
    for n in range(8):
        host = GitHost(server.root / f"r{n}.git", remote, RemoteTarget(server.url(f"r{n}"), str(n)))
        host.add(Sketch(f"root of {n}"))
        host.point("main", f"root of {n}")
        targets.append((replace(host.target, clone_url=server.url(f"r{n}.git")), host.oids))

    with ThreadPoolExecutor(16) as pool:
        read = list(pool.map(lambda pair: remote.read_heads(pair[0]), targets * 8))

    expected = [oids[f"root of {n}"] for n, (_, oids) in enumerate(targets)] * 8
    assert [heads.heads["main"] for heads in read] == expected


def test_a_server_that_went_away_is_unavailable_to_sync(
    server: GitServer, http_host: GitHost
) -> None:
    fill(http_host)
    heads = http_host.remote.read_heads(http_host.target).heads
    server.switches.refuse_posts_with = 503

    with pytest.raises(RemoteUnavailable):
        http_host.remote.sync(http_host.target, heads)
    with pytest.raises(RemoteUnavailable):
        http_host.remote.compare(http_host.target, [(heads["main"], heads["work"])])
