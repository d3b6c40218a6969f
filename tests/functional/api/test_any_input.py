"""Whatever is sent, the answer is structured: never a 500, every refusal a problem with a code."""

# drf-spectacular's generator has no types.
# mypy: disable-error-code="no-untyped-call"

import json
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from tests.conftest import World
from tests.factories.governance import HEAD_A, NOON, RunRecordFactory, api_client
from tests.factories.reconciliation import (
    AlertFactory,
    DeliveryFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
)

ANY = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    # Rows stay as they are, or are only answered: examples do not spoil one another.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TRICKY = [
    "",
    " ",
    "0",
    "-1",
    "1e9",
    str(2**63),
    str(10**40),
    "true",
    "null",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-03-02",
    "main",
    "refs/heads/main",
    "../../etc/passwd",
    "%",
    "%25",
    "'; DROP TABLE x; --",
    "\u202e\u0000\u2028",
    "🚀" * 300,
    "x" * 5000,
]
TEXT = st.sampled_from(TRICKY) | st.text(max_size=60)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([*TRICKY, "\ud800"])
    | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)


@cache
def operations() -> dict[str, list[tuple[str, list[str]]]]:
    """Return the paths of the schema with their query parameters, by method."""
    found: dict[str, list[tuple[str, list[str]]]] = {"get": [], "post": []}
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    for path, methods in sorted(paths.items()):
        for method, operation in methods.items():
            names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            found[method].append((path, names))
    return found


@pytest.fixture
def everything(tenant_world: World) -> APIClient:
    """Rows of each kind, the first of its table or known by name, and a caller who may do all."""
    repository = tenant_world.repository
    AlertFactory.create(finding=FindingFactory.create(repository=repository))
    task = TaskFactory.create(repository=repository)
    DeliveryFactory.create(source=SourceFactory.create(repository=repository), task=task)
    SweepFactory.create(slot=NOON + timedelta(days=1))
    RunRecordFactory.create(repository=repository, run_id="run-1", branch="main")
    client = api_client(["admin"])
    client.raise_request_exception = False
    return client


def assert_structured(answer: Any, address: str) -> None:
    assert answer.status_code < 500, (address, answer.content[:500])
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json", address
        body = answer.json()
        assert body["status"] == answer.status_code
        assert body["code"]
        assert body["correlation_id"]
        assert all(one["pointer"] for one in body.get("errors", []))


def filled(path: str, data: st.DataObject) -> str:
    """Return a path of the schema with its places filled with anything, some of it real."""
    known = {"tenant": "acme", "repo": "api", "branch": "main", "run_id": "run-1"}
    while "{" in path:
        before, _, rest = path.partition("{")
        name, _, after = rest.partition("}")
        value = data.draw(st.just(known.get(name, "1")) | TEXT, label=name)
        path = before + quote(value, safe="") + after
    return path


@given(data=st.data())
@ANY
def test_any_question_is_answered(data: st.DataObject, everything: APIClient) -> None:
    path, names = data.draw(st.sampled_from(operations()["get"]))
    chosen = data.draw(st.dictionaries(st.sampled_from(names), TEXT, max_size=3)) if names else {}
    address = f"{filled(path, data)}?{urlencode(chosen)}"

    assert_structured(everything.get(address), address)


@given(data=st.data())
@ANY
def test_any_body_is_answered(data: st.DataObject, everything: APIClient) -> None:
    path, _ = data.draw(st.sampled_from(operations()["post"]))
    address = filled(path, data)
    valid = {
        "tenant": "acme",
        "repo": "api",
        "run_id": "run-7",
        "branch": "main",
        "base_sha": HEAD_A,
        "actor": "alice",
        "status": "failed",
        "reason": "Looked at it with the team.",
        "until": "2026-03-03T12:00:00Z",
        "expected_head": HEAD_A,
    }
    names = data.draw(st.lists(st.sampled_from(sorted(valid)), unique=True))
    body = data.draw(
        JSON
        | st.builds(
            lambda changes: {name: valid[name] for name in names} | changes,
            st.dictionaries(st.sampled_from([*valid, "gate_results", "paths"]), JSON, max_size=3),
        )
    )

    answer = everything.generic("POST", address, json.dumps(body), content_type="application/json")

    assert_structured(answer, address)


@given(body=st.binary(max_size=200))
@ANY
def test_any_bytes_are_answered(body: bytes, everything: APIClient) -> None:
    answer = everything.post("/api/v1/runs", body, content_type="application/json")

    assert answer.status_code == 400
    assert_structured(answer, "/api/v1/runs")
