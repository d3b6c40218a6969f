"""Takes the JSON out of a form-encoded body, strictly; knows one field name and no others."""

from typing import Final

from reconciliation.webhooks.headers import Headers
from reconciliation.webhooks.malformed import MalformedBody

FORM_TYPE: Final = "application/x-www-form-urlencoded"

MAX_FIELDS: Final = 16
"""Hosts send one. Forms are taken apart before they are proven, so a flood of fields ends early."""

_BYTES: Final = {
    f"{byte:{style}}".encode(): bytes([byte]) for byte in range(256) for style in ("02x", "02X")
} | {
    # Mixed case such as %aF is legal too.
    f"{high}{low}".encode(): bytes([int(high + low, 16)])
    for high in "abcdefABCDEF"
    for low in "abcdefABCDEF"
}


def is_form(headers: Headers) -> bool:
    """Tell whether the request says that its body is a form."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE


def payload_of_form(body: bytes) -> bytes:
    """Return the value of the form's one `payload` field, decoded.

    Raises MalformedBody("bad_form") when the field is absent or repeated, an escape is broken, or
    there are more than 16 fields: the two readers of a form (who signs, who parses) must see the
    same bytes.
    """
    fields = body.split(b"&", MAX_FIELDS)
    if len(fields) > MAX_FIELDS:
        raise MalformedBody("bad_form", f"more than {MAX_FIELDS} fields")
    values = [
        value
        for name, separator, value in (field.partition(b"=") for field in fields)
        if separator and _decoded(name) == b"payload"
    ]
    if len(values) != 1:
        raise MalformedBody("bad_form", "exactly one field named payload was expected")
    return _decoded(values[0])


def _decoded(text: bytes) -> bytes:
    first, *escaped = text.replace(b"+", b" ").split(b"%")
    try:
        return first + b"".join(_BYTES[part[:2]] + part[2:] for part in escaped)
    except KeyError:
        raise MalformedBody("bad_form", "an escape is not % and two hexadecimal digits") from None
