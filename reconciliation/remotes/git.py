"""Run the git binary so that it can neither ask, linger, wander nor tell.

It never prompts, reads no configuration but ours, fetches nothing by itself, speaks only the
transports named, and is killed with all its children when its time is over. Secrets travel in its
environment, never in its arguments.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from reconciliation.remotes.base import RemoteMalformed, RemoteUnavailable
from reconciliation.remotes.calls import note_call
from reconciliation.remotes.urls import Transport

# Not HOME: curl would read ~/.netrc and send somebody's password along. Not the proxy variables:
# our own HTTP client does not use them either, and both must reach the same server.
_INHERITED = ("PATH", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR")
_MAX_STDERR_BYTES = 4096
_PIECE_BYTES = 65536

_FIXED_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_SSH_COMMAND": "/bin/false",
    # A partial mirror would otherwise fetch object after object by itself, for minutes.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
_FIXED_CONFIG = {
    "credential.helper": "",
    "core.hooksPath": os.devnull,
    "core.askPass": "/bin/false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "protocol.version": "2",
    "http.followRedirects": "false",
    "advice.fetchShowForcedUpdates": "false",
}


class GitTimedOut(RemoteUnavailable):
    """git was killed: it did not finish in the time it had."""


class GitSaidTooMuch(RemoteMalformed):
    """git was killed: its output passed the cap."""


@dataclass(frozen=True, slots=True)
class Git:
    """The limits under which git runs."""

    timeout_seconds: float = 60
    fetch_seconds: float = 240  # one fetch, however large; silence ends it sooner
    max_output_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """Everything about one call besides its arguments; the defaults allow no transport at all."""

    git_dir: str | None = None
    stdin: bytes = b""
    config: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold a secret
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    transports: Sequence[Transport] = ()
    keep_open: Sequence[int] = ()  # e.g. a lock that must live as long as this process
    fetches: bool = False  # may take as long as a fetch


@dataclass(frozen=True, slots=True)
class GitResult:
    """What one git process left: exit status, its output, and the end of what it complained."""

    status: int
    stdout: bytes
    stderr: str


def run_git(git: Git, *arguments: str, call: Call) -> GitResult:
    """Run `git` with `arguments` and wait for it; any exit status is returned, not raised.

    Raises GitTimedOut or GitSaidTooMuch after killing the whole process group.
    """
    if call.transports:
        note_call()
    process = subprocess.Popen(
        ["git", *arguments],
        env=git_environment(call),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        pass_fds=tuple(call.keep_open),
    )
    limit = git.fetch_seconds if call.fetches else git.timeout_seconds
    conversation = _Conversation(process, call.stdin, git, what=arguments[0], seconds=limit)
    try:
        conversation.run()
        status = process.wait(timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise GitTimedOut(f"git {arguments[0]} did not end") from error
    finally:
        if process.returncode is None:
            # Not yet reaped, so its id still names this group and no other.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        conversation.close()
    stderr = bytes(conversation.stderr).decode("utf-8", "replace")
    return GitResult(status, b"".join(conversation.stdout), stderr)


def git_environment(call: Call) -> dict[str, str]:
    """Return the whole environment of a git process: nothing of ours but what it needs."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= _FIXED_ENVIRONMENT
    environment["GIT_ALLOW_PROTOCOL"] = ":".join(sorted(call.transports)) or "none"
    if call.git_dir is not None:
        environment["GIT_DIR"] = call.git_dir
    config = {**_FIXED_CONFIG, **call.config}
    environment["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (key, value) in enumerate(config.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment | dict(call.environment)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise ValueError("git must be started with three pipes")
    return process.stdin, process.stdout, process.stderr


class _Conversation:
    """Feed stdin and collect stdout and the tail of stderr until both end, within the limits."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        to_send: bytes,
        git: Git,
        *,
        what: str,
        seconds: float,
    ) -> None:
        self._stdin, self._stdout, self._stderr = _pipes(process)
        self._unsent = memoryview(to_send)
        self._git, self._what, self._seconds = git, what, seconds
        self._received = 0
        self.stdout: list[bytes] = []
        self.stderr = bytearray()

    def run(self) -> None:
        deadline = time.monotonic() + self._seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ, self._take_output)
            selector.register(self._stderr, selectors.EVENT_READ, self._take_complaint)
            os.set_blocking(self._stdin.fileno(), False)
            selector.register(self._stdin, selectors.EVENT_WRITE, self._send)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise GitTimedOut(f"git {self._what} took more than {self._seconds:g} s")
                for key, _ in ready:
                    is_over = key.data()
                    if is_over:
                        selector.unregister(key.fileobj)
                    if is_over and key.fileobj is self._stdin:
                        self._close_stdin()

    def close(self) -> None:
        for stream in (self._stdin, self._stdout, self._stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _send(self) -> bool:
        try:
            if self._unsent:
                written = os.write(self._stdin.fileno(), self._unsent[:_PIECE_BYTES])
                self._unsent = self._unsent[written:]
        except BrokenPipeError:  # git gave up reading; its exit status and words say why
            self._unsent = self._unsent[:0]
        return not self._unsent

    def _close_stdin(self) -> None:
        # Only once it is unregistered: a process that another thread is just starting may hold the
        # pipe too, and then a closed descriptor would go on waking the selector.
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()

    def _take_output(self) -> bool:
        piece = os.read(self._stdout.fileno(), _PIECE_BYTES)
        self.stdout.append(piece)
        self._received += len(piece)
        if self._received > self._git.max_output_bytes:
            limit = self._git.max_output_bytes
            raise GitSaidTooMuch(f"git {self._what} printed over {limit} bytes")
        return not piece

    def _take_complaint(self) -> bool:
        piece = os.read(self._stderr.fileno(), _PIECE_BYTES)
        self.stderr += piece
        del self.stderr[:-_MAX_STDERR_BYTES]
        return not piece
