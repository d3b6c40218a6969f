"""Reads the policies that stored decisions were made under, and makes sure of their digests."""

import hashlib
import json

from governance.domain.policy import Policy, policy_from_document
from reconciliation.models import Evaluation

_MOST_KEPT = 200


class NotThePolicy(ValueError):
    """The stored document of a policy is another one than its digest says, or is no policy."""


class StoredPolicies:
    """The policies that decisions were made under: a few, used again and again."""

    def __init__(self) -> None:
        self._known: dict[str, Policy] = {}

    def under(self, digest: str) -> Policy:
        """Return the policy of this digest, which some stored decision names.

        Raises:
            NotThePolicy: its document was changed, or cannot be read as a policy.
        """
        known = self._known.get(digest)
        if known is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            known = self._known[digest] = _read(digest)
        return known


def _read(digest: str) -> Policy:
    under_it = Evaluation.objects.filter(policy_id=digest).order_by("id")
    text = under_it.values_list("policy__document", flat=True)[0]
    actual = hashlib.sha256(text.encode()).hexdigest()
    if actual != digest:
        raise NotThePolicy(f"the document of policy {digest} has the digest {actual}")
    try:
        return policy_from_document(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise NotThePolicy(f"policy {digest}: {type(error).__name__}: {error}") from error
