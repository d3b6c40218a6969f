"""Problem details (RFC 9457) with a stable code and the correlation id, built here only."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import JsonResponse
from rest_framework.response import Response

from reconciler_site.base.correlation import current_correlation_id

PROBLEM_JSON = "application/problem+json"
LONGEST_TEXT = 1000
"""Of what a caller sent, as it is sent back."""


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
        "detail": printable(detail),
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


def problem_answer(
    status: int, code: str, detail: str, *, errors: Sequence[Mapping[str, Any]] = ()
) -> Response:
    """Return what a view of the API answers when it refuses with a code of its own."""
    return Response(
        problem_body(status, code, detail, errors=errors),
        status=status,
        content_type=PROBLEM_JSON,
    )


def pointer_to(path: Sequence[str | int]) -> str:
    """Return the JSON Pointer (RFC 6901) to a place in a request, such as `/owner/user_id`."""
    parts = (printable(str(part)).replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in parts)


def printable(text: str) -> str:
    """Return a caller's text as it can be sent back: in bounds, and valid Unicode."""
    shown = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    return shown.encode("utf-8", "backslashreplace").decode()
