"""What the views of this API share: who calls, lists of plain rows, and one way to say no."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import Caller, caller_of
from reconciler_site.base.queries import StrictQuery
from reconciliation.api.rows import RowSerializer, shown_rows


class RowList(StrictQuery, generics.ListAPIView[Any]):
    """A list of plain rows, filtered, in keyset pages; a constant number of queries."""

    keyset: tuple[str, ...] = ("-id",)
    serializer_class: type[RowSerializer]

    def visible(self, caller: Caller) -> QuerySet[Any]:
        """Return what the caller may see; the one place where a list is scoped by tenant."""
        raise NotImplementedError

    def enrich(self, rows: Sequence[dict[str, Any]], caller: Caller) -> None:
        """Add to the rows of one page what their own query does not give; nothing by default."""

    def get_queryset(self) -> QuerySet[Any]:
        """Return the rows as dicts."""
        rows: QuerySet[Any] = self.visible(caller_of(self.request)).values(
            *self.serializer_class.columns()
        )
        return rows

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one page."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        rows: list[dict[str, Any]] = list(page or [])
        self.enrich(rows, caller_of(request))
        return self.get_paginated_response(shown_rows(self.serializer_class, rows))


def accepted_work(tasks: Sequence[int], *, act: str) -> dict[str, Any]:
    """Return how work that was queued is answered: 202, and where to watch it.

    One task is watched itself, several by the trace of the act that queued them.
    """
    if len(tasks) == 1:
        return {"status": 202, "headers": {"Location": reverse("api-task", args=tasks)}}
    return {"status": 202, "headers": {"Location": reverse("api-trace", args=[act])}}


def user_id_of(request: Any) -> int | None:
    """Return the logged-in person's id; None for the bearer of a token."""
    user = getattr(request, "user", None)
    return user.pk if user is not None and user.is_authenticated else None
