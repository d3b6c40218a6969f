"""The one shape of errors: RFC 9457 problem details with a stable code and the correlation id."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import Http404, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from audit.correlation import current_correlation_id

PROBLEM_JSON = "application/problem+json"


def problem_body(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return problem details; `code` is stable, `detail` names the thing and the way out."""
    body: dict[str, Any] = {
        "type": f"urn:reconciler:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "correlation_id": current_correlation_id(),
    }
    if errors:
        body["errors"] = list(errors)
    if extra:
        body.update(extra)
    return body


def problem_response(status: int, code: str, detail: str, **members: Any) -> JsonResponse:
    """Return a plain Django response with problem details, for paths outside of DRF."""
    return JsonResponse(
        problem_body(status, code, detail, **members), status=status, content_type=PROBLEM_JSON
    )


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
        return "invalid", "The request is not valid; see errors.", list(_flatten(error.detail, ""))
    if isinstance(error, exceptions.APIException):
        code = error.get_codes()
        return (code if isinstance(code, str) else error.default_code), str(error.detail), []
    return (
        "not_found" if isinstance(error, Http404) else "forbidden",
        str(error) or ("There is no such thing, or it is not yours to see."),
        [],
    )


def _flatten(detail: Any, pointer: str) -> list[dict[str, Any]]:
    if isinstance(detail, Mapping):
        found: list[dict[str, Any]] = []
        for key in sorted(detail, key=str):
            found += _flatten(detail[key], f"{pointer}/{key}")
        return found
    if isinstance(detail, list):
        found = []
        for index, item in enumerate(detail):
            nested = isinstance(item, Mapping | list)
            found += _flatten(item, f"{pointer}/{index}" if nested else pointer)
        return found
    return [{"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}]
