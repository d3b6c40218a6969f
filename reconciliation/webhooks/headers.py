"""Holds the headers of one request and tells which of them may be kept; never changes them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

MAX_KEPT_VALUE_LENGTH: Final = 300
"""Characters of one kept header value; hosts send far less, senders of junk send more."""

# An allow-list: a header that nobody thought about is dropped, so no new credential can slip in.
KEPT: Final = frozenset(
    {
        "content-length",
        "content-type",
        "idempotency-key",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "x-attempt-number",
        "x-event-key",
        "x-forgejo-delivery",
        "x-forgejo-event",
        "x-forgejo-event-type",
        "x-gitea-delivery",
        "x-gitea-event",
        "x-gitea-event-type",
        "x-github-delivery",
        "x-github-enterprise-host",
        "x-github-enterprise-version",
        "x-github-event",
        "x-github-hook-id",
        "x-github-hook-installation-target-id",
        "x-github-hook-installation-target-type",
        "x-gitlab-event",
        "x-gitlab-event-uuid",
        "x-gitlab-instance",
        "x-gitlab-webhook-uuid",
        "x-gogs-delivery",
        "x-gogs-event",
        "x-gogs-event-type",
        "x-hook-uuid",
        "x-pagure",
        "x-pagure-project",
        "x-pagure-topic",
        "x-request-id",
        "x-request-uuid",
    }
)


class Headers(Mapping[str, str]):
    """The headers of one request: names without case, values as received, order kept.

    `headers[name]` is the first value. Where a repetition would be ambiguous (a signature), ask
    `every(name)`: a proxy and the receiver may disagree about which of two values counts.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take `(name, value)` pairs; surrounding blanks of a value are not part of it."""
        values: dict[str, tuple[str, ...]] = {}
        for name, value in pairs:
            key = name.lower()
            values[key] = (*values.get(key, ()), value.strip(" \t\r\n"))
        self._values: Mapping[str, tuple[str, ...]] = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        """Show names only: values may be secrets."""
        return f"Headers({sorted(self._values)})"

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of a header in the order received, () when it is absent."""
        return self._values.get(name.lower(), ())

    def first_of(self, names: Iterable[str]) -> str | None:
        """Return the first value of the first of `names` that is present, else None."""
        for name in names:
            values = self.every(name)
            if values:
                return values[0]
        return None

    def kept(self) -> dict[str, str]:
        """Return the headers worth storing with a delivery, by lower-case name, sorted.

        Never credentials, tokens, signatures or cookies. Characters that cannot be stored or shown
        are replaced, long values are cut at 300 characters.
        """
        return {
            name: _storable(", ".join(self._values[name]))
            for name in sorted(self._values)
            if name in KEPT
        }


ENCODED: Final = "content_encoding"
"""The code of a refusal whose cause is that the body arrived encoded."""


def content_encoding(headers: Headers) -> str:
    """Return how the request says its body is encoded, printable and short; empty: as it is."""
    coding = headers.get("content-encoding", "").lower()
    return "" if coding in ("", "identity") else _storable(coding)[:40]


def _storable(value: str) -> str:
    if value.isprintable():
        return value[:MAX_KEPT_VALUE_LENGTH]
    printable = "".join(char if char.isprintable() else "\ufffd" for char in value)
    return printable[:MAX_KEPT_VALUE_LENGTH]
