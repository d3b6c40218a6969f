"""Mirrors that are damaged, and servers that are shallow: unknown at worst, and mended soon."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from reconciliation.remotes import (
    Relation,
    RemoteTarget,
    RemoteUnavailable,
)
from reconciliation.remotes.history import INCOMPLETE
from tests.integration.remotes.hosts import GitHost, Sketch, git


def sync(host: GitHost) -> None:
    host.remote.sync(host.target, host.remote.read_heads(host.target).heads)


def relation(host: GitHost, old: str, new: str) -> Relation:
    pair = (host.oids[old], host.oids[new])
    return host.remote.compare(host.target, [pair])[pair].relation


@pytest.fixture
def synced(file_host: GitHost) -> GitHost:
    """Return a host with `main` - `work`, both in the mirror."""
    file_host.add(Sketch("root"), Sketch("work", ("root",)))
    file_host.point("main", "root")
    file_host.point("work", "work")
    sync(file_host)
    return file_host


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Return the folder of the one mirror."""
    return tmp_path / "mirrors" / "1"


def packs_of(mirror: Path) -> list[Path]:
    return sorted(mirror.glob("mirror.git/objects/pack/*.pack"))


def test_a_mirror_that_lost_the_older_half_of_its_history_is_fetched_anew(
    synced: GitHost, mirror: Path
) -> None:
    old_packs = packs_of(mirror)
    synced.add(Sketch("next", ("work",)))
    synced.point("work", "next")
    sync(synced)
    for pack in old_packs:
        for part in pack.parent.glob(f"{pack.stem}.*"):
            part.unlink()

    answer = relation(synced, "root", "next")

    assert answer is Relation.ANCESTOR
    assert (mirror / "damaged.git").is_dir()


def test_a_mirror_with_a_hole_in_the_middle_says_unknown_and_is_fetched_anew(
    synced: GitHost, mirror: Path
) -> None:
    before = set(packs_of(mirror))
    synced.add(Sketch("mid", ("work",)))
    synced.point("work", "mid")
    sync(synced)
    (middle,) = set(packs_of(mirror)) - before
    synced.add(Sketch("tip", ("mid",)), Sketch("other", ("mid",)))
    synced.point("work", "tip")
    synced.point("other", "other")
    sync(synced)
    for part in middle.parent.glob(f"{middle.stem}.*"):
        part.unlink()

    answers = [relation(synced, "root", "tip"), relation(synced, "tip", "other")]

    assert answers[0] is Relation.UNKNOWN
    assert relation(synced, "tip", "other") is Relation.DIVERGED
    assert relation(synced, "root", "tip") is Relation.ANCESTOR
    assert set(answers) <= {Relation.UNKNOWN, Relation.DIVERGED}


def test_a_mirror_whose_pack_went_bad_is_fetched_anew(synced: GitHost, mirror: Path) -> None:
    for pack in packs_of(mirror):
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[12:-20] = bytes(len(content) - 32)
        pack.write_bytes(content)

    assert relation(synced, "root", "work") is Relation.ANCESTOR
    assert (mirror / "damaged.git").is_dir()


def test_reading_from_a_bad_pack_is_temporary(synced: GitHost, mirror: Path) -> None:
    for pack in packs_of(mirror):
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[12:-20] = bytes(len(content) - 32)
        pack.write_bytes(content)

    with pytest.raises(RemoteUnavailable, match="fetched anew"):
        synced.remote.commits(synced.target, [synced.oids["work"]])

    sync(synced)
    assert synced.remote.commits(synced.target, [synced.oids["work"]])


@pytest.mark.parametrize("missing", ["HEAD", "config", "objects", "refs"])
def test_a_mirror_that_is_half_there_is_rebuilt(
    synced: GitHost, mirror: Path, missing: str
) -> None:
    subprocess.run(["rm", "-rf", str(mirror / "mirror.git" / missing)], check=True)

    sync(synced)

    assert relation(synced, "root", "work") is Relation.ANCESTOR


def test_a_mirror_that_became_shallow_is_not_believed(synced: GitHost, mirror: Path) -> None:
    (mirror / "mirror.git" / "shallow").write_text(synced.oids["work"] + "\n")

    assert relation(synced, "root", "work") is Relation.ANCESTOR


def test_a_repository_that_was_made_anew_with_longer_ids_gets_a_new_mirror(
    synced: GitHost, tmp_path: Path
) -> None:
    other = tmp_path / "served" / "long.git"
    target = RemoteTarget(str(other), synced.target.mirror_key)
    host = GitHost(other, synced.remote, target, object_format="sha256")
    host.add(Sketch("root"), Sketch("work", ("root",)))
    host.point("main", "work")

    sync(host)

    assert relation(host, "root", "work") is Relation.ANCESTOR


def shallow_copy(host: GitHost, folder: Path) -> RemoteTarget:
    git(
        "clone", "-q", "--bare", "--depth=1", f"file://{host.folder}", str(folder), folder=Path("/")
    )
    return RemoteTarget(str(folder), "shallow")


def test_a_shallow_server_leads_to_unknown_never_to_a_rewrite(
    file_host: GitHost, tmp_path: Path
) -> None:
    file_host.add(
        Sketch("root"), Sketch("old", ("root",)), Sketch("mid", ("old",)), Sketch("new", ("mid",))
    )
    file_host.point("main", "new")
    folder = tmp_path / "served" / "shallow.git"
    target = shallow_copy(file_host, folder)
    git("fetch", "-q", "--depth=1", str(file_host.folder), file_host.oids["old"], folder=folder)
    file_host.remote.sync(target, file_host.remote.read_heads(target).heads)
    pair = (file_host.oids["old"], file_host.oids["new"])

    answer = file_host.remote.compare(target, [pair])[pair]

    assert (answer.relation, answer.reason) == (Relation.UNKNOWN, INCOMPLETE)


def test_a_server_that_is_shallow_no_longer_is_believed_again(
    file_host: GitHost, tmp_path: Path
) -> None:
    file_host.add(Sketch("root"), Sketch("old", ("root",)), Sketch("new", ("old",)))
    file_host.point("main", "new")
    folder = tmp_path / "served" / "shallow.git"
    target = shallow_copy(file_host, folder)
    heads = file_host.remote.read_heads(target).heads
    file_host.remote.sync(target, heads)
    git("fetch", "-q", "--unshallow", folder=folder)
    pair = (file_host.oids["root"], file_host.oids["new"])

    answers = []
    for _ in range(2):
        file_host.remote.sync(target, heads)
        answers.append(file_host.remote.compare(target, [pair])[pair].relation)

    assert answers[-1] is Relation.ANCESTOR
    assert set(answers) <= {Relation.ANCESTOR, Relation.UNKNOWN}
