"""Compares proofs with secrets in constant time; knows no host and no header."""

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Secret:
    """A live secret of a source. Its value never shows in a repr, a log or an error."""

    id: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the request is proven, by which secret, and a stable code that says why not."""

    ok: bool
    secret_id: str | None
    reason: str


def refused(reason: str) -> Verdict:
    """Return a verdict against the request."""
    return Verdict(ok=False, secret_id=None, reason=reason)


def usable(secrets: Sequence[Secret]) -> tuple[Secret, ...]:
    """Return the secrets that may prove anything: an empty or blank one never does."""
    return tuple(secret for secret in secrets if secret.value.strip() and _is_text(secret.value))


def first_match(secrets: Sequence[Secret], is_proof: Callable[[Secret], bool]) -> Verdict:
    """Return the verdict over all secrets; each is tried, so time tells nothing about which."""
    matches = [secret.id for secret in secrets if is_proof(secret)]
    if not matches:
        return refused("mismatch")
    return Verdict(ok=True, secret_id=matches[0], reason="ok")


def same_bytes(given: bytes, wanted: bytes) -> bool:
    """Compare in a time that depends on neither content nor, thanks to the digests, on length."""
    return hmac.compare_digest(sha256(given).digest(), sha256(wanted).digest())


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA256 of a message, 32 bytes."""
    return hmac.digest(key, message, "sha256")


def _is_text(value: str) -> bool:
    return _SURROGATE.search(value) is None
