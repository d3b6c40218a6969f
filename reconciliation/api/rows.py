"""Serializers over plain rows: what is declared for the schema is also what is read and shown."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from rest_framework import serializers

from audit.domain.canonical import utc_text


class RowSerializer(serializers.Serializer[Mapping[str, Any]]):
    """Shows one row of `.values()`. Each field is a column; `source` names it when they differ.

    Rows are taken over by name: a field-by-field walk through DRF costs ten times as much. Fields
    in `computed` are no columns; `to_representation` of the subclass, or `RowList.enrich`, fills
    them in.
    """

    computed: frozenset[str] = frozenset()

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Return the columns that the query must select."""
        return tuple(column for _, column, _ in _plan(cls))

    def to_representation(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the caller gets."""
        shown = {
            name: shown_time(row[column]) if is_time else row[column]
            for name, column, is_time in _plan(type(self))
        }
        for name in self.computed:
            if name in row:
                shown[name] = row[name]
        return shown


def shown_rows(
    kind: type[RowSerializer], rows: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return rows as the API shows them."""
    serializer = kind()
    return [serializer.to_representation(row) for row in rows]


def shown_time(moment: datetime | None) -> str | None:
    """Return a moment as the API writes it, UTC with microseconds; None stays None."""
    return None if moment is None else utc_text(moment)


@cache
def _plan(kind: type[RowSerializer]) -> tuple[tuple[str, str, bool], ...]:
    declared: Mapping[str, Any] = kind._declared_fields
    return tuple(
        (name, field.source or name, isinstance(field, serializers.DateTimeField))
        for name, field in declared.items()
        if name not in kind.computed
    )
