"""Keyset pages over any unique order: constant cost at any depth, stable while rows are added.

A cursor holds the keys of the row it starts behind, signed, so that it fits only the list and the
order that gave it and can be trusted when it comes back.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core import signing
from django.core.exceptions import BadRequest
from django.db.models import Q
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

NEWEST_FIRST = ("-id",)
DEFAULT_SIZE = 50
LARGEST_SIZE = 200

_FORWARD, _BACKWARD = "after", "before"


class UnknownCursor(BadRequest):
    """A cursor that this list never gave: somebody made it up, or it is another list's."""


def signed_cursor(list_name: str, position: Sequence[Any]) -> str:
    """Return the cursor of a position (JSON values) in a list and an order of it."""
    return signing.Signer(salt=list_name).sign_object(list(position))


def position_of(list_name: str, cursor: str) -> list[Any]:
    """Return the position that a cursor holds; an empty one for no cursor, which is the start.

    Raises:
        UnknownCursor: this list did not give it.
    """
    if not cursor:
        return []
    try:
        position: list[Any] = signing.Signer(salt=list_name).unsign_object(cursor)
    except (signing.BadSignature, ValueError) as error:
        raise UnknownCursor("This list did not give that cursor; begin without one.") from error
    return position


class KeysetPages(BasePagination):
    """Pages in the order of the view's `keyset`: columns, `-` for descending, together unique.

    Without one: newest first, by id. Columns of a keyset are never null. Rows are mappings, or
    objects with those attributes.
    """

    query_names = ("cursor", "page_size")

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """Return one page of rows.

        Raises:
            ValidationError: a cursor that this list never gave, or a size that is no number.
        """
        keyset: tuple[str, ...] = getattr(view, "keyset", NEWEST_FIRST)
        self._address = request.build_absolute_uri()
        self._list = f"{request.path} {' '.join(keyset)}"
        size = _size(request)
        direction, position = self._read_cursor(request.query_params.get("cursor", ""))
        order = keyset if direction != _BACKWARD else tuple(map(_reversed, keyset))
        rows = queryset.order_by(*order)
        if position:
            rows = rows.filter(_beyond(order, position))
        found = list(rows[: size + 1])
        page, has_more = found[:size], len(found) > size
        if direction == _BACKWARD:
            page.reverse()
        has_next = has_more if direction != _BACKWARD else bool(page)
        has_previous = has_more if direction == _BACKWARD else bool(page and position)
        self._next = self._link(_FORWARD, page[-1], keyset) if has_next else None
        self._previous = self._link(_BACKWARD, page[0], keyset) if has_previous else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page with the addresses of its neighbours."""
        return Response({"next": self._next, "previous": self._previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Describe a page."""
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**link, "description": "Address of the next page; null: the last one."},
                "previous": {**link, "description": "Address of the page before."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Describe the query parameters of a page."""
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "Follow `next` and `previous` instead of making one.",
                "schema": {"type": "string"},
            },
            {
                "name": "page_size",
                "in": "query",
                "required": False,
                "description": f"Rows of a page; more than {LARGEST_SIZE} gives {LARGEST_SIZE}.",
                "schema": {"type": "integer", "minimum": 1, "default": DEFAULT_SIZE},
            },
        ]

    def _read_cursor(self, text: str) -> tuple[str, list[Any]]:
        try:
            stored = position_of(self._list, text)
        except UnknownCursor as error:
            raise ValidationError({"cursor": str(error)}) from error
        return (stored[0], stored[1]) if stored else (_FORWARD, [])

    def _link(self, direction: str, row: Any, keyset: Sequence[str]) -> str:
        position = [_value(row, column.removeprefix("-")) for column in keyset]
        cursor = signed_cursor(self._list, [direction, position])
        return replace_query_param(remove_query_param(self._address, "cursor"), "cursor", cursor)


def _size(request: Request) -> int:
    asked = request.query_params.get("page_size", "")
    if not asked:
        return DEFAULT_SIZE
    if not (asked.isascii() and asked.isdecimal()) or int(asked[:9]) < 1:
        raise ValidationError({"page_size": f"Give a number from 1 to {LARGEST_SIZE}."})
    return min(int(asked[:9]), LARGEST_SIZE)


def _reversed(column: str) -> str:
    return column.removeprefix("-") if column.startswith("-") else f"-{column}"


def _beyond(order: Sequence[str], position: Sequence[Any]) -> Q:
    """Return the condition that a row comes after `position` in `order`, for any mix of directions.

    The first column's bound stands alone too: it lets an index that begins with it start there.
    """
    condition = Q()
    same = Q()
    for column, value in zip(order, position, strict=True):
        name = column.removeprefix("-")
        step = "lt" if column.startswith("-") else "gt"
        condition |= same & Q(**{f"{name}__{step}": value})
        same &= Q(**{name: value})
    first = order[0].removeprefix("-")
    bound = "lte" if order[0].startswith("-") else "gte"
    return Q(**{f"{first}__{bound}": position[0]}) & condition


def _value(row: Any, column: str) -> Any:
    value = row[column] if isinstance(row, Mapping) else _attribute(row, column)
    return value.isoformat() if isinstance(value, datetime) else value


def _attribute(row: Any, column: str) -> Any:
    for name in column.split("__"):
        row = getattr(row, name)
    return row
