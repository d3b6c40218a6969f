"""Completes the schema: every operation names the problems it answers with, each by example.

A postprocessing hook of drf-spectacular, so that the views of every app get the same.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_CORRELATION_ID = "0199c0de-0000-7000-8000-000000000001"
_METHODS = frozenset({"get", "put", "post", "patch", "delete"})
_PROBLEM = "application/problem+json"

_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` is stable; branch on it, not on `detail`.",
    "required": ["type", "title", "status", "code", "detail", "correlation_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:reconciler:problem:not_found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string", "description": "Names the thing and the way out."},
        "correlation_id": {
            "type": "string",
            "description": "Name it when you ask for help: the log and the trail have it too.",
        },
        "errors": {
            "type": "array",
            "description": "What is wrong, where it can be told.",
            "items": {
                "type": "object",
                "required": ["pointer"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer into the request."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_EXAMPLES: Mapping[int, tuple[str, str]] = {
    400: ("invalid", "The request is not valid; see errors."),
    401: ("invalid_token", "The API token is not valid: issue one with `manage.py api_token`."),
    403: ("permission_denied", "This needs a scope that your token or role does not have."),
    404: ("not_found", "There is no alert 7, or it is not yours to see."),
    409: ("state_moved", "The branch moved since you looked. Look again before acknowledging."),
    413: ("too_large", "The body is larger than 1048576 bytes."),
    415: ("unsupported_media_type", 'Unsupported media type "text/plain" in request.'),
}
_ERRORS = [{"pointer": "/reason", "code": "required", "detail": "This field is required."}]
_ANY = "Any other problem: 405, 406, 429, 500, 503."


def add_problems(result: Any, **_: Any) -> Any:
    """Add the problem schema and problem responses to every operation of a generated schema."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = dict(_SCHEMA)
    responses = components.setdefault("responses", {})
    responses |= {f"Problem{status}": _response(status) for status in _EXAMPLES}
    responses["ProblemOther"] = {"description": _ANY, "content": _content({})}
    for path, operations in result.get("paths", {}).items():
        for method, operation in operations.items():
            if method in _METHODS:
                _complete(operation, has_place="{" in path, changes=method != "get")
    return result


def _complete(operation: dict[str, Any], *, has_place: bool, changes: bool) -> None:
    told = operation.setdefault("responses", {})
    for status in _statuses(operation, has_place=has_place, changes=changes):
        told.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    told.setdefault("default", {"$ref": "#/components/responses/ProblemOther"})
    for status, response in told.items():
        # A view that says when it refuses need not say again in which shape.
        if status.isdecimal() and int(status) >= 400 and "$ref" not in response:
            response.setdefault("content", _content({}))
    operation["responses"] = dict(sorted(told.items()))


def _statuses(operation: Mapping[str, Any], *, has_place: bool, changes: bool) -> set[int]:
    if not operation.get("security"):
        return set()
    parameters = operation.get("parameters", [])
    found = {401, 403}
    if changes:
        found.add(409)
    if "requestBody" in operation:
        found |= {400, 404, 413, 415}
    if any(one.get("in") in {"query", "header"} for one in parameters):
        found.add(400)
    if has_place:
        found.add(404)
    return found


def _response(status: int) -> dict[str, Any]:
    code, detail = _EXAMPLES[status]
    value: dict[str, Any] = {
        "type": f"urn:reconciler:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "correlation_id": _CORRELATION_ID,
    }
    if status == 400:
        value["errors"] = _ERRORS
    return {
        "description": HTTPStatus(status).phrase,
        "content": _content({code: {"value": value}}),
    }


def _content(examples: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Problem"}}
    if examples:
        shown["examples"] = dict(examples)
    return {_PROBLEM: shown}
