"""Keep one bare mirror per repository on disk: make it, lock it, mend it, tidy it.

A mirror holds commits, the few trees somebody asked about, and no files' contents. Heads are kept
as `refs/kept/<oid>`: a name that says what it holds cannot clash (branch `a` gone, `a/b` come) and
keeps a head that was force-pushed away comparable. What is fetched, and from where, is not known
here, and nothing of it is written into the mirror's configuration.
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from reconciliation.remotes.base import DISK_FULL, DiskFull, RemoteRefused, RemoteUnavailable
from reconciliation.remotes.failures import failure_in_words_of_git
from reconciliation.remotes.git import Call, Git, GitTimedOut, run_git
from reconciliation.remotes.locks import locked
from reconciliation.remotes.memo import Memo
from reconciliation.remotes.tidying import pack_bytes, tidy

# Tells git that missing trees and files are no damage. Given per call, so that plain reads do
# not even think of fetching: with it in the mirror's own configuration they would stop instead.
PARTIAL = {"remote.origin.promisor": "true", "remote.origin.partialclonefilter": "tree:0"}


@contextlib.contextmanager
def _room_on_disk() -> Iterator[None]:
    """Call a full disk what it is, whatever was about to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(DISK_FULL) from error
        raise


_MIRROR_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Mirror:
    """The mirror of one repository below `root`; `git_dir` is what git processes work on."""

    def __init__(self, git: Git, root: Path, key: str, *, lock_timeout_seconds: float) -> None:
        if not _MIRROR_KEY.fullmatch(key):
            raise RemoteRefused(f"mirror key {key[:40]!r} is no plain directory name")
        self._git = git
        self._folder = root / key
        self._repository = self._folder / "mirror.git"
        self._in_use = self._folder / "in-use"
        self._lock_timeout_seconds = lock_timeout_seconds

    @property
    def git_dir(self) -> str:
        """Return the path for GIT_DIR."""
        return str(self._repository)

    @property
    def memo(self) -> Memo:
        """Return what is remembered of this repository's commits; it outlives a damaged mirror."""
        return Memo(self._folder / "memo.sqlite3")

    @property
    def exists(self) -> bool:
        """Say whether there is anything to read yet.

        A shallow mirror lies about ancestry, so it does not count. We never make one.
        """
        is_shallow = (self._repository / "shallow").exists()
        return (self._repository / "HEAD").is_file() and not is_shallow

    @property
    def id_length(self) -> int:
        """Return how many hex digits an object id has here, or 0 if there is no mirror yet."""
        if not self.exists:
            return 0
        return 64 if "objectformat = sha256" in self._configuration() else 40

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Keep writers out for the block."""
        with _room_on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(
                self._lock_path, exclusive=False, timeout_seconds=self._lock_timeout_seconds
            ):
                yield

    @contextlib.contextmanager
    def writing(self, *, object_format: str) -> Iterator[MirrorWriter]:
        """Keep everybody out for the block, over a mirror that exists and has this format.

        A marker tells the next writer that this one did not end well (it was killed); then what
        git leaves behind in that case is swept away first.
        """
        with self._alone() as lock:
            if self._in_use.exists():
                self._sweep_leftovers()
            self._in_use.touch()
            if not self._is_usable(object_format):
                self._create(object_format)
            yield MirrorWriter(self._git, self._repository, lock)
            self._in_use.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Take a damaged mirror out of use; the next writer makes a new one.

        At most one damaged mirror is kept, for a person to look at.
        """
        with self._alone():
            self._set_aside()

    def set_aside_if_damaged(self, *, tips: Collection[str] = ()) -> bool:
        """Do so if the history of the kept heads and of `tips` cannot all be read; say so."""
        with self._alone():
            if not self.exists or self._is_sound(tips):
                return False
            self._set_aside()
            return True

    @contextlib.contextmanager
    def _alone(self) -> Iterator[int]:
        with _room_on_disk():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(
                self._lock_path, exclusive=True, timeout_seconds=self._lock_timeout_seconds
            ) as lock:
                yield lock

    @property
    def _lock_path(self) -> Path:
        return self._folder / "lock"

    def _is_usable(self, object_format: str) -> bool:
        """Look at the few files without which nothing works; cheap: it runs before each write."""
        if not self.exists:
            return False
        is_sha256 = self.id_length == 64
        return "bare = true" in self._configuration() and is_sha256 == (object_format == "sha256")

    def _configuration(self) -> str:
        config = self._repository / "config"
        return config.read_text("utf-8", "replace").lower() if config.is_file() else ""

    def _is_sound(self, tips: Collection[str]) -> bool:
        """Walk all commits from the objects themselves, not from the commit-graph's copy."""
        stdin = "".join(f"{oid}\n" for oid in sorted(tips)).encode()
        call = Call(git_dir=self.git_dir, stdin=stdin, config={"core.commitGraph": "false"})
        walk = run_git(self._git, "rev-list", "--count", "--all", "--stdin", call=call)
        return walk.status == 0

    def _create(self, object_format: str) -> None:
        self._set_aside()
        arguments = ("--bare", "--quiet", "--template=", "--initial-branch=none")
        result = run_git(
            self._git,
            "init",
            *arguments,
            f"--object-format={object_format}",
            "--end-of-options",
            self.git_dir,
            call=Call(),
        )
        if result.status != 0:
            failure = failure_in_words_of_git(result.stderr)
            if isinstance(failure, DiskFull):
                raise failure
            raise RemoteUnavailable(f"cannot make a mirror in {self._folder}: {result.stderr}")

    def _set_aside(self) -> None:
        if not self._repository.exists():
            return
        aside = self._folder / "damaged.git"
        shutil.rmtree(aside, ignore_errors=True)
        self._repository.rename(aside)

    def _sweep_leftovers(self) -> None:
        """Remove lock files and half-written packs. Nobody owns them: we hold the only lock."""
        for leftover in self._repository.rglob("*.lock"):
            leftover.unlink(missing_ok=True)
        for leftover in self._repository.glob("objects/**/tmp_*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def adopt_mirror(root: Path, mirror_key: str, *, new_key: str) -> None:
    """Rename a mirror's folder, unless there is none or the new name is taken.

    Nobody else knows the old name. What cannot be renamed is fetched anew under its new name.
    """
    for key in (mirror_key, new_key):
        if not _MIRROR_KEY.fullmatch(key):
            raise RemoteRefused(f"mirror key {key[:40]!r} is no plain directory name")
    with contextlib.suppress(OSError):
        (root / mirror_key).rename(root / new_key)


class MirrorWriter:
    """What may be done to a mirror while its lock is held."""

    def __init__(self, git: Git, repository: Path, lock: int) -> None:
        self._git = git
        self._repository = repository
        self._lock = lock
        self._bytes_at_start = pack_bytes(repository)

    def call(self, *, stdin: bytes = b"", config: Mapping[str, str] | None = None) -> Call:
        """Return a call on this mirror that keeps the lock for as long as its process lives."""
        return Call(
            git_dir=str(self._repository),
            stdin=stdin,
            config=config or {},
            keep_open=(self._lock,),
        )

    def finish(self, *, with_commits: bool = True) -> None:
        """After a fetch: speed up ancestry if there is much new, tidy if there are many pieces."""
        new_bytes = pack_bytes(self._repository) - self._bytes_at_start if with_commits else 0
        # Tidiness may wait: if there is no time for it now, the next writer tries again.
        with contextlib.suppress(GitTimedOut):
            tidy(self._git, self._repository, self.call(), new_bytes=new_bytes)
