"""Filters of lists that refuse what they do not understand, where the library's would let it be."""

from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError

from reconciler_site.base.bodies import LARGEST_INTEGER
from reconciler_site.base.times import InvalidMoment, moment_of

LONGEST_SEARCH = 1000
"""As long as the longest name; SQLite refuses patterns of 50,000 characters."""
_WORDS = {"": None, "true": True, "1": True, "false": False, "0": False}


class IdFilter(django_filters.NumberFilter):
    """An id; one that no database could hold is refused instead of failing there."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=LARGEST_INTEGER, **kwargs)

    def get_max_validator(self) -> None:
        """Leave the limit to `max_value`."""
        return


class MomentInput(forms.DateTimeField):
    """A moment in ISO 8601; without an offset it is UTC."""

    def to_python(self, value: Any) -> Any:
        """Return the moment in UTC, or None for nothing."""
        if value in self.empty_values:
            return None
        try:
            return moment_of(str(value))
        except InvalidMoment as error:
            # The text of the caller is no format: `%` in it means nothing.
            said = {"said": str(error)}
            raise ValidationError("%(said)s", code="invalid", params=said) from error


class MomentFilter(django_filters.IsoDateTimeFilter):
    """A moment in ISO 8601; without an offset it is UTC."""

    field_class = MomentInput


class YesNoInput(forms.Field):
    """`true` or `false`; the library's field takes any other word for nothing."""

    def to_python(self, value: Any) -> bool | None:
        """Return the answer, or None for nothing."""
        word = "" if value is None else str(value).lower()
        if word not in _WORDS:
            raise ValidationError("Write true or false.", code="invalid")
        return _WORDS[word]


class YesNoFilter(django_filters.BooleanFilter):
    """Yes or no."""

    field_class = YesNoInput


def since_filter(column: str) -> MomentFilter:
    """Return a filter for rows at or after a moment."""
    return MomentFilter(column, lookup_expr="gte", label="At or after.")


def until_filter(column: str) -> MomentFilter:
    """Return a filter for rows before a moment."""
    return MomentFilter(column, lookup_expr="lt", label="Before.")
