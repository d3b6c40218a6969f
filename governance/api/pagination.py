"""Keyset pages: constant cost at any depth, stable while rows are added."""

from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Field
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination


class KeysetPagination(CursorPagination):
    """Opaque `next`/`previous` links; `page_size` up to 200, newest first by primary key."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """Use the view's `keyset` when it names one; its last field must be unique."""
        ordering = getattr(view, "keyset", self.ordering)
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        """Return one page; a cursor that somebody made up is not found, rather than an error."""
        cursor = self.decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            column = self.get_ordering(request, queryset, view)[0].lstrip("-")
            if not _could_be(str(cursor.position), queryset.model, column):
                raise NotFound(self.invalid_cursor_message)
        page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        return page


def _could_be(position: str, model: Any, column: str) -> bool:
    """Return whether `position` is a value that this column can be compared with."""
    if "\x00" in position:
        return False
    try:
        field = model._meta.get_field(column)
    except FieldDoesNotExist:
        return True  # an annotation, or a column of a related table
    try:
        if isinstance(field, Field):
            field.to_python(position)
    except ValidationError:
        return False
    return True
