"""Reads JSON with the place of every key; as strict as RFC 8259, and no key twice; pure."""

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import Any

from governance.domain.policy_source import (
    DEEPEST,
    MOST_DIGITS,
    Place,
    Source,
    Unreadable,
    repeated_key,
)
from governance.domain.policy_values import Fault, Path

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_STRINGS = JSONDecoder(strict=True)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def read_json(text: str) -> Source:
    """Return what a JSON text says.

    Raises:
        Unreadable: not JSON, or nested too deep.
    """
    reader = _Reader(text)
    if not text.strip():
        raise Unreadable("empty", "nothing is written here; {} says nothing", Place(1, 1))
    value = reader.value((), depth=0)
    if reader.at < len(text):
        raise reader.unreadable("something stands after the end")
    return Source(value=value, places=reader.places, faults=tuple(reader.faults))


class _Reader:
    """Reads from left to right; `at` is where the next token starts, spaces already passed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places: dict[Path, Place] = {}
        self.faults: list[tuple[Fault, Place]] = []
        self._line_starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self.at = 0
        self._skip(0)

    def value(self, path: Path, *, depth: int) -> Any:
        """Read one value; its parts are recorded under `path`."""
        if depth > DEEPEST:
            raise Unreadable("too_deep", f"nested more than {DEEPEST} deep", self.place())
        self.places.setdefault(path, self.place())
        next_character = self.text[self.at : self.at + 1]
        if next_character == "{":
            return self._mapping(path, depth=depth)
        if next_character == "[":
            return self._list(path, depth=depth)
        if next_character == '"':
            return self._string()
        return self._number_or_word()

    def place(self) -> Place:
        """Return where the reader is."""
        line = bisect_right(self._line_starts, self.at)
        return Place(line, self.at - self._line_starts[line - 1] + 1)

    def unreadable(self, message: str) -> Unreadable:
        """Return what to raise here."""
        return Unreadable("syntax", f"not JSON: {message}", self.place())

    def _mapping(self, path: Path, *, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._skip(1)
        while not self._took("}"):
            if found and not self._took(","):
                raise self.unreadable("expected , or }")
            if self.text[self.at : self.at + 1] != '"':
                raise self.unreadable("expected a key in double quotes")
            place = self.place()
            key = self._string()
            if not self._took(":"):
                raise self.unreadable("expected :")
            if key in found:
                first = self.places[(*path, key)]
                self.faults.append(repeated_key((*path, key), first=first, again=place))
                # What stands below a repeated key is read, and forgotten, at a path of its own.
                self.value((*path, key, "again"), depth=depth + 1)
            else:
                self.places[(*path, key)] = place
                found[key] = self.value((*path, key), depth=depth + 1)
        return found

    def _list(self, path: Path, *, depth: int) -> list[Any]:
        found: list[Any] = []
        self._skip(1)
        while not self._took("]"):
            if found and not self._took(","):
                raise self.unreadable("expected , or ]")
            found.append(self.value((*path, len(found)), depth=depth + 1))
        return found

    def _string(self) -> str:
        try:
            value, end = _STRINGS.raw_decode(self.text, self.at)
        except JSONDecodeError as error:
            self.at = error.pos
            raise self.unreadable(error.msg.lower()) from error
        self._skip(end - self.at)
        return str(value)

    def _number_or_word(self) -> Any:
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self._skip(len(word))
                return value
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise self.unreadable("expected a value")
        self._skip(len(number[0]))
        # A number that is not whole, or too long, is kept as a float: no key takes one.
        is_whole = number[2] is None and number[3] is None and len(number[0]) <= MOST_DIGITS
        return int(number[0]) if is_whole else float(number[0])

    def _took(self, character: str) -> bool:
        if not self.text.startswith(character, self.at):
            return False
        self._skip(1)
        return True

    def _skip(self, characters: int) -> None:
        spaces = _SPACE.match(self.text, self.at + characters)
        self.at = spaces.end() if spaces else self.at + characters
