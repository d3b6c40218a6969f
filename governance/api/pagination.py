"""Keyset pages: constant cost at any depth, stable while rows are added."""

from typing import Any

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
