"""Turns the bytes of a body into one JSON object, or refuses them; guesses nothing."""

import json
import math
from typing import Final

from reconciliation.webhooks.fields import JsonObject
from reconciliation.webhooks.malformed import MalformedBody

MAX_INTEGER_DIGITS: Final = 19
"""Digits of 2**63: no host counts further, and longer ones cost quadratic time to read."""


def read_json_object(body: bytes) -> JsonObject:
    """Return the one object that the body is, or raise MalformedBody.

    Stricter than the JSON module: two members of one name, NaN and infinities, endless integers,
    a byte order mark and anything but UTF-8 are refused, because two readers of such a body need
    not read the same thing, and the signature only proves its bytes.
    """
    if not body:
        raise MalformedBody("empty_body", "the request has no body")
    if body.startswith(b"\xef\xbb\xbf"):
        raise MalformedBody("byte_order_mark", "JSON text must not begin with a byte order mark")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody("not_utf8", f"invalid byte at offset {error.start}") from None
    return JsonObject.of(_parse(text), where="")


def _parse(text: str) -> object:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object_without_twins,
            parse_int=_bounded_integer,
            parse_float=_finite_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise MalformedBody("not_json", f"no JSON at offset {error.pos}") from None
    except RecursionError:
        raise MalformedBody("too_deep", "arrays or objects are nested too deeply") from None


def _object_without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedBody("duplicate_key", "an object names one member twice")
    return members


def _bounded_integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise MalformedBody("number_too_large", f"more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise MalformedBody("number_not_finite", "a number beyond what a float can hold")
    return number


def _refuse_constant(name: str) -> object:
    raise MalformedBody("number_not_finite", f"{name} is not JSON")
