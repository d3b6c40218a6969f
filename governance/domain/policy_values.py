"""The kinds of values a policy holds: what is allowed, and its one canonical form; pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from audit.domain.canonical import canonical_json, utc_text

MOST_ITEMS = 500
MOST_CHARACTERS = 200

Path = tuple[str | int, ...]
"""Where a value lies in a document: `("alerts", "escalation", 0, "role")`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a document, at a path; `code` is stable, `message` names the way out.

    Severity is `error`, which refuses the document, or `warning`, which does not.
    """

    path: Path
    code: str
    message: str
    severity: str = "error"


class Kind(Protocol):
    """What a kind of value must answer."""

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield what is wrong with `value`."""

    def canonical(self, value: Any) -> Any:
        """Return the one form of a value without faults: same meaning, same bytes."""

    def describe(self) -> str:
        """Return the allowed values in a few words."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number between two bounds, both allowed."""

    low: int
    high: int

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield a wrong type or a number out of range."""
        if type(value) is not int:
            yield wrong_type(path, "a whole number", value)
        elif not self.low <= value <= self.high:
            yield Fault(path, "out_of_range", f"must be {self.describe()}, not {value}")

    def canonical(self, value: Any) -> Any:
        """Return the number."""
        return value

    def describe(self) -> str:
        """Return both bounds."""
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield a wrong type."""
        if not isinstance(value, bool):
            yield wrong_type(path, "true or false", value)

    def canonical(self, value: Any) -> Any:
        """Return the flag."""
        return value

    def describe(self) -> str:
        """Return both values."""
        return "true or false"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words, from the lowest to the highest."""

    words: tuple[str, ...]

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield an unknown word."""
        if value not in self.words:
            message = f"must be one of {self.describe()}, not {shown(value)}"
            yield Fault(path, "not_a_choice", message)

    def canonical(self, value: Any) -> Any:
        """Return the word."""
        return value

    def describe(self) -> str:
        """Return all words."""
        return ", ".join(self.words)


@dataclass(frozen=True, slots=True)
class Text:
    """A short text; `trouble` says what is wrong with one, or nothing."""

    what: str
    trouble: Callable[[str], str]
    may_be_empty: bool = False

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield a wrong type, a wrong length or what `trouble` says."""
        if not isinstance(value, str):
            yield wrong_type(path, "text", value)
        elif len(value) > MOST_CHARACTERS:
            yield Fault(path, "too_long", f"must have at most {MOST_CHARACTERS} characters")
        elif not value.strip():
            if value or not self.may_be_empty:
                yield Fault(path, "blank", "must not be blank")
        elif message := _unprintable(value) or self.trouble(value):
            yield Fault(path, "malformed", f"{shown(value)} {message}")

    def canonical(self, value: Any) -> Any:
        """Return the text exactly as it is: git tells Unicode forms apart."""
        return value

    def describe(self) -> str:
        """Return what the text is."""
        return self.what


@dataclass(frozen=True, slots=True)
class SetOf:
    """A list whose order means nothing: canonically sorted by code point, each item once."""

    item: Text

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield a wrong type, too many items, and the faults of each item."""
        if not isinstance(value, list):
            yield wrong_type(path, "a list", value)
            return
        yield from _too_many(value, path)
        for index, item in enumerate(value):
            yield from self.item.faults(item, (*path, index))

    def canonical(self, value: Any) -> Any:
        """Return the items sorted, each once."""
        return sorted(set(value))

    def describe(self) -> str:
        """Return what the items are."""
        return f"list of {self.item.what}s"


@dataclass(frozen=True, slots=True)
class Records:
    """A list of mappings with the same fields; `check` sees the whole list when each is right."""

    fields: tuple[tuple[str, Kind], ...]
    order: Callable[[Any], Any]
    check: Callable[[Sequence[Any], Path], Iterator[Fault]]

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield wrong types, unknown and missing fields, faults of fields, then of the list."""
        if not isinstance(value, list):
            yield wrong_type(path, "a list", value)
            return
        found = list(_too_many(value, path))
        for index, record in enumerate(value):
            found += self._record_faults(record, (*path, index))
        yield from found
        if not found:
            yield from self.check(value, path)

    def _record_faults(self, record: Any, path: Path) -> Iterator[Fault]:
        if not isinstance(record, dict):
            yield wrong_type(path, "a mapping", record)
            return
        kinds = dict(self.fields)
        for name in record:
            if name not in kinds:
                message = f"unknown key; there are {', '.join(kinds)}"
                yield Fault((*path, name), "unknown_key", message)
        for name, kind in self.fields:
            if name not in record:
                yield Fault(path, "missing_key", f"`{name}` is missing")
            else:
                yield from kind.faults(record[name], (*path, name))

    def canonical(self, value: Any) -> Any:
        """Return the records in order, each once, each field canonical."""
        records = [
            {name: kind.canonical(record[name]) for name, kind in self.fields} for record in value
        ]
        unique = {canonical_json(record): record for record in records}
        return sorted(
            unique.values(), key=lambda record: (self.order(record), canonical_json(record))
        )

    def describe(self) -> str:
        """Return the fields of a record."""
        return f"list of {{{', '.join(name for name, _ in self.fields)}}}"


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant with its offset, such as `2026-01-31T12:00:00Z`; canonically UTC."""

    def faults(self, value: Any, path: Path) -> Iterator[Fault]:
        """Yield what is no instant."""
        if not isinstance(value, str):
            yield wrong_type(path, "an instant such as 2026-01-31T12:00:00Z", value)
        elif _instant(value) is None:
            message = f"{shown(value)} is no instant; write such as 2026-01-31T12:00:00Z"
            yield Fault(path, "malformed", message)

    def canonical(self, value: Any) -> Any:
        """Return the instant in UTC with microseconds."""
        moment = _instant(value)
        assert moment is not None, "canonical() is for values without faults"  # noqa: S101 - proof
        return utc_text(moment)

    def describe(self) -> str:
        """Return the form."""
        return "instant"


def _instant(value: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _too_many(value: Sequence[Any], path: Path) -> Iterator[Fault]:
    if len(value) > MOST_ITEMS:
        yield Fault(path, "too_many", f"must have at most {MOST_ITEMS} items, not {len(value)}")


def _unprintable(value: str) -> str:
    if all(character.isprintable() for character in value):
        return ""
    return "holds characters that cannot be printed"


def wrong_type(path: Path, wanted: str, value: Any) -> Fault:
    """Return the fault of a value that is of another kind than `wanted`."""
    return Fault(path, "wrong_type", f"must be {wanted}, not {shown(value)}")


def shown(value: Any) -> str:
    """Return a value as messages show it: short, on one line, in ASCII."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
