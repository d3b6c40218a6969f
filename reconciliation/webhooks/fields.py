"""Reads the members of a JSON object by name and type, and says exactly which one was wrong."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, NoReturn, TypeGuard, TypeVar

from reconciliation.webhooks.malformed import MalformedBody
from reconciliation.webhooks.moments import utc_text
from reconciliation.webhooks.refs import Ref, full_ref, object_id, ref_name

MAX_INTEGER: Final = 2**31 - 1
"""Numbers of pull requests and the like; larger ones are no such number."""

# What is stored has bounds; hosts stay far below them, so that only junk is ever cut.
LONGEST_ID: Final = 100
LONGEST_PERSON: Final = 200
LONGEST_FULL_NAME: Final = 300

Word = TypeVar("Word", bound=str)

_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")


class UnusableNumber:
    """A number that is no number for us: over 19 digits, beyond a float, or NaN.

    It refuses nothing by being there; whoever reads it finds a value of a wrong type.
    """

    __slots__ = ()

    def __init__(self, text: str) -> None:
        """Keep nothing of the text: it may be megabytes long."""


class JsonObject:
    """One object of a body together with its place in it (`where`, a JSON pointer).

    `optional_…` readers give None for an absent or null member (and for an empty text, which is
    how Go and .NET hosts write "none"); the others insist. A member of another type than its
    host's contract names raises MalformedBody, whether or not it is needed: half-right bodies are
    not interpreted.
    """

    __slots__ = ("_members", "where")

    def __init__(self, members: Mapping[str, object], *, where: str) -> None:
        self._members = members
        self.where = where

    @classmethod
    def of(cls, value: object, *, where: str) -> "JsonObject":
        """Wrap a parsed value, or raise MalformedBody("not_an_object")."""
        if not _is_object(value):
            raise MalformedBody("not_an_object", f"an object, not {_kind(value)}", where=where)
        return cls(value, where=where)

    def has(self, key: str) -> bool:
        """Tell whether the member is there and not null."""
        return self._members.get(key) is not None

    def child(self, key: str) -> "JsonObject":
        """Return the object under `key`."""
        return JsonObject.of(self._required(key), where=self._at(key))

    def optional_child(self, key: str) -> "JsonObject | None":
        """Return the object under `key`, or None when it is absent or null."""
        return self.child(key) if self.has(key) else None

    def children(self, key: str) -> tuple["JsonObject", ...]:
        """Return the objects in the array under `key`; () when it is absent or null."""
        value = self._members.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._wrong(key, "an array")
        return tuple(
            JsonObject.of(item, where=f"{self._at(key)}/{index}")
            for index, item in enumerate(value)
        )

    def names(self, key: str) -> tuple[str, ...]:
        """Return the names in the array under `key`; () when it is absent or null."""
        value = self._members.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._wrong(key, "an array of text")
        return tuple(ref_name(item, where=self._at(key)) for item in value)

    def one_of(self, key: str, allowed: tuple[Word, ...]) -> Word:
        """Return the member as one of the allowed words, or raise MalformedBody("bad_word")."""
        value = self._required(key)
        for word in allowed:
            if word == value:
                return word
        raise MalformedBody("bad_word", "not one of the words allowed", where=self._at(key))

    def optional_text(self, key: str, *, longest: int) -> str | None:
        """Return text of any kind, cut (see `shortened`) at `longest` characters."""
        value = self._members.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self._wrong(key, "text")
        if _UNSTORABLE.search(value):
            raise MalformedBody("bad_text", "NUL or a lone surrogate", where=self._at(key))
        return shortened(value, longest=longest)

    def name(self, key: str) -> str:
        """Return a name: not empty, no control characters, at most 1,000 bytes."""
        value = self._required(key)
        if not isinstance(value, str):
            self._wrong(key, "text")
        return ref_name(value, where=self._at(key))

    def optional_name(self, key: str) -> str | None:
        """Return a name, or None when it is absent, null or empty."""
        return None if self._members.get(key) in (None, "") else self.name(key)

    def full_name(self, key: str) -> str:
        """Return a repository's full name, cut (see `shortened`) at 300 characters."""
        return shortened(self.name(key), longest=LONGEST_FULL_NAME)

    def optional_full_name(self, key: str) -> str | None:
        """Return a repository's full name, or None when it is absent, null or empty."""
        return None if self._members.get(key) in (None, "") else self.full_name(key)

    def person(self, key: str) -> str | None:
        """Return who it was, cut at 200 characters; None when the host does not say."""
        name = self.optional_name(key)
        return shortened(name, longest=LONGEST_PERSON) if name else None

    def identifier(self, key: str) -> str:
        """Return a host's stable id as text; hosts write numbers or UUIDs."""
        value = self._required(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return str(value)
        return shortened(self.name(key), longest=LONGEST_ID)

    def optional_identifier(self, key: str) -> str | None:
        """Return a host's stable id as text, or None when it is absent, null or empty."""
        return None if self._members.get(key) in (None, "") else self.identifier(key)

    def number(self, key: str) -> int:
        """Return a whole number from 0 to 2**31 - 1, such as that of a pull request."""
        value = self._required(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_INTEGER:
            self._wrong(key, f"a whole number up to {MAX_INTEGER}")
        return value

    def flag(self, key: str) -> bool | None:
        """Return true or false, or None when the member is absent or null."""
        value = self._members.get(key)
        if value is not None and not isinstance(value, bool):
            self._wrong(key, "true or false")
        return value

    def ref(self, key: str) -> Ref:
        """Return a full ref name, split into kind and short name."""
        return full_ref(self.name(key), where=self._at(key))

    def object_id(self, key: str) -> str | None:
        """Return a full object id; None for the null id. The member itself must be there."""
        return object_id(self.name(key), where=self._at(key))

    def optional_object_id(self, key: str, *, may_be_short: bool = False) -> str | None:
        """Return an object id; None when it is absent, null, empty or the null id."""
        text = self.optional_name(key)
        if text is None:
            return None
        return object_id(text, where=self._at(key), may_be_short=may_be_short)

    def commit(self, key: str) -> str:
        """Return the full id of an object that must exist: the null id is refused."""
        found = self.object_id(key)
        if found is None:
            raise MalformedBody("bad_object_id", "the null id", where=self._at(key))
        return found

    def moment(self, key: str) -> str | None:
        """Return a time as ISO 8601 text in UTC; None when it is absent or cannot be read."""
        value = self._members.get(key)
        if value is None:
            return None
        if isinstance(value, UnusableNumber):
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._wrong(key, "a time as text or number")
        return utc_text(value)

    def _required(self, key: str) -> object:
        value = self._members.get(key)
        if value is None:
            raise MalformedBody("missing", "absent or null", where=self._at(key))
        return value

    def _at(self, key: str) -> str:
        return f"{self.where}/{key}"

    def _wrong(self, key: str, wanted: str) -> NoReturn:
        found = _kind(self._members.get(key))
        raise MalformedBody("wrong_type", f"{wanted}, not {found}", where=self._at(key))


def shortened(text: str, *, longest: int) -> str:
    """Return the text, or where it is longer its beginning and a digest that keeps it distinct."""
    if len(text) <= longest:
        return text
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[: longest - 9]}~{digest}"


def lives_elsewhere(head: JsonObject | None, base: JsonObject, *, id_key: str, name: str) -> bool:
    """Tell whether a pull request's head is in another repository than its base.

    By the ids *or* the full names: either may be the same by a mistake, or by intent. A head
    repository that is gone was a fork.
    """
    if head is None or head.identifier(id_key) != base.identifier(id_key):
        return True
    return head.full_name(name) != base.full_name(name)


def joined_name(*parts: str) -> str:
    """Return a full name made of parts already read, cut as any other full name."""
    return shortened("/".join(parts), longest=LONGEST_FULL_NAME)


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")


_KINDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "text",
    int: "a number",
    float: "a number",
    UnusableNumber: "a number out of all bounds",
    bool: "true or false",
    type(None): "null",
}
