"""Branch names and git object ids as leases and runs carry them; pure."""

import re

MAX_BRANCH_LENGTH = 1000
LONG_NAME_MARK = "\\~"
"""Follows the beginning of a branch name that is longer than that, before a digest of all of it."""

_HEADS = "refs/heads/"
# Why git refuses refs/heads/NAME or refs/tags/NAME (git-check-ref-format).
_NOT_IN_A_REF = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(/|\Z)|\A[./]|[./]\Z"
)
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class InvalidRef(ValueError):
    """The text names no branch, or is no full object id; the caller must change it."""


def is_ref_name(name: str) -> bool:
    """Return whether git takes the name of a branch or a tag, given without `refs/heads/`."""
    return bool(name) and not _NOT_IN_A_REF.search(name)


def branch_name(text: str) -> str:
    """Return a branch name as we store it: as git has it, without a leading `refs/heads/`.

    Raises:
        InvalidRef: a name that git would refuse, or that a command would take for an option.
    """
    name = text.removeprefix(_HEADS)
    if len(name) > MAX_BRANCH_LENGTH or name.startswith("-") or not is_ref_name(name):
        raise InvalidRef(f"{text[:200]!r} is no branch name that git would accept")
    return name


def sha(text: str) -> str:
    """Return a full object id (40 digits: SHA-1, 64: SHA-256) in lower case.

    Raises:
        InvalidRef: anything else. Abbreviations are refused: they can become ambiguous.
    """
    lowered = text.lower() if text.isascii() else ""
    if not _SHA.fullmatch(lowered):
        raise InvalidRef(f"{text[:80]!r} is no git object id: give all 40 or 64 hex digits")
    return lowered


def is_null_sha(text: str) -> bool:
    """Return whether an id stands for "no object": empty, or 40 or 64 zeros."""
    return text in ("", "0" * 40, "0" * 64)
