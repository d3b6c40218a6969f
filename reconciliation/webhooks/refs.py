"""Tells branches from tags and object ids from noise, as hosts write them; asks nobody."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from governance.domain.refs import is_ref_name
from reconciliation.webhooks.malformed import MalformedBody

RefType = Literal["branch", "tag"]

MAX_NAME_BYTES: Final = 1000
"""Longest ref or repository name taken over, in UTF-8 bytes; git hosts stop at 255."""

SHORTEST_ABBREVIATION: Final = 7

_HEADS: Final = "refs/heads/"
_TAGS: Final = "refs/tags/"
_FULL_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED_ID: Final = re.compile(r"[0-9a-f]{7,64}")
_NULL_IDS: Final = frozenset({"0" * 40, "0" * 64})
_UNNAMEABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Ref:
    """A ref by kind and short name. Kind None: neither branch nor tag (refs/pull/4/head)."""

    kind: RefType | None
    name: str


def full_ref(text: str, *, where: str) -> Ref:
    """Split a full ref name; exactly one prefix is taken off ("refs/heads/refs/heads/odd").

    Raises MalformedBody: "bad_ref" for a short name where the host promises a full one, "bad_name"
    for one that git refuses.
    """
    checked = ref_name(text, where=where)
    if checked.startswith(_HEADS) and checked != _HEADS:
        return Ref("branch", as_git_has_it(checked.removeprefix(_HEADS), where=where))
    if checked.startswith(_TAGS) and checked != _TAGS:
        return Ref("tag", as_git_has_it(checked.removeprefix(_TAGS), where=where))
    if not checked.startswith("refs/") or checked in (_HEADS, _TAGS):
        raise MalformedBody("bad_ref", "a full ref name (refs/...) was expected", where=where)
    return Ref(None, checked)


def branch_of(text: str, *, where: str) -> str:
    """Return the branch of a full ref, or the text itself where the ref is of another kind."""
    if text.startswith(_HEADS):
        return full_ref(text, where=where).name
    return ref_name(text, where=where)


def as_git_has_it(name: str, *, where: str) -> str:
    """Return the short name of a branch or tag, or raise MalformedBody("bad_name") as git would."""
    if not is_ref_name(name):
        raise MalformedBody("bad_name", "git refuses a ref of this name", where=where)
    return name


def ref_name(text: str, *, where: str) -> str:
    """Return the name exactly as git has it, or raise MalformedBody("bad_name").

    Refused: empty, over 1,000 bytes, control characters and NUL (git forbids them), and lone
    surrogates (JSON can write them, UTF-8 cannot, so no git server can hold such a name).
    """
    if not text or _UNNAMEABLE.search(text):
        raise MalformedBody("bad_name", "empty, or characters that no name can hold", where=where)
    if len(text.encode()) > MAX_NAME_BYTES:
        raise MalformedBody("bad_name", f"longer than {MAX_NAME_BYTES} bytes", where=where)
    return text


def object_id(text: str, *, where: str, may_be_short: bool = False) -> str | None:
    """Return a git object id in lower case; None for the null id (40 or 64 zeros: no object).

    With `may_be_short` an abbreviation of 7 digits or more is kept as given (Bitbucket Cloud
    announces the commits of pull requests with 12 digits). Raises MalformedBody("bad_object_id").
    """
    lowered = text.lower() if text.isascii() else ""
    if lowered in _NULL_IDS:
        return None
    if not (_ABBREVIATED_ID if may_be_short else _FULL_ID).fullmatch(lowered):
        raise MalformedBody("bad_object_id", "not a git object id", where=where)
    return lowered
