"""Reads the filters in the address of a list in the admin; refuses what a database would refuse.

Django takes any lookup on any column of the list's own and hands most values on as they are.
"""

from typing import Any, Final

from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import BadRequest, ValidationError
from django.db import models
from django.http import QueryDict

from reconciler_site.base.bodies import LARGEST_INTEGER
from reconciler_site.base.filters import LONGEST_SEARCH
from reconciler_site.base.nearest import did_you_mean
from reconciler_site.base.times import InvalidMoment, moment_of

_COMPARISONS: Final = frozenset({"exact", "gt", "gte", "lt", "lte", "in"})
_PARTS: Final = {"year": 9997, "month": 12, "day": 31}
_TEXTS: Final = frozenset({"contains", "icontains", "startswith", "istartswith"})
_LOOKUPS: Final = _COMPARISONS | _TEXTS | frozenset(_PARTS) | {"isnull"}
_NOT_COMPARED: Final = (models.BinaryField, models.JSONField)


def understood_filters(model: type[models.Model], given: QueryDict) -> QueryDict:
    """Return the address with its moments in UTC.

    Raises:
        BadRequest: a filter on a column of the model compares it with what it cannot hold.
    """
    columns = {field.name: field for field in model._meta.concrete_fields}
    columns |= {field.attname: field for field in model._meta.concrete_fields}
    read = given.copy()
    for name, values in given.lists():
        column, _, lookup = name.partition("__")
        field = columns.get(column)
        if name == SEARCH_VAR:
            _bounded("The search", values[-1])
        # Columns of related rows are let through only where a list offers them as filters.
        if field is None or (field.is_relation and lookup not in ("", *_LOOKUPS)):
            continue
        read.setlist(name, [_read(field, lookup or "exact", value) for value in values])
    return read


def _read(field: "models.Field[Any, Any]", lookup: str, value: str) -> str:
    if lookup not in _LOOKUPS:
        raise BadRequest(
            f"{field.name} takes no lookup {lookup[:100]!r}. {did_you_mean(lookup, _LOOKUPS)}"
        )
    if lookup == "isnull":
        return value
    if isinstance(field, _NOT_COMPARED):
        raise BadRequest(f"{field.name} is not compared; ask whether it is there: __isnull.")
    if lookup in _PARTS:
        if not (value.isascii() and value.isdecimal() and 1 <= int(value[:5]) <= _PARTS[lookup]):
            raise BadRequest(f"{field.name}: {value[:100]!r} is no {lookup}.")
        return value
    if lookup in _TEXTS:
        return _bounded(field.name, value)
    parts = value.split(",") if lookup == "in" else [value]
    return ",".join(_comparable(field, part) for part in parts)


def _bounded(name: str, text: str) -> str:
    if len(text) > LONGEST_SEARCH:
        raise BadRequest(f"{name} takes at most {LONGEST_SEARCH} characters.")
    return text


def _comparable(field: "models.Field[Any, Any]", value: str) -> str:
    try:
        if isinstance(field, models.DateTimeField):
            return moment_of(value).isoformat()
        # A relation is compared by the key of the row that it leads to.
        target: Any = getattr(field, "target_field", field)
        read = target.to_python(value)
        if isinstance(read, int) and abs(read) > LARGEST_INTEGER:
            raise BadRequest(f"{field.name}: {value[:40]} is larger than any number here.")
        if isinstance(target, models.GenericIPAddressField):
            target.run_validators(value)
    except (InvalidMoment, ValidationError, ValueError) as error:
        said = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
        raise BadRequest(f"{field.name}: {said}") from error
    return value
