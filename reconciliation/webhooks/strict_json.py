"""Turns the bytes of a body into one JSON object, or refuses them; guesses nothing."""

import json
import math
import re
from typing import Final

from reconciliation.webhooks.fields import JsonObject, UnusableNumber
from reconciliation.webhooks.malformed import MalformedBody

MAX_INTEGER_DIGITS: Final = 19
"""Digits of 2**63: no host counts further, and longer ones cost quadratic time to read."""

DEEPEST: Final = 100
"""Nothing that is read lies deeper; what does is not looked at where it is too deep to parse."""

_MARK: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_CLOSING: Final = {"[": "]", "{": "}"}


def read_json_object(body: bytes) -> JsonObject:
    """Return the one object that the body is, or raise MalformedBody.

    Two members of one name, a byte order mark and anything but UTF-8 are refused, because two
    readers of such a body need not read the same thing, and the signature only proves its bytes.
    What nobody reads refuses nothing: a number without end, NaN and what is nested very deeply
    become values that only their reader refuses.
    """
    if not body:
        raise MalformedBody("empty_body", "the request has no body")
    if body.startswith(b"\xef\xbb\xbf"):
        raise MalformedBody("byte_order_mark", "JSON text must not begin with a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody("not_utf8", f"invalid byte at offset {error.start}") from None
    try:
        document = _parse(text)
    except RecursionError:
        document = _parse(_without_depths(text))
    return JsonObject.of(document, where="")


def _parse(text: str) -> object:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object_without_twins,
            parse_int=_bounded_integer,
            parse_float=_finite_number,
            parse_constant=UnusableNumber,
        )
    except json.JSONDecodeError as error:
        raise MalformedBody("not_json", f"no JSON at offset {error.pos}") from None


def _without_depths(text: str) -> str:
    """Return the text with null in place of every array and object below 100 others."""
    closing: list[str] = []
    pieces: list[str] = []
    kept_from = 0
    for match in _MARK.finditer(text):
        mark = match[0]
        if mark in _CLOSING:
            closing.append(_CLOSING[mark])
            if len(closing) == DEEPEST + 1:
                pieces.append(text[kept_from : match.start()])
        elif mark in "]}":
            if not closing or closing.pop() != mark:
                raise MalformedBody("not_json", f"no JSON at offset {match.start()}")
            if len(closing) == DEEPEST:
                pieces.append("null")
                kept_from = match.end()
    if closing:
        raise MalformedBody("not_json", f"no JSON at offset {len(text)}")
    return "".join([*pieces, text[kept_from:]])


def _object_without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedBody("duplicate_key", "an object names one member twice")
    return members


def _bounded_integer(digits: str) -> int | UnusableNumber:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        return UnusableNumber(digits)
    return int(digits)


def _finite_number(text: str) -> float | UnusableNumber:
    number = float(text)
    return number if math.isfinite(number) else UnusableNumber(text)
