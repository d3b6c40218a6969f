"""Read objects out of mirrors by one git process a mirror, kept for the next question; never fetch.

A process is started when something is asked, and anew when the one there was has died or its mirror
was replaced. The caller holds the mirror's lock.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from reconciliation.remotes.base import RemoteUnavailable
from reconciliation.remotes.git import Call, Git, GitTimedOut, git_environment

_MOST_READERS = 8
_ASKED_AT_ONCE = 64
_PIECE_BYTES = 256 * 1024
_STARTS = 3
_ENDING_SECONDS = 5
_PARTS = (".", "HEAD", "config", "refs", "objects", "objects/pack")


class MirrorUnreadable(RemoteUnavailable):
    """git cannot read the mirror. Set it aside; the next fetch makes a new one."""

    def __init__(self) -> None:
        super().__init__("the mirror was damaged; it is fetched anew with the next try")


class _ReaderKilled(Exception):
    """Something killed the process; that says nothing about the mirror."""


class _Reader:
    """One `git cat-file --batch-command`, and on what it was started."""

    def __init__(self, git_dir: str) -> None:
        self.place = _place(git_dir)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            ["git", "cat-file", "--batch-command"],
            env=git_environment(Call(git_dir=git_dir)),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            start_new_session=True,
            bufsize=0,
        )
        self._pending = b""

    def is_for(self, git_dir: str) -> bool:
        """Say whether the process lives and the mirror is still as it was at its start."""
        return self._process.poll() is None and self.place == _place(git_dir)

    def ask(
        self, command: bytes, oids: Sequence[str], *, deadline: float
    ) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield id, type and content (of `contents`) of those objects that are there.

        Raises:
            MirrorUnreadable: an object is there and bad.
            _ReaderKilled: the process was killed before it had answered.
            GitTimedOut: the answer did not come until `deadline`, by the monotonic clock.
        """
        for start in range(0, len(oids), _ASKED_AT_ONCE):
            some = oids[start : start + _ASKED_AT_ONCE]
            self._send(b"".join(b"%s %s\n" % (command, oid.encode()) for oid in some))
            for oid in some:
                kind, size = self._header(deadline)
                if kind:
                    with_content = command == b"contents"
                    content = self._take(size + 1, deadline)[:-1] if with_content else b""
                    yield oid, kind, content
        # A missing object is answered on stdout; complaints are about those that are bad.
        if os.fstat(self._complaints.fileno()).st_size:
            raise MirrorUnreadable

    def end(self) -> None:
        """Kill the process, and wait for it."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends only: the process is that of the parent of this one."""
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def _send(self, lines: bytes) -> None:
        if self._process.stdin is None:
            raise MirrorUnreadable
        try:
            # Shorter than what a pipe takes, and git reads: this does not block.
            self._process.stdin.write(lines)
        except BrokenPipeError as error:
            raise self._why_it_ended() from error

    def _header(self, deadline: float) -> tuple[bytes, int]:
        while (end := self._pending.find(b"\n")) < 0:
            self._receive(deadline)
        words = self._pending[:end].split()
        self._pending = self._pending[end + 1 :]
        return (words[1], int(words[2])) if len(words) == 3 else (b"", 0)

    def _take(self, size: int, deadline: float) -> bytes:
        if len(self._pending) < size:
            pieces, there = [self._pending], len(self._pending)
            while there < size:
                self._pending = b""
                self._receive(deadline)
                pieces.append(self._pending)
                there += len(self._pending)
            self._pending = b"".join(pieces)
        content, self._pending = self._pending[:size], self._pending[size:]
        return content

    def _receive(self, deadline: float) -> None:
        if self._process.stdout is None:
            raise MirrorUnreadable
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise GitTimedOut("git cat-file did not answer in time")
        piece = os.read(descriptor, _PIECE_BYTES)
        if not piece:
            raise self._why_it_ended()
        self._pending += piece

    def _why_it_ended(self) -> Exception:
        try:
            status = self._process.wait(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return MirrorUnreadable()
        return _ReaderKilled() if status < 0 else MirrorUnreadable()


class ObjectReaders:
    """The readers of the mirrors that were asked last. Thread-safe; not shared by a fork."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = threading.Lock()
        self._readers: OrderedDict[str, _Reader] = OrderedDict()
        os.register_at_fork(after_in_child=self._forget_all)

    def types(self, git_dir: str, oids: Sequence[str]) -> dict[str, bytes]:
        """Return the types of those of `oids` that the mirror has."""
        return {oid: kind for oid, kind, _ in self._ask(git_dir, b"info", oids)}

    def objects(self, git_dir: str, oids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Return type and content of those of `oids` that the mirror has."""
        asked = self._ask(git_dir, b"contents", oids)
        return {oid: (kind, content) for oid, kind, content in asked}

    def close(self) -> None:
        """End all processes; the next question starts one."""
        with self._lock:
            while self._readers:
                self._readers.popitem()[1].end()

    def _ask(
        self, git_dir: str, command: bytes, oids: Sequence[str]
    ) -> list[tuple[str, bytes, bytes]]:
        if not oids:
            return []
        deadline = time.monotonic() + self._git.timeout_seconds
        for _ in range(_STARTS):
            try:
                return self._ask_once(git_dir, command, oids, deadline=deadline)
            except _ReaderKilled:
                continue
        raise RemoteUnavailable("git was killed each time while it read the mirror")

    def _ask_once(
        self, git_dir: str, command: bytes, oids: Sequence[str], *, deadline: float
    ) -> list[tuple[str, bytes, bytes]]:
        with self._lock:
            reader = self._readers.pop(git_dir, None)
            if reader is not None and not reader.is_for(git_dir):
                reader.end()
                reader = None
            if reader is None:
                reader = _Reader(git_dir)
            try:
                answers = list(reader.ask(command, oids, deadline=deadline))
            except BaseException:
                # What it still had to say would be taken for the next answer.
                reader.end()
                raise
            self._readers[git_dir] = reader
            while len(self._readers) > _MOST_READERS:
                self._readers.popitem(last=False)[1].end()
        return answers

    def _forget_all(self) -> None:
        self._lock = threading.Lock()
        for reader in self._readers.values():
            reader.forget()
        self._readers = OrderedDict()


def _place(git_dir: str) -> tuple[int, ...]:
    """Return what tells a mirror from one that replaced it, and from itself with other packs.

    git would go on reading from packs that were deleted, and others could not.
    """
    try:
        stats = [os.stat(f"{git_dir}/{part}") for part in _PARTS]  # noqa: PTH116
    except OSError:
        return ()
    return (stats[-1].st_mtime_ns, *(part for one in stats for part in (one.st_dev, one.st_ino)))
