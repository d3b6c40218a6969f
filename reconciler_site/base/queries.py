"""Query parameters of the API: one that is not known is refused, and none is given twice.

A filter that is misspelt would else be a list of everything.
"""

from typing import Any

from django.http import QueryDict
from rest_framework import exceptions, generics, mixins, permissions, serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from reconciler_site.base.bodies import MOST_NAMED, StrictSerializer, unknown_names


class QuerySerializer(StrictSerializer):
    """Reads the query parameters of a view that is no list."""

    what = "query parameter"


class StrictQuery(APIView):
    """The base of every view of the API; it takes the query parameters it knows, and no other.

    Those are the fields of `query_serializer`, and for a list its filters and those of its pages.
    Methods that change something take none: what they do is said in the body.
    """

    query_serializer: type[QuerySerializer] | None = None
    filterset_class: Any = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what the view does not take, once it is known who asks and that they may."""
        super().initial(request, *args, **kwargs)
        if request.method not in permissions.SAFE_METHODS:
            refuse_parameters(request.query_params, known=frozenset())
        else:
            refuse_parameters(request.query_params, known=self.query_names())

    def query_names(self) -> frozenset[str]:
        """Return the names of the query parameters that a GET takes."""
        names = set(self.query_serializer().fields) if self.query_serializer else set()
        if isinstance(self, mixins.ListModelMixin) and isinstance(self, generics.GenericAPIView):
            names |= set(getattr(self.paginator, "query_names", ()))
            names |= set(getattr(self.filterset_class, "base_filters", ()))
        return frozenset(names)

    def query(self) -> dict[str, Any]:
        """Return the validated query parameters.

        Raises:
            ValidationError: one of them is wrong or missing.
        """
        assert self.query_serializer is not None  # noqa: S101 - a view that asks has declared it
        parameters = self.query_serializer(data=self.request.query_params)
        parameters.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(parameters.validated_data)
        return values


def refuse_parameters(given: QueryDict, *, known: frozenset[str]) -> None:
    """Refuse query parameters that are not known, and those given twice.

    Raises:
        ValidationError: names each, with the code `unknown` or `duplicate`.
    """
    wrong: dict[str, Any] = unknown_names(sorted(set(given) - known), known, what="query parameter")
    for name, values in sorted(given.lists()):
        if len(values) > 1 and name in known and len(wrong) < MOST_NAMED:
            wrong[name] = [exceptions.ErrorDetail("Give it once.", "duplicate")]
    if wrong:
        raise serializers.ValidationError(wrong)
