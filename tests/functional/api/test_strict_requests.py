"""What a request says is understood or refused: unknown names, names given twice, odd moments.

Every operation of the schema is walked, so that a new one is held to the same.
"""

# drf-spectacular's generator has no types.
# mypy: disable-error-code="no-untyped-call"

from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from governance.models import Lease, PolicyVersion
from reconciler_site.base.queries import StrictQuery
from reconciliation.models import Alert
from tests.conftest import World
from tests.factories.governance import LeaseFactory, api_client
from tests.factories.reconciliation import AlertFactory, FindingFactory

REAL = {"tenant": "acme", "repo": "api", "branch": "main", "run_id": "run-1", "lease_id": "lse_12"}
REASON = "Looked at it with the release team."
SCHEMA_PAGES = {"SpectacularAPIView", "SpectacularSwaggerSplitView"}


@cache
def schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-any-return]


def operations(method: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operations[method])
        for path, operations in sorted(schema()["paths"].items())
        # A signed delivery has an address of its host's making and a body of its form.
        if method in operations and "/webhooks/" not in path
    ]


def paths(method: str) -> list[str]:
    return [path for path, _ in operations(method)]


def filled(path: str) -> str:
    for part in path.split("{")[1:]:
        name = part.partition("}")[0]
        path = path.replace(f"{{{name}}}", REAL.get(name, "1"))
    return path


@pytest.fixture
def admin(tenant_world: World) -> APIClient:
    return api_client(["admin"])


def errors_of(answer: Any) -> dict[str, str]:
    """Return the codes of what is wrong by pointer, of an answer that is a 400 with a problem."""
    assert answer.status_code == 400, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["correlation_id"]
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


@pytest.mark.parametrize("path", paths("get"))
def test_a_query_parameter_that_an_address_does_not_take_is_refused(
    path: str, admin: APIClient
) -> None:
    answer = admin.get(f"{filled(path)}?no_such_parameter=1")

    assert errors_of(answer)["/no_such_parameter"] == "unknown"


@pytest.mark.parametrize("path", paths("post"))
def test_what_changes_something_takes_no_query_parameters(path: str, admin: APIClient) -> None:
    answer = admin.post(f"{filled(path)}?dry_run=1", {}, format="json")

    assert errors_of(answer) == {"/dry_run": "unknown"}


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("tasks?stat=queued", "state"),
        ("alerts?severty=high", "severity"),
        ("tasks?page-size=3", "page_size"),
        ("findings?Branch=main", "branch"),
        ("leases?user=alice", "user_id"),
        ("audit/entries?sinc=2026-01-01", "since"),
        ("policies/versions?layers=site", "layer"),
        ("sweeps/planner?tennant=acme", "tenant"),
        ("runs/run-1?repo=api&tenent=acme", "tenant"),
    ],
)
def test_a_misspelt_parameter_is_answered_with_the_one_that_was_meant(
    query: str, meant: str, admin: APIClient
) -> None:
    answer = admin.get(f"/api/v1/{query}")

    [error] = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, "unknown")
    assert f"Did you mean '{meant}'?" in error["detail"]


def test_an_ordering_is_refused_as_there_is_none_to_choose(admin: APIClient) -> None:
    assert errors_of(admin.get("/api/v1/tasks?ordering=-created_at")) == {"/ordering": "unknown"}


def test_a_parameter_given_twice_is_refused_because_one_of_them_would_not_count(
    admin: APIClient,
) -> None:
    answer = admin.get("/api/v1/alerts?state=open&state=resolved")

    assert errors_of(answer) == {"/state": "duplicate"}


@pytest.mark.parametrize("path", paths("get"))
def test_the_schema_names_exactly_the_parameters_that_are_taken(path: str) -> None:
    operation = schema()["paths"][path]["get"]
    view = view_of(path)

    named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}

    assert view.query_names() == named


def test_every_view_of_the_api_is_strict_about_its_parameters() -> None:
    lax = {
        view.__name__
        for _, view in api_views(get_resolver().url_patterns)
        if not issubclass(view, StrictQuery)
    }

    assert lax == SCHEMA_PAGES | {"WebhookView"}


def api_views(patterns: Any, prefix: str = "") -> Iterator[tuple[str, type[Any]]]:
    for pattern in patterns:
        address = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from api_views(pattern.url_patterns, address)
        elif isinstance(pattern, URLPattern) and address.startswith("api/"):
            yield address, pattern.callback.view_class  # type: ignore[attr-defined]  # DRF's


def view_of(path: str) -> StrictQuery:
    match = get_resolver().resolve(filled(path))
    view = match.func.view_class(**match.func.view_initkwargs)  # type: ignore[attr-defined]  # DRF's
    assert isinstance(view, StrictQuery)
    return view


@pytest.mark.parametrize("path", paths("post"))
def test_a_field_that_a_body_does_not_have_is_refused(path: str, admin: APIClient) -> None:
    answer = admin.post(filled(path), {"no_such_field": 1}, format="json")

    assert errors_of(answer)["/no_such_field"] == "unknown"


def nested_objects(path: str) -> list[str]:
    """Return the fields of a body that are objects with named fields themselves."""
    operation = schema()["paths"][path]["post"]
    if "requestBody" not in operation:
        return []
    properties = resolved(operation["requestBody"]["content"]["application/json"]["schema"])
    return [
        name
        for name, field in properties["properties"].items()
        if resolved(field).get("properties") is not None
    ]


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    part = part["allOf"][0] if "allOf" in part else part
    if "$ref" not in part:
        return part
    found: dict[str, Any] = schema()["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return found


NESTED = [(path, name) for path in paths("post") for name in nested_objects(path)]


@pytest.mark.parametrize(("path", "name"), NESTED)
def test_a_field_that_an_object_in_a_body_does_not_have_is_refused(
    path: str, name: str, admin: APIClient
) -> None:
    answer = admin.post(filled(path), {name: {"no_such_field": 1}}, format="json")

    assert errors_of(answer)[f"/{name}/no_such_field"] == "unknown"


def test_there_are_nested_objects_to_try() -> None:
    assert ("/api/v1/leases", "owner") in NESTED


def test_a_misspelt_lock_does_not_publish_without_it(admin: APIClient) -> None:
    body = {"layer": "tenant", "target": "acme", "document": {}, "reason": REASON}

    answer = admin.post("/api/v1/policies/versions", {**body, "expected_versoin": 7}, format="json")

    assert errors_of(answer) == {"/expected_versoin": "unknown"}
    assert "Did you mean 'expected_version'?" in answer.json()["errors"][0]["detail"]
    assert not PolicyVersion.objects.exists()


def test_a_misspelt_length_does_not_grant_the_usual_one(admin: APIClient) -> None:
    body = {"tenant": "acme", "repo": "api", "branch": "main", "owner": {"user_id": "alice"}}

    answer = admin.post("/api/v1/leases", {**body, "ttl_second": 60}, format="json")

    assert errors_of(answer) == {"/ttl_second": "unknown"}
    assert not Lease.objects.exists()


def test_a_check_of_a_misspelt_token_is_no_check_without_one(
    admin: APIClient, tenant_world: World
) -> None:
    LeaseFactory.create(repository=tenant_world.repository, branch="main")
    body = {"tenant": "acme", "repo": "api", "branch": "main", "fence_token": 1}

    answer = admin.post("/api/v1/leases/check", body, format="json")

    assert errors_of(answer) == {"/fence_token": "unknown"}
    assert "Did you mean 'fencing_token'?" in answer.json()["errors"][0]["detail"]


OFFSETS = [
    "2026-01-01T00:00:00+21:20",
    "2026-01-01T00:00:00-23:59",
    "2026-01-01T00:00:00.000001+15:59",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00",
    "2026-01-01",
    "2026-01-01T00:00:00 02:00",
]
NO_MOMENTS = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1970-12-31T23:59:59Z",
    "9998-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00+24:00",
    "yesterday",
    "1767225600",
    "%",
    "%s %(x)s",
]
MOMENTS = [
    (path, one["name"])
    for path, operation in operations("get")
    for one in operation.get("parameters", [])
    if one["in"] == "query" and one["schema"].get("format") == "date-time"
]


@pytest.mark.parametrize("moment", OFFSETS)
@pytest.mark.parametrize(("path", "name"), MOMENTS)
def test_a_list_takes_a_moment_with_any_offset(
    path: str, name: str, moment: str, admin: APIClient
) -> None:
    answer = admin.get(f"{filled(path)}?{urlencode({name: moment})}")

    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("moment", NO_MOMENTS)
@pytest.mark.parametrize(("path", "name"), MOMENTS)
def test_a_list_refuses_what_is_no_moment(
    path: str, name: str, moment: str, admin: APIClient
) -> None:
    answer = admin.get(f"{filled(path)}?{urlencode({name: moment})}")

    assert errors_of(answer) == {f"/{name}": "invalid"}


def test_moments_are_among_the_parameters_of_most_lists() -> None:
    assert len(MOMENTS) >= 14


def test_a_moment_is_compared_by_its_instant_and_not_by_its_digits(
    admin: APIClient, tenant_world: World
) -> None:
    alert = AlertFactory.create(finding=FindingFactory.create(repository=tenant_world.repository))
    opened = alert.opened_at

    def listed(since: str) -> int:
        return len(admin.get("/api/v1/alerts", {"since": since}).json()["results"])

    assert listed(opened.isoformat()) == 1
    assert listed(opened.replace(tzinfo=None).isoformat() + "+21:20") == 1
    assert listed(opened.replace(tzinfo=None).isoformat() + "-21:20") == 0


@pytest.mark.parametrize("until", ["2026-03-03T00:00:00+21:20", "2026-03-02T21:00:00-01:20"])
def test_a_snooze_ends_at_a_moment_with_any_offset(
    until: str, admin: APIClient, tenant_world: World
) -> None:
    alert = AlertFactory.create(finding=FindingFactory.create(repository=tenant_world.repository))

    answer = admin.post(
        f"/api/v1/alerts/{alert.pk}/snooze", {"reason": REASON, "until": until}, format="json"
    )

    # Long past by the clock of the test: understood, and refused for what it says.
    assert errors_of(answer).keys() == {"/until"}
    assert Alert.objects.get().snoozed_until is None


@pytest.mark.parametrize("moment", NO_MOMENTS[:8])
def test_a_body_refuses_what_is_no_moment(moment: str, admin: APIClient) -> None:
    body = {"filter": {"tenant": "acme", "since": moment}, "dry_run": True}

    answer = admin.post("/api/v1/deliveries/replay", body, format="json")

    assert errors_of(answer) == {"/filter/since": "invalid"}


@pytest.mark.parametrize("moment", OFFSETS[:6])
def test_a_body_takes_a_moment_with_any_offset(moment: str, admin: APIClient) -> None:
    body = {"filter": {"tenant": "acme", "since": moment}, "dry_run": True}

    answer = admin.post("/api/v1/deliveries/replay", body, format="json")

    assert (answer.status_code, answer.json()["deliveries"]) == (200, [])


@pytest.mark.parametrize("word", ["maybe", "2", "yes", "%s"])
def test_a_filter_of_yes_or_no_refuses_another_word(word: str, admin: APIClient) -> None:
    answer = admin.get("/api/v1/repositories", {"active": word})

    assert errors_of(answer) == {"/active": "invalid"}


@pytest.mark.parametrize(("word", "shown"), [("true", 2), ("1", 2), ("False", 0), ("", 2)])
def test_a_filter_of_yes_or_no_keeps_what_it_says(
    word: str, shown: int, admin: APIClient, tenant_world: World
) -> None:
    answer = admin.get("/api/v1/repositories", {"active": word})

    assert len(answer.json()["results"]) == shown
