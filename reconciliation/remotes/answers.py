"""Judge HTTP answers by what stands before their body: status, redirect, Retry-After. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

import urllib3

from reconciliation.remotes.base import (
    RemoteAuthFailed,
    RemoteMalformed,
    RemoteNotFound,
    RemoteRefused,
    RemoteThrottled,
    RemoteUnavailable,
)

DISCOVERY = "/info/refs?service=git-upload-pack"
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes

    @property
    def content_type(self) -> str:
        """Return the media type without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def redirected_base(url: str, location: str) -> str:
    """Return the new base URL, or refuse: another host, or no longer encrypted."""
    target = urljoin(url + DISCOVERY, location)
    if not location or not target.endswith(DISCOVERY):
        raise RemoteRefused(f"{url} redirects to something that is no repository")
    old, new = urlsplit(url), urlsplit(target)
    same_place = (old.scheme, old.netloc) == (new.scheme, new.netloc)
    upgraded = old.scheme == "http" and new.scheme == "https" and old.hostname == new.hostname
    if not (same_place or (upgraded and "@" not in new.netloc)):
        raise RemoteRefused(f"{url} redirects to another host; enter the new clone URL")
    return target.removesuffix(DISCOVERY)


def raise_for_status(answer: Answer, url: str) -> None:
    """Return if the answer is the one hoped for (200); raise what any other means."""
    status = answer.status
    if status == 200:
        return
    wait = _retry_after_seconds(answer.headers)
    if status == 429 or (status == 403 and wait is not None):
        raise RemoteThrottled(f"{url} asks to slow down ({status})", retry_after_seconds=wait)
    if status in (401, 403, 407):
        raise RemoteAuthFailed(f"{url} does not accept the credential ({status})")
    if status in (404, 410):
        raise RemoteNotFound(f"{url} is not there for this credential ({status})")
    if status >= 500:
        raise RemoteUnavailable(f"{url} has a fault ({status})", retry_after_seconds=wait)
    if status in REDIRECTS:
        raise RemoteRefused(f"{url} redirects more than once, or where it may not ({status})")
    raise RemoteMalformed(f"{url} gives the unexpected answer {status}")


def _retry_after_seconds(headers: urllib3.HTTPHeaderDict) -> int | None:
    """Read Retry-After; a date is counted from the server's own Date, not from our clock."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text), 86_400)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))
    except (TypeError, ValueError):
        return None
    return min(max(int(wait.total_seconds()), 0), 86_400)
