"""Writes git commands that a person can paste into any POSIX shell, whatever a branch is called."""

import re
import shlex

from governance.domain.refs import LONG_NAME_MARK

REMOTE = "origin"

_BYTE = re.compile(r"\\x([0-9a-f]{2})")
# What printf's format and the quotes around it take as it is.
_PLAIN = re.compile(rb"[A-Za-z0-9_./:=@,+~^{}-]")


def git_command(*arguments: str) -> str:
    """Return a git command, quoted for POSIX shells; empty when a name in it was too long to keep.

    Only its beginning is known then, and a command with another name would do something else.
    """
    if any(LONG_NAME_MARK in argument for argument in arguments):
        return ""
    return " ".join(("git", *(shell_word(argument) for argument in arguments)))


def shell_word(text: str) -> str:
    """Return what a POSIX shell reads as exactly this text.

    A byte that is not UTF-8 is written `\\xNN` in branch names; it is handed to git by printf, as
    are characters that a terminal would not show as they are.
    """
    if text.isprintable() and not _BYTE.search(text):
        return shlex.quote(text)
    written = "".join(_in_format(byte) for byte in _bytes_of(text))
    first = f"\\{ord(written[0]):03o}" + written[1:] if written.startswith("-") else written
    return f"\"$(printf '{first}')\""


def safe_push_command(branch: str, *, remote_sha: str | None) -> str:
    """Return the exact command, quoted for POSIX shells, that pushes HEAD to a branch.

    `remote_sha` is the head that the push may replace; the empty string says that the branch must
    not exist yet. A bare `--force-with-lease` would trust whatever the last fetch brought, so the
    id is always spelled out. When nobody knows the head (None), a push without force is the one
    that git itself keeps safe: it only ever adds commits.
    """
    ref = f"refs/heads/{branch}"
    if remote_sha is None:
        return git_command("push", REMOTE, f"HEAD:{ref}")
    return git_command("push", f"--force-with-lease={ref}:{remote_sha}", REMOTE, f"HEAD:{ref}")


def _bytes_of(text: str) -> bytes:
    pieces = _BYTE.split(text)
    return b"".join(
        bytes.fromhex(piece) if place % 2 else piece.encode() for place, piece in enumerate(pieces)
    )


def _in_format(byte: int) -> str:
    return chr(byte) if _PLAIN.fullmatch(bytes([byte])) else f"\\{byte:03o}"
