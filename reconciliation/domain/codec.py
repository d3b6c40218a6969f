"""Facts and decisions to plain JSON values and back, so that stored ones can be replayed; pure."""

from dataclasses import MISSING, field, fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from audit.domain.canonical import utc_text

T = TypeVar("T")


_LATER = "later"
_AS_THEY_ARE = frozenset({str, int, bool, NoneType})


def later(default: T) -> T:
    """Return a field that a later version added: at its default it is left out when stored.

    So facts and decisions that were stored before it was there keep their bytes, and replay.
    """
    return field(default=default, metadata={_LATER: True})


def encode(value: Any) -> Any:
    """Return a frozen value as JSON values: datetimes as UTC text, tuples as lists."""
    if type(value) in _AS_THEY_ARE:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: encode(item)
            for name, default in _stored_fields(type(value))
            if (item := getattr(value, name)) != default
        }
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], value: Any) -> T:
    """Return the value of type `kind` that `encode` made `value` from."""
    result: T = _decode(kind, value)
    return result


def _decode(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        if value is None:
            return None
        return _decode(next(arg for arg in get_args(kind) if arg is not NoneType), value)
    if origin is tuple:
        arguments = get_args(kind)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], item) for item in value)
        return tuple(_decode(part, item) for part, item in zip(arguments, value, strict=True))
    if isinstance(kind, type) and is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _decode(hints[name], item) for name, item in value.items()})
    if kind is datetime:
        return datetime.fromisoformat(value).astimezone(UTC)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    return value


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _stored_fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    """Return each field with the value at which it is left out; MISSING, so never, for most."""
    return tuple(
        (one.name, one.default if one.metadata.get(_LATER) else MISSING) for one in fields(kind)
    )
