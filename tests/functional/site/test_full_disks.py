"""A disk that is full is called a full disk: to callers, in the log, by readiness and by status.

The disks are small file systems in memory; where they cannot be mounted the tests are left out.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciliation.remotes.base import DiskFull, RemoteTarget
from reconciliation.remotes.client import GitRemote
from scripts.postgres_programs import PostgresMissing
from scripts.throwaway_postgres import ThrowawayPostgres
from tests.functional.site.test_hanging_database import ask, database_of, deliver
from tests.functional.webhooks.test_real_connections import Served

MIB = 1024 * 1024


class SmallDisk:
    """A file system of its own that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filler = folder / "filler"

    def fill(self, *, leave: int = 0) -> None:
        """Take what is free, but for `leave` bytes."""
        left = os.statvfs(self.folder)
        with self.filler.open("wb") as filler:
            for size in (MIB, 4096):
                while os.statvfs(self.folder).f_bavail * left.f_frsize >= leave + size:
                    filler.write(b"\0" * size)
                    filler.flush()

    def free(self) -> None:
        """Give it back."""
        self.filler.unlink()


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[SmallDisk]:
    """Mount a small disk, of the size in MiB that the test asks for, where any account may look."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    size = getattr(request, "param", 64)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        folder.rmdir()
        pytest.skip("no mount program")
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"nothing may be mounted here: {mounted.stderr.strip()}")
    folder.chmod(0o777)
    yield SmallDisk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def check_story(served: Served, disk: SmallDisk) -> None:
    """Fill the disk, look at every answer, make room, and see that all is well again."""
    token = {"Authorization": f"Bearer {served.token()}"}
    ready = ask(served.connection(), "GET", "/readyz")[2]
    assert {part["name"]: part["status"] for part in ready["parts"]}["database_disk"] == "ok"
    disk.fill()

    # What is there already still takes a row or two.
    status, headers, problem, _ = deliver(served.connection(), served, "full")
    for number in range(2000):
        if status != 202:
            break
        status, headers, problem, _ = deliver(served.connection(), served, f"full-{number}")
    assert (status, problem["code"]) == (503, "disk_full")
    assert "disk is full" in problem["detail"]
    assert "retry-after" in headers
    status, _, ready, _ = ask(served.connection(), "GET", "/readyz")
    assert (status, ready["status"]) == (503, "not_ready")
    [reason] = [text for text in ready["degraded_reasons"] if text.startswith("database_disk:")]
    assert "disk is full" in reason
    _, _, told, _ = ask(served.connection(), "GET", "/api/v1/status", headers=token)
    assert "disk_full" in told["parts"]["disks"]["reasons"]
    assert any("disk is full" in part["detail"] for part in told["degraded_reasons"])
    log = served.site.log.read_text()
    assert "code=disk_full" in log
    assert "Traceback" not in log

    disk.free()
    assert deliver(served.connection(), served, "room")[0] == 202


def test_a_full_disk_under_sqlite_is_called_so_everywhere(disk: SmallDisk, tmp_path: Path) -> None:
    # The log is elsewhere, or it could not tell.
    (tmp_path / "var").symlink_to(disk.folder)
    served = Served(tmp_path)
    try:
        check_story(served, disk)
        ready = ask(served.connection(), "GET", "/readyz")[2]
        assert {part["name"]: part["status"] for part in ready["parts"]}["mirrors_disk"] == "ok"
    finally:
        served.stop()


@pytest.mark.postgres
@pytest.mark.parametrize("disk", [400], indirect=True)
def test_a_full_disk_under_postgresql_is_called_so_everywhere(
    disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    server = ThrowawayPostgres()
    try:
        server.start()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    try:
        served = Served(
            tmp_path,
            "--migrate",
            "--workers",
            "1",
            DATABASE_URL=database_of(server, "site"),
        )
        try:
            check_story(served, disk)
        finally:
            served.stop()
    finally:
        server.stop()


@pytest.mark.parametrize("disk", [4], indirect=True)
@pytest.mark.parametrize("leave_bytes", [0, 64 * 1024, 512 * 1024])
def test_a_mirror_that_does_not_fit_is_the_disk_s_fault_and_no_host_s(
    disk: SmallDisk, tmp_path: Path, leave_bytes: int
) -> None:
    work = tmp_path / "served" / "work"
    work.mkdir(parents=True)
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for number in range(40):
        message = f"{number} " + os.urandom(24_000).hex()
        subprocess.run(
            [*git, "commit", "-q", "--allow-empty", "-F-"], input=message, text=True, check=True
        )
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = GitRemote(disk.folder / "mirrors", allowed_local_roots=[tmp_path / "served"])
    target = RemoteTarget(str(work), "1")
    disk.fill(leave=leave_bytes)

    with pytest.raises(DiskFull, match="disk that holds the mirrors is full"):
        remote.sync(target, {"main": head})

    disk.free()
    remote.sync(target, {"main": head})
    assert head in remote.commits(target, [head])
