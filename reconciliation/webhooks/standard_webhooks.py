"""Verifies the Standard Webhooks scheme: id, time and body under one signature.

Source: standardwebhooks.com, as GitLab's signing token uses it too. Signed is
`{webhook-id}.{webhook-timestamp}.{body}`; the header lists one `v1,<base64>` per live key of the
sender, parted by spaces.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Final

from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.matching import (
    Secret,
    Verdict,
    first_match,
    hmac_sha256,
    refused,
    same_bytes,
)

SIGNATURE_HEADER: Final = "webhook-signature"
TOLERANCE_SECONDS: Final = 300
"""How far the sender's clock may be off, and how old a replay may be, in both directions."""

MAX_SIGNATURES: Final = 16

_ID_HEADER: Final = "webhook-id"
_TIME_HEADER: Final = "webhook-timestamp"
_PREFIX: Final = "whsec_"
_ID: Final = re.compile(r"[!-~]{1,256}")
_TIME: Final = re.compile(r"[0-9]{1,12}")
_JOINED: Final = re.compile(r"=,\s*v1")
"""Two headers of one name, as servers join them: a list of signatures has blanks between them."""
_V1: Final = re.compile(r"v1,([0-9A-Za-z+/]{43}=)")


def is_signing_secret(secret: Secret) -> bool:
    """Tell whether the secret is one that signs (whsec_…) rather than a token sent in plain."""
    return secret.value.startswith(_PREFIX)


def key_of(secret: Secret) -> bytes:
    """Return the key that a secret stands for; b"" for a broken `whsec_`, which proves nothing."""
    if not is_signing_secret(secret):
        return secret.value.encode()
    try:
        return base64.b64decode(secret.value.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""


def verify_standard_webhook(
    headers: Headers, body: bytes, secrets: Sequence[Secret], *, now_unix: int
) -> Verdict:
    """Tell whether one of the secrets signed this id, time and body, and did so just now.

    The key of a `whsec_` secret is what its base64 stands for, that of any other its own text. The
    time is judged before the signature, as it costs nothing, and proves nothing by itself.
    """
    problem = _shape_problem(headers) or _time_problem(headers, now_unix=now_unix)
    if problem:
        return refused(problem)
    digests = [base64.b64decode(signature) for signature in _signatures(headers)]
    message_id, sent_at = headers[_ID_HEADER], headers[_TIME_HEADER]
    signed = b".".join((message_id.encode(), sent_at.encode(), body))
    return first_match(secrets, lambda secret: _is_signed(secret, signed, digests))


def _shape_problem(headers: Headers) -> str:
    if any(len(headers.every(name)) > 1 for name in (SIGNATURE_HEADER, _ID_HEADER, _TIME_HEADER)):
        return "repeated_signature"
    if _JOINED.search(headers.get(SIGNATURE_HEADER, "")) or "," in headers.get(_TIME_HEADER, ""):
        return "repeated_signature"
    if SIGNATURE_HEADER not in headers:
        return "missing_signature"
    if not headers[SIGNATURE_HEADER]:
        return "empty_signature"
    well_formed = 0 < len(_signatures(headers)) <= MAX_SIGNATURES
    if not well_formed or not _ID.fullmatch(headers.get(_ID_HEADER, "")):
        return "malformed_signature"
    return ""


def _time_problem(headers: Headers, *, now_unix: int) -> str:
    sent_at = headers.get(_TIME_HEADER, "")
    if not _TIME.fullmatch(sent_at):
        return "malformed_timestamp"
    if abs(now_unix - int(sent_at)) <= TOLERANCE_SECONDS:
        return ""
    return "stale_timestamp" if int(sent_at) < now_unix else "future_timestamp"


def _signatures(headers: Headers) -> list[str]:
    # Schemes other than v1 (v1a is asymmetric) are passed over, as the standard asks.
    return [match[1] for match in map(_V1.fullmatch, headers[SIGNATURE_HEADER].split(" ")) if match]


def _is_signed(secret: Secret, signed: bytes, digests: Sequence[bytes]) -> bool:
    key = key_of(secret)
    if not key:
        return False
    wanted = hmac_sha256(key, signed)
    return any([same_bytes(digest, wanted) for digest in digests])  # noqa: C419 - try them all
