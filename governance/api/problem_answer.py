"""Answers a refusal that has a stable code of its own, as problem details (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from rest_framework.response import Response

from audit.correlation import current_correlation_id


def problem_answer(
    status: int, code: str, detail: str, *, errors: Sequence[Mapping[str, Any]] = ()
) -> Response:
    """Return the answer; `detail` names the thing and the way out."""
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
    return Response(body, status=status, content_type="application/problem+json")
