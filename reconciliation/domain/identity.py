"""What a task and a finding are called: keys made of stable identifiers only; pure.

The format is versioned (`v1`) and guarded by a golden file: a change of it would make every stored
key wrong. Source: specification, "Each task must include an idempotency key derived from stable
identifiers".
"""

import hashlib
from collections.abc import Iterable

from audit.domain.canonical import sha256_of

KEY_FORMAT = "v1"
NULL_IDS = frozenset({"0" * 40, "0" * 64})


def idempotency_key(
    *, tenant: str, workspace: str, repo: str, branch: str, task_kind: str, subject: str
) -> str:
    """Return the key (64 hex digits) of one piece of work; the same work has the same key for ever.

    `subject` is what the work is about: `before..after@n` for a head that moved, the slot for a
    sweep, lease id and expiry for a renewal, number and head for a pull request.
    """
    return sha256_of([KEY_FORMAT, tenant, workspace, repo, branch, task_kind, subject])


def finding_fingerprint(
    *, tenant: str, repo: str, branch: str, check_kind: str, stable_class: str
) -> str:
    """Return what makes a finding the same finding: never a sha, a count or a duration."""
    return sha256_of([KEY_FORMAT, "finding", tenant, repo, branch, check_kind, stable_class])


def head_move(before: str | None, after: str | None, *, ordinal: int) -> str:
    """Return `before..after@n`; the ordinal tells A→B from a later A→B after B→A."""
    return f"{before or '-'}..{after or '-'}@{ordinal}"


def announcement_subject(moves: Iterable[tuple[str, str | None, str | None]]) -> str:
    """Return the subject of the observation that announced moves ask for.

    `moves` are `(branch, before, after)`. Two hooks that announce one push give one subject, so
    that the push is worked once. More than a few moves are named by their digest.
    """
    parts = sorted({f"{branch}:{before or '-'}..{after or '-'}" for branch, before, after in moves})
    text = "push " + " ".join(parts)
    if len(text) <= 300:
        return text
    return "push sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_null_id(oid: str) -> bool:
    """Return whether an object id is git's "nothing here": 40 zeros, or 64 in SHA-256."""
    return oid in NULL_IDS


def is_absent(head: str | None) -> bool:
    """Return whether a head stands for "nothing here": None, empty, or a null id."""
    return not head or is_null_id(head)
