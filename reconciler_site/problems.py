"""Turns what DRF refuses into problem details; their shape is `base.problems`."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from reconciler_site.base.problems import PROBLEM_JSON, pointer_to, printable, problem_body

MOST_ERRORS = 100


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what DRF knows how to answer into problem details; leave the rest to the middleware."""
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    code, detail, errors = _describe(error)
    headers = dict(response.headers)
    body = problem_body(
        response.status_code, code, detail, errors=errors, extra=getattr(error, "members", None)
    )
    answer = Response(body, status=response.status_code, content_type=PROBLEM_JSON)
    for name in ("WWW-Authenticate", "Retry-After", "Allow"):
        if name in headers:
            answer[name] = headers[name]
    return answer


def _describe(error: Exception) -> tuple[str, str, list[dict[str, Any]]]:
    if isinstance(error, exceptions.ValidationError):
        errors = list(islice(_flatten(error.detail, ()), MOST_ERRORS))
        return "invalid", "The request is not valid; see errors.", errors
    if isinstance(error, exceptions.APIException):
        code = error.get_codes()
        return (code if isinstance(code, str) else error.default_code), str(error.detail), []
    return (
        "not_found" if isinstance(error, Http404) else "forbidden",
        str(error) or ("There is no such thing, or it is not yours to see."),
        [],
    )


def _flatten(detail: Any, path: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    if isinstance(detail, Mapping):
        for key in sorted(detail, key=str):
            yield from _flatten(detail[key], (*path, str(key)))
    elif isinstance(detail, list):
        for index, item in enumerate(detail):
            nested = isinstance(item, Mapping | list)
            yield from _flatten(item, (*path, index) if nested else path)
    else:
        code = getattr(detail, "code", "invalid")
        yield {"pointer": pointer_to(path), "code": code, "detail": printable(str(detail))}
