"""Makes secrets for webhook sources, in the form in which their host can use them."""

import base64
import secrets

from reconciliation.webhooks.hosts import HostKind

_KEY_BYTES = 32


def new_secret(host: str, *, signing: bool = False) -> str:
    """Return an unguessable secret.

    Senders after Standard Webhooks, and GitLab's `Signing token`, take `whsec_` and base64, and
    sign with what it stands for; all others take any text.
    """
    if signing or host == HostKind.GENERIC:
        return f"whsec_{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"
    return secrets.token_urlsafe(_KEY_BYTES)
