"""Values of the wrong kind, too large, or that no database holds: refused in the one shape.

Every operation of the schema gets each of them in every field of its body, in its query and in its
address; a new operation is held to the same.
"""

# drf-spectacular's generator has no types.
# mypy: disable-error-code="no-untyped-call"

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from tests.conftest import World
from tests.factories.governance import HEAD_A, NOON, LeaseFactory, RunRecordFactory, api_client
from tests.factories.reconciliation import (
    AlertFactory,
    DeliveryFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
)
from tests.functional.api.test_strict_requests import REAL, operations, paths, resolved

ODD_TEXTS = [
    "5",
    "true",
    "9" * 30,
    "-1",
    "1e5",
    "nan",
    "x" * 100_000,
    "\u202e\u2028",
    "../../etc/passwd",
    "%s%n",
    "' OR 1=1 --",
    "2026-01-01T00:00:00+21:20",
]
ODD_JSON: list[str] = [
    "null",
    "true",
    "0",
    "-1",
    str(2**31),
    str(2**63),
    "9" * 400,
    "1.5",
    "1e308",
    '""',
    '"\\u0000"',
    '"a\\u0000b"',
    '"\\ud800"',
    "[]",
    "{}",
    "[[]]",
    "[" * 60 + "]" * 60,
    '{"a":' * 60 + "1" + "}" * 60,
    '{"\\u0000": 1}',
    *map(json.dumps, ODD_TEXTS[:5]),
]
HUGE = [json.dumps(["x"] * 19_000), json.dumps("x" * 100_000), json.dumps([{}] * 19_000)]
# Beyond what sequences count to in a test: rows that requests make do not meet it.
ROW = 1_000_001
NO_BODY = {
    "cut off": b'{"reason": "Looked at it',
    "two values": b"{}{}",
    "trailing text": b"{} x",
    "no number": b'{"reason": NaN}',
    "infinity": b'{"reason": Infinity}',
    "beyond any float": b'{"reason": 1e999}',
    "too many digits": b'{"reason": ' + b"9" * 5000 + b"}",
    "a name twice": b'{"reason": "Looked at it twice.", "reason": "x"}',
    "a name twice, deep": b'{"filter": {"repo": "api", "repo": "web"}}',
    "65 levels": b'{"a":' * 65 + b"1" + b"}" * 65,
    "100,000 levels": b"[" * 100_000,
    "latin-1": b'{"reason": "\xfc"}',
    "half a character": b'{"reason": "\xe2\x82"}',
    "utf-16": '{"reason": "x"}'.encode("utf-16"),
    "a mark first": b"\xef\xbb\xbf{}",
    "a control character": b'{"reason": "a\x00b"}',
    "a form": b"reason=x",
    "a comment": b"{} // x",
}


@pytest.fixture
def admin(tenant_world: World) -> APIClient:
    """Rows of each kind, the first of its table or known by name, and a caller who may do all."""
    repository = tenant_world.repository
    AlertFactory.create(pk=ROW, finding=FindingFactory.create(pk=ROW, repository=repository))
    task = TaskFactory.create(pk=ROW, repository=repository)
    DeliveryFactory.create(pk=ROW, source=SourceFactory.create(repository=repository), task=task)
    SweepFactory.create(pk=ROW, slot=NOON + timedelta(days=1))
    RunRecordFactory.create(repository=repository, run_id="run-1", branch="main")
    LeaseFactory.create(repository=repository, lease_id="lse_12", branch="main")
    client = api_client(["admin"])
    client.raise_request_exception = False
    return client


def filled(path: str) -> str:
    for part in path.split("{")[1:]:
        name = part.partition("}")[0]
        path = path.replace(f"{{{name}}}", REAL.get(name, str(ROW)))
    return path


def assert_structured(answer: Any, what: str) -> None:
    assert answer.status_code < 500, (what, answer.content[:300])
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", what
        problem = answer.json()
        assert problem["status"] == answer.status_code, what
        assert problem["code"], what
        assert problem["correlation_id"] == answer.headers["X-Correlation-ID"], what
        assert len(answer.content) < 100_000, what


def ask(client: APIClient, method: str, address: str, **request: Any) -> Any:
    # A statement that PostgreSQL refused would spoil the test's own transaction; and what one
    # value did must not be what the next one meets.
    with transaction.atomic():
        answer = client.generic(method, address, **request)
        transaction.set_rollback(True)
    return answer


def fields_of(path: str) -> dict[str, dict[str, Any]]:
    operation = dict(operations("post"))[path]
    if "requestBody" not in operation:
        return {}
    found: dict[str, dict[str, Any]] = resolved(
        operation["requestBody"]["content"]["application/json"]["schema"]
    )["properties"]
    return found


def valid(path: str) -> dict[str, str]:
    """Return texts that fit the fields of a body by their names, as JSON."""
    known = {
        "tenant": "acme",
        "repo": "api",
        "branch": "main",
        "run_id": "run-7",
        "base_sha": HEAD_A,
        "head_sha": HEAD_A,
        "expected_head": HEAD_A,
        "actor": "alice",
        "status": "succeeded",
        "reason": "Looked at it with the release team.",
        "owner": {"user_id": "alice"},
        "layer": "tenant",
        "target": "acme",
        "document": {},
        "filter": {"tenant": "acme"},
        "until": "2026-03-03T12:00:00Z",
    }
    return {name: json.dumps(known[name]) for name in fields_of(path) if name in known}


def bodies(path: str) -> Iterator[str]:
    good = valid(path)
    for name, field in fields_of(path).items():
        for value in ODD_JSON:
            yield as_object(good | {name: value})
        inner = resolved(field).get("properties") or {}
        for part in inner:
            for value in ODD_JSON:
                yield as_object(good | {name: as_object({part: value})})
    for value in HUGE:
        yield as_object(dict.fromkeys(fields_of(path), value))
    yield from [*ODD_JSON, *HUGE]


def as_object(members: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members.items()) + "}"


@pytest.mark.parametrize("path", paths("post"))
def test_any_value_in_any_field_is_answered(path: str, admin: APIClient) -> None:
    address = filled(path)

    for body in bodies(path):
        answer = ask(admin, "POST", address, data=body, content_type="application/json")
        assert_structured(answer, f"{address} {body[:300]}")


@pytest.mark.parametrize("body", NO_BODY.values(), ids=NO_BODY)
def test_what_can_be_read_in_no_way_or_in_two_is_no_body(body: bytes, admin: APIClient) -> None:
    for path in paths("post"):
        answer = ask(admin, "POST", filled(path), data=body, content_type="application/json")

        assert_structured(answer, path)
        assert (answer.status_code, answer.json()["code"]) == (400, "parse_error"), path


@pytest.mark.parametrize("path", paths("post"))
def test_a_body_of_another_type_is_refused(path: str, admin: APIClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "x", ""):
        answer = ask(admin, "POST", filled(path), data=b"{}", content_type=kind)

        assert_structured(answer, f"{path} {kind}")
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", paths("post"))
def test_no_body_at_all_is_answered(path: str, admin: APIClient) -> None:
    for kind in ("application/json", "text/plain", ""):
        assert_structured(ask(admin, "POST", filled(path), content_type=kind), path)


@pytest.mark.parametrize("path", paths("get"))
def test_any_value_of_any_parameter_is_answered(path: str, admin: APIClient) -> None:
    operation = dict(operations("get"))[path]
    names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
    good = {"tenant": "acme", "repo": "api"} if path.endswith("_id}") else {}

    for name in names:
        for value in ODD_TEXTS:
            query = urlencode({**{key: good[key] for key in good if key in names}, name: value})
            answer = ask(admin, "GET", f"{filled(path)}?{query[:60_000]}")
            assert_structured(answer, f"{path} {query[:200]}")
    for raw in ("a=%00", "%ff=%ff", "&&==", "=", "a" * 9000, "%", "tenant=%ed%a0%80"):
        assert_structured(ask(admin, "GET", f"{filled(path)}?{raw}"), f"{path} {raw[:80]}")


ODD_SEGMENTS = ["0", "9" * 30, "%00", "%ff", "%ed%a0%80", "..", "%2e%2e", "a" * 3000, "%25", "é"]


@pytest.mark.parametrize("path", [*paths("get"), *paths("post")])
def test_any_value_in_an_address_is_answered(path: str, admin: APIClient) -> None:
    method = "GET" if path in paths("get") else "POST"
    places = [part.partition("}")[0] for part in path.split("{")[1:]]

    for place in places:
        for value in ODD_SEGMENTS:
            safe = value if "%" in value else quote(value)
            address = filled(path.replace(f"{{{place}}}", safe))
            answer = ask(admin, method, address, content_type="application/json")
            assert_structured(answer, address[:300])
            assert answer.status_code in (400, 404), address[:300]


def test_a_list_of_a_hundred_thousand_is_refused_at_its_place(admin: APIClient) -> None:
    body = json.dumps({"ids": [7] * 100_000, "reason": "Looked at it with the release team."})

    answer = ask(
        admin, "POST", "/api/v1/dead-letters/requeue", data=body, content_type="application/json"
    )

    [error] = answer.json()["errors"]
    assert (answer.status_code, error["pointer"], error["code"]) == (400, "/ids", "max_length")


def test_a_name_with_a_slash_is_pointed_to_as_rfc_6901_says(admin: APIClient) -> None:
    answer = ask(
        admin,
        "POST",
        "/api/v1/runs",
        data=json.dumps({"a/b~c": 1}),
        content_type="application/json",
    )

    assert [error["pointer"] for error in answer.json()["errors"]] == ["/a~1b~0c"]
