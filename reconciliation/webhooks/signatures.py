"""Decides whether a request comes from who knows the secret; reads no clock and no storage."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from reconciliation.webhooks.form_body import is_form, payload_of_form
from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.hosts import HostKind
from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.matching import (
    Secret,
    Verdict,
    first_match,
    hmac_sha256,
    refused,
    same_bytes,
    usable,
)
from reconciliation.webhooks.standard_webhooks import (
    SIGNATURE_HEADER,
    is_signing_secret,
    verify_standard_webhook,
)

__all__ = ["Secret", "Verdict", "verify"]

_HEX_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")
_BASIC: Final = re.compile(r"[Bb][Aa][Ss][Ii][Cc] +([0-9A-Za-z+/]+={0,2})")

Check = Callable[[Headers, bytes, Sequence[Secret], int], Verdict]


def verify(
    host: HostKind, headers: Headers, body: bytes, secrets: Sequence[Secret], *, now_unix: int
) -> Verdict:
    """Tell whether any of the live secrets made this request's proof, and which.

    Never raises, whatever the request holds. All secrets are tried, in constant time and without
    stopping at the first hit. Reasons are stable codes: `ok`, `no_secret` (none is set: nothing
    verifies, as an HMAC under an empty key would), `no_signing_secret` (GitLab signs, and only a
    plain token is set), `missing_signature`, `empty_signature` (Gitea
    without a secret sends the header with nothing in it), `malformed_signature`,
    `repeated_signature` (two headers of one name), `legacy_only` (SHA-1 alone), `mismatch`,
    `malformed_timestamp`, `stale_timestamp`, `future_timestamp` (both at 300 s), `bad_form`.

    `secrets` are those that are live now, the caller having left out expired ones; `now_unix` is
    in seconds.
    """
    live = usable(secrets)
    if not live:
        return refused("no_secret")
    return CHECKS[host](headers, body, live, now_unix)


def _check_github(headers: Headers, body: bytes, secrets: Sequence[Secret], _: int) -> Verdict:
    # Over the body as sent, also when it is a form.
    if "x-hub-signature-256" not in headers and "x-hub-signature" in headers:
        return refused("legacy_only")
    return _check_hex(headers, "x-hub-signature-256", "sha256=", body, secrets)


def _check_bitbucket(headers: Headers, body: bytes, secrets: Sequence[Secret], _: int) -> Verdict:
    # The header that carries SHA-1 at GitHub carries SHA-256 here, and says so in its prefix.
    if headers.get("x-hub-signature", "").startswith("sha1="):
        return refused("legacy_only")
    return _check_hex(headers, "x-hub-signature", "sha256=", body, secrets)


def _check_gitea(headers: Headers, body: bytes, secrets: Sequence[Secret], _: int) -> Verdict:
    return _check_inner_json(headers, "x-gitea-signature", body, secrets)


def _check_forgejo(headers: Headers, body: bytes, secrets: Sequence[Secret], now: int) -> Verdict:
    if "x-forgejo-signature" not in headers:
        return _check_gitea(headers, body, secrets, now)
    return _check_inner_json(headers, "x-forgejo-signature", body, secrets)


def _check_gogs(headers: Headers, body: bytes, secrets: Sequence[Secret], _: int) -> Verdict:
    return _check_inner_json(headers, "x-gogs-signature", body, secrets)


def _check_gitlab(headers: Headers, body: bytes, secrets: Sequence[Secret], now: int) -> Verdict:
    # A signature that is there must pass: falling back to the token would let anyone who has seen
    # the token change the body.
    if SIGNATURE_HEADER in headers:
        signing = [secret for secret in secrets if is_signing_secret(secret)]
        if not signing:
            return refused("no_signing_secret")
        return verify_standard_webhook(headers, body, signing, now_unix=now)
    tokens = [secret for secret in secrets if not is_signing_secret(secret)]
    may_hold_commas = any("," in token.value for token in tokens)
    given, problem = _only_value(headers, "x-gitlab-token", may_hold_commas=may_hold_commas)
    if problem:
        return refused(problem)
    if not tokens:
        return refused("missing_signature")
    return first_match(tokens, lambda secret: _is_text(given, secret.value))


def _check_azure(headers: Headers, _: bytes, secrets: Sequence[Secret], __: int) -> Verdict:
    # Azure DevOps signs nothing: the secret is the basic authentication that the hook was given.
    given, problem = _only_value(headers, "authorization")
    if problem:
        return refused(problem)
    match = _BASIC.fullmatch(given)
    try:
        credentials = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        credentials = b""
    if b":" not in credentials:
        return refused("malformed_signature")
    password = credentials.partition(b":")[2]
    if not password:
        return refused("empty_signature")
    return first_match(
        secrets,
        lambda secret: same_bytes(
            credentials if ":" in secret.value else password, secret.value.encode()
        ),
    )


def _check_generic(headers: Headers, body: bytes, secrets: Sequence[Secret], now: int) -> Verdict:
    if SIGNATURE_HEADER in headers:
        return verify_standard_webhook(headers, body, secrets, now_unix=now)
    if "x-pagure-signature-256" not in headers and "x-pagure-signature" in headers:
        return refused("legacy_only")
    return _check_hex(headers, "x-pagure-signature-256", "", body, secrets)


def _check_inner_json(
    headers: Headers, name: str, body: bytes, secrets: Sequence[Secret]
) -> Verdict:
    # Gitea and its kin sign the JSON, then may wrap it in a form: the opposite of GitHub.
    try:
        signed = payload_of_form(body) if is_form(headers) else body
    except MalformedBody:
        return refused("bad_form")
    return _check_hex(headers, name, "", signed, secrets)


def _check_hex(
    headers: Headers, name: str, prefix: str, signed: bytes, secrets: Sequence[Secret]
) -> Verdict:
    given, problem = _only_value(headers, name)
    if problem:
        return refused(problem)
    if given == prefix:
        return refused("empty_signature")
    digits = given.removeprefix(prefix)
    if not given.startswith(prefix) or not _HEX_SHA256.fullmatch(digits):
        return refused("malformed_signature")
    digest = bytes.fromhex(digits)
    return first_match(
        secrets, lambda secret: same_bytes(digest, hmac_sha256(secret.value.encode(), signed))
    )


def _only_value(headers: Headers, name: str, *, may_hold_commas: bool = False) -> tuple[str, str]:
    """Return the header's one value and "", or a reason why there is none."""
    values = headers.every(name)
    if not values:
        return "", "missing_signature"
    # A server joins headers of one name by commas; no proof holds one, only a token may.
    if len(values) > 1 or ("," in values[0] and not may_hold_commas):
        return "", "repeated_signature"
    return values[0], "" if values[0] else "empty_signature"


def _is_text(given: str, wanted: str) -> bool:
    # Servers hand header bytes over as Latin-1; tests and proxies may hand over true text.
    encoded = wanted.encode()
    as_text = same_bytes(given.encode("utf-8", "surrogatepass"), encoded)
    as_bytes = _is_latin(given) and same_bytes(given.encode("latin-1"), encoded)
    return as_text or as_bytes


def _is_latin(text: str) -> bool:
    return all(char <= "\xff" for char in text)


CHECKS: Final[Mapping[HostKind, Check]] = MappingProxyType(
    {
        HostKind.GITHUB: _check_github,
        HostKind.GITLAB: _check_gitlab,
        HostKind.GITEA: _check_gitea,
        HostKind.FORGEJO: _check_forgejo,
        HostKind.GOGS: _check_gogs,
        HostKind.BITBUCKET: _check_bitbucket,
        HostKind.BITBUCKET_DC: _check_bitbucket,
        HostKind.AZURE: _check_azure,
        HostKind.GENERIC: _check_generic,
    }
)
