"""Serializers that read requests: a name they do not know is refused, so that no typo passes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.request import Request

from reconciler_site.base.nearest import did_you_mean
from reconciler_site.base.times import InvalidMoment, moment_of

LARGEST_INTEGER = 2**63 - 1
"""What a bigint holds: every whole number of a request has this bound, or a smaller one."""
MOST_NAMED = 20


class StrictSerializer(serializers.Serializer[Mapping[str, Any]]):
    """Reads named values and refuses names it does not know; nested ones derive from it too."""

    what = "field"

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values.

        Raises:
            ValidationError: a value is missing, wrong or unknown.
        """
        if isinstance(data, Mapping):
            names = {str(name) for name, field in self.fields.items() if not field.read_only}
            if unknown := sorted(set(map(str, data)) - names):
                raise serializers.ValidationError(unknown_names(unknown, names, what=self.what))
        return super().to_internal_value(data)


class BodySerializer(StrictSerializer):
    """Reads the body of a request."""


class EmptyBody(BodySerializer):
    """The body of an act that takes none: nothing, or an empty object."""


class MomentField(serializers.DateTimeField):
    """A moment in ISO 8601; without an offset it is UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        """Return the moment in UTC."""
        if not isinstance(value, str):
            self.fail("invalid", format="2026-03-02T12:00:00Z")
        try:
            return moment_of(value)
        except InvalidMoment as error:
            raise serializers.ValidationError(str(error), code="invalid") from error


def body_of(kind: type[BodySerializer], request: Request) -> dict[str, Any]:
    """Return the validated body of a request.

    Raises:
        ParseError, UnsupportedMediaType, ValidationError: the request is refused.
    """
    body = kind(data=request.data)
    body.is_valid(raise_exception=True)
    values: dict[str, Any] = dict(body.validated_data)
    return values


def unknown_names(
    unknown: list[str], known: set[str] | frozenset[str], *, what: str
) -> dict[str, list[ErrorDetail]]:
    """Return what is wrong with names that are not known, by name; each with a way out."""
    return {
        name: [
            ErrorDetail(
                f"There is no {what} {name[:100]!r} here. {did_you_mean(name, known)}", "unknown"
            )
        ]
        for name in unknown[:MOST_NAMED]
    }
