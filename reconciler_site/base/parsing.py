"""Reads JSON bodies of the API; refuses what could not be stored, or could be read in two ways."""

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser

MOST_LEVELS = 64
MOST_ITEMS = 20_000
"""Of one list or object: as many as the largest field of a body takes."""

_Path = tuple[str | int, ...]


class StrictJSONParser(JSONParser):
    """JSON as RFC 8259 has it: UTF-8, each name once in its object, and numbers that are finite.

    Bodies nested too deeply, lists too long, and texts that no database holds (NUL, half of a
    surrogate pair) are the caller's mistake, wherever in the body they are.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the body's value.

        Raises:
            ParseError: it is no JSON, or can be read in two ways.
            ValidationError: something in it cannot be stored; its place is named.
        """
        raw: bytes = stream.read()
        try:
            value = json.loads(
                raw.decode(),
                object_pairs_hook=_object,
                parse_float=_finite,
                parse_constant=_no_number,
            )
        except RecursionError:
            raise ParseError(f"JSON parse error - more than {MOST_LEVELS} levels.") from None
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error
        # Raw control characters are no JSON: what is to be looked for was written as an escape.
        _check(value, has_escapes=b"\\u" in raw)
        return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:100]!r} occurs twice in one object")
    return values


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:30]} is too large")
    return number


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _check(value: Any, *, has_escapes: bool) -> None:
    """Look at every part of a body once; without recursion, as depth is one of the questions."""
    waiting: list[tuple[_Path, Any]] = [((), value)] if isinstance(value, dict | list) else []
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, str):
            _check_text(path, part)
            continue
        if len(path) >= MOST_LEVELS:
            raise ParseError(f"JSON parse error - more than {MOST_LEVELS} levels.")
        if len(part) > MOST_ITEMS:
            raise _refused(path, f"More than {MOST_ITEMS} items.", "max_length")
        waiting += [
            ((*path, key), inner)
            for key, inner in _items(part)
            if isinstance(inner, dict | list) or (has_escapes and isinstance(inner, str))
        ]
        if has_escapes and isinstance(part, dict):
            for key in part:
                _check_text((*path, key), key)


def _items(part: dict[str, Any] | list[Any]) -> Iterator[tuple[str | int, Any]]:
    yield from part.items() if isinstance(part, dict) else enumerate(part)


def _check_text(path: _Path, text: str) -> None:
    if "\x00" in text:
        raise _refused(path, "A text holds a NUL character.", "null_characters_not_allowed")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _refused(
            path, "A text holds half of a surrogate pair.", "surrogate_characters_not_allowed"
        )


def _refused(path: _Path, message: str, code: str) -> ValidationError:
    detail: Any = [message]
    for part in reversed(path):
        detail = {str(part): detail}
    return ValidationError(detail, code=code)
