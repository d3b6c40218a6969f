"""Turn what a failed git or a git server said into one of our named errors.

Only words are judged here. The words are scrubbed of secrets and kept short before they become
a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from reconciliation.remotes.base import (
    DISK_FULL,
    DiskFull,
    RemoteAuthFailed,
    RemoteError,
    RemoteMalformed,
    RemoteNotFound,
    RemoteRefused,
    RemoteThrottled,
    RemoteUnavailable,
)

_MAX_MESSAGE = 400


_SIGNS_OF_DAMAGE = re.compile(
    r"bad object|corrupt|does not point to a valid object|unable to read [0-9a-f]{40}"
    r"|unable to read (sha1|tree)|inflate|bad pack|loose object|failed to traverse"
    r"|could not parse|unresolved delta|not a git repository: '|from promisor remote",
    re.IGNORECASE,
)


# First match wins. ssh ends every failure with "Could not read from remote repository", so the
# words that tell failures apart come first.
_SIGNS: tuple[tuple[re.Pattern[str], Callable[[str], RemoteError]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE | re.MULTILINE), error)
    for pattern, error in (
        # Of our disk; what a server says of its own comes behind "remote:" and is its trouble.
        (r"^(?!remote:).*(no space left on device|disk quota exceeded)", DiskFull),
        (r"transport '[^']*' not allowed|unable to update url base", RemoteRefused),
        (
            r"authentication failed|permission denied|host key verification failed"
            r"|could not read username|could not read password|terminal prompts disabled"
            r"|returned error: 40[13]\b|access denied|forbidden|dubious ownership"
            r"|no (matching|supported) (host key|authentication)",
            RemoteAuthFailed,
        ),
        (
            r"repository not found|not found: did you run|returned error: 4(04|10)\b"
            r"|does not appear to be a git repository|does not exist|not exported"
            r"|repository '[^']*' not found|no such project|project not found",
            RemoteNotFound,
        ),
        (r"returned error: 429\b|too many requests|rate limit", RemoteThrottled),
        (
            r"could not resolve|couldn't resolve|connection (refused|reset|timed out|closed)"
            r"|failed to connect|couldn't connect|network is unreachable|no route to host"
            r"|operation (timed out|too slow)|timed out|temporary failure"
            r"|returned error: 5\d\d\b|ssl|certificate|gnutls|empty reply|the remote end hung up"
            r"|early eof|rpc failed|unable to access|internal server error|try again"
            r"|could not read from remote repository|unable to fork|no space left",
            RemoteUnavailable,
        ),
        (r"protocol error|bad line length|invalid|unexpected|garbage|expected", RemoteMalformed),
    )
)


def failure_in_words_of_git(stderr: str, *, secrets: Iterable[str] = ()) -> RemoteError:
    """Return the error for what git printed when it could not talk to a remote."""
    words = scrub(stderr, secrets=secrets)
    error = _judge(words, "git could not read the remote: " + _last_telling_line(words))
    if isinstance(error, DiskFull):
        return DiskFull(DISK_FULL)
    return error


def hints_at_damage(stderr: str) -> bool:
    """Say whether git tripped over an object: ours may be damaged, or the server sent rubbish."""
    return _SIGNS_OF_DAMAGE.search(stderr) is not None


def failure_in_words_of_the_server(words: str) -> RemoteError:
    """Return the error for an `ERR` packet."""
    words = scrub(words)
    return _judge(words, "the server reports: " + words[:_MAX_MESSAGE])


def scrub(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Take out the secrets we know, passwords in URLs, and whatever would break a log line."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = re.sub(r"(?i)(authorization:\s*)\S.*", r"\1***", text)
    text = re.sub(r"(\w://)[^\s/@]+@", r"\1***@", text)
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text).strip()


def _judge(words: str, message: str) -> RemoteError:
    for pattern, error in _SIGNS:
        if pattern.search(words):
            return error(message)
    return RemoteUnavailable(message)


def _last_telling_line(words: str) -> str:
    """Pick git's own verdict among hints and progress."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    for prefix in ("fatal:", "error:", "ERROR:", "remote:", ""):
        telling = [line for line in lines if line.startswith(prefix)]
        if telling:
            return telling[0][:_MAX_MESSAGE]
    return "it said nothing"
