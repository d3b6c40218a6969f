"""Lists: every row once, whatever is added meanwhile, at a cost that does not grow with rows."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.conftest import World
from tests.factories.governance import (
    NOON,
    BranchFactory,
    RepositoryFactory,
    RunRecordFactory,
    TenantFactory,
    api_client,
)
from tests.factories.reconciliation import (
    AlertFactory,
    DeliveryFactory,
    FindingFactory,
    SourceFactory,
    SweepFactory,
    TaskFactory,
    WatchFactory,
)

Fill = Callable[[World, int], None]


def pages(client: APIClient, address: str, link: str = "next") -> Iterator[list[dict[str, Any]]]:
    """Follow one of the links to the end."""
    following: str | None = address
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.content
        yield answer.json()["results"]
        following = answer.json()[link]


def repositories(world: World, number: int) -> None:
    for _ in range(number):
        repository = RepositoryFactory.create(tenant=world.tenant)
        WatchFactory.create(repository=repository, failing_since=NOON)
        AlertFactory.create(finding=FindingFactory.create(repository=repository))


def branches(world: World, number: int) -> None:
    for _ in range(number):
        branch = BranchFactory.create(repository=world.repository)
        FindingFactory.create(repository=world.repository, branch=branch.name)


def findings(world: World, number: int) -> None:
    for _ in range(number):
        FindingFactory.create(repository=world.repository)


def alerts(world: World, number: int) -> None:
    for _ in range(number):
        AlertFactory.create(finding=FindingFactory.create(repository=world.repository))


def tasks(world: World, number: int) -> None:
    for _ in range(number):
        TaskFactory.create(repository=world.repository)


def sweeps(world: World, number: int) -> None:
    for _ in range(number):
        sweep = SweepFactory.create()
        TaskFactory.create(repository=world.repository, sweep=sweep)


def deliveries(world: World, number: int) -> None:
    for _ in range(number):
        source = SourceFactory.create(repository=world.repository)
        DeliveryFactory.create(source=source, task=TaskFactory.create(repository=world.repository))


def runs(world: World, number: int) -> None:
    for _ in range(number):
        RunRecordFactory.create(repository=world.repository)


LISTS: dict[str, Fill] = {
    "repositories": repositories,
    "branches": branches,
    "repositories/acme/api/branches": branches,
    "findings": findings,
    "alerts": alerts,
    "tasks": tasks,
    "sweeps": sweeps,
    "deliveries": deliveries,
    "runs": runs,
}


@pytest.mark.parametrize("path", LISTS)
def test_a_page_costs_the_same_statements_with_3_rows_and_with_30(
    path: str, tenant_world: World
) -> None:
    client, costs = api_client(), []
    client.get("/api/v1/status")  # Once a minute a token notes that it was used.
    for number in (3, 27):
        LISTS[path](tenant_world, number)
        with CaptureQueriesContext(connection) as statements:
            shown = client.get(f"/api/v1/{path}", {"page_size": 200}).json()["results"]
        assert len(shown) >= number
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 5


@pytest.mark.parametrize("path", LISTS)
def test_pages_show_every_row_once_in_both_directions(path: str, tenant_world: World) -> None:
    LISTS[path](tenant_world, 7)
    client = api_client()
    whole = client.get(f"/api/v1/{path}").json()["results"]

    forward = list(pages(client, f"/api/v1/{path}?page_size=2"))
    last = client.get(f"/api/v1/{path}?page_size=2")
    while last.json()["next"]:
        last = client.get(last.json()["next"])
    backward = [last.json()["results"]]
    backward += pages(client, last.json()["previous"], "previous")

    assert [row for page in forward for row in page] == whole
    assert [row for page in reversed(backward) for row in page] == whole
    assert all(len(page) == 2 for page in forward[:-1])


def test_rows_added_while_paging_do_not_shift_pages(tenant_world: World) -> None:
    tasks(tenant_world, 4)
    client = api_client()
    expected = [row["id"] for row in client.get("/api/v1/tasks").json()["results"]]
    through = pages(client, "/api/v1/tasks?page_size=2")
    seen = [row["id"] for row in next(through)]

    tasks(tenant_world, 3)

    assert seen + [row["id"] for page in through for row in page] == expected


def test_repositories_are_ordered_by_tenant_and_name_in_code_point_order(
    tenant_world: World,
) -> None:
    for tenant, slug in (("b-team", "a"), ("acme", "zeta"), ("acme", "a.b"), ("acme", "a-b")):
        RepositoryFactory.create(tenant=TenantFactory.create(slug=tenant), slug=slug)

    shown = [
        row for page in pages(api_client(), "/api/v1/repositories?page_size=1") for row in page
    ]

    assert [(row["tenant"], row["repo"]) for row in shown] == [
        ("acme", "a-b"),
        ("acme", "a.b"),
        ("acme", "api"),
        ("acme", "zeta"),
        ("b-team", "a"),
        ("rival", "api"),
    ]


def test_branches_of_a_repository_are_ordered_by_code_point(tenant_world: World) -> None:
    for name in ("ä", "a\u0308", "z", "Z", "ein/Ärger", "日本"):
        BranchFactory.create(repository=tenant_world.repository, name=name)

    address = "/api/v1/repositories/acme/api/branches?page_size=2"
    shown = [row["name"] for page in pages(api_client(), address) for row in page]

    assert shown == sorted(["main", "ä", "a\u0308", "z", "Z", "ein/Ärger", "日本"])


@pytest.mark.parametrize(
    "cursor",
    ["x", "p%3D1", "WyJhZnRlciIsWzFdXQ:forged", "%22", "a" * 5000],
)
def test_a_cursor_that_the_list_did_not_give_is_refused(cursor: str, tenant_world: World) -> None:
    answer = api_client().get(f"/api/v1/tasks?cursor={cursor}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == "/cursor"


def test_a_cursor_of_one_list_does_not_fit_another(tenant_world: World) -> None:
    tasks(tenant_world, 2)
    following = api_client().get("/api/v1/tasks?page_size=1").json()["next"]

    answer = api_client().get(following.replace("/tasks?", "/alerts?"))

    assert answer.status_code == 400


@pytest.mark.parametrize(("asked", "given"), [("", 4), ("1", 1), ("3", 3), ("9" * 40, 4)])
def test_a_page_has_as_many_rows_as_asked_for(asked: str, given: int, tenant_world: World) -> None:
    tasks(tenant_world, 4)

    assert len(api_client().get(f"/api/v1/tasks?page_size={asked}").json()["results"]) == given


@pytest.mark.parametrize("size", ["0", "-1", "many", "1.5", "\u0663", "1e2"])
def test_a_page_size_that_is_no_number_is_refused(size: str, tenant_world: World) -> None:
    answer = api_client().get("/api/v1/tasks", {"page_size": size})

    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["pointer"] == "/page_size"
    assert "from 1 to 200" in error["detail"]


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("tasks", "state=queued", 1),
        ("tasks", "state=unfinished", 2),
        ("tasks", "task_kind=stale_branch", 1),
        ("tasks", "branch=topic/ü", 1),
        ("tasks", "origin=sweep", 1),
        ("tasks", "error_code=host_unavailable", 1),
        ("tasks", "since=2026-03-02T12:30:00Z", 1),
        ("tasks", "until=2026-03-02T12:30:00Z", 3),
        ("findings", "state=open", 1),
        ("findings", "severity=low", 1),
        ("findings", "alerting=false", 1),
        ("findings", "stable_class=rewritten", 2),
        ("alerts", "state=unresolved", 1),
        ("alerts", "state=resolved", 1),
        ("alerts", "check_kind=head_drift", 2),
        ("deliveries", "applied=false", 1),
        ("deliveries", "outcome=accepted", 1),
        ("deliveries", "host_kind=github", 2),
        ("repositories", "unreadable=true", 1),
        ("repositories", "unreadable=false", 1),
        ("repositories", "active=false", 0),
        ("repositories", "search=AP", 2),
        ("branches", "disagrees=true", 2),
        ("branches", "disagrees=false", 1),
        ("branches", "gone=true", 1),
        ("branches", "name=main", 1),
        ("branches", "branch_class=default", 1),
        ("runs", "status=succeeded", 1),
        ("runs", "actor=bob", 1),
        ("sweeps", "trigger=manual", 1),
        ("sweeps", "scope=acme/main", 1),
    ],
)
def test_filters_narrow_a_list(path: str, query: str, expected: int, tenant_world: World) -> None:
    repository = tenant_world.repository
    TaskFactory.create(repository=repository, state="queued", branch="topic/ü")
    TaskFactory.create(repository=repository, state="running", branch="x", origin="sweep")
    TaskFactory.create(
        repository=repository, task_kind="stale_branch", created_at=NOON + timedelta(hours=1)
    )
    TaskFactory.create(repository=repository, state="dead", last_error_code="host_unavailable")
    AlertFactory.create(finding=FindingFactory.create(repository=repository))
    resolved = FindingFactory.create(
        repository=repository, state="resolved", severity="low", alerting=False
    )
    AlertFactory.create(finding=resolved, state="resolved")
    source = SourceFactory.create(repository=repository)
    DeliveryFactory.create(source=source, task=None)
    DeliveryFactory.create(source=source, task=None, outcome="ignored", applied_at=None)
    WatchFactory.create(repository=repository, failing_since=NOON)
    BranchFactory.create(repository=repository, name="gone", observed_head=None)
    BranchFactory.create(repository=repository, name="new", governed_head=None)
    RunRecordFactory.create(repository=repository, status="succeeded")
    RunRecordFactory.create(repository=repository, actor="bob")
    SweepFactory.create(trigger="manual", scope="acme/main")
    SweepFactory.create()

    assert len(api_client().get(f"/api/v1/{path}?{query}").json()["results"]) == expected


@pytest.mark.parametrize(
    "query",
    [
        "tasks?state=lost",
        "tasks?sweep=99999999999999999999",
        "tasks?sweep=-1",
        "tasks?sweep=x",
        "tasks?since=yesterday",
        "tasks?since=0001-01-01T00:00:00%2B14:00",
        "tasks?until=9999-12-31T23:59:59-14:00",
        "alerts?severity=terrible",
        "alerts?state=forgotten",
        "deliveries?outcome=lost",
        "deliveries?webhook_source=1e9",
        "sweeps?trigger=fire",
    ],
)
def test_a_filter_that_makes_no_sense_is_answered_with_its_name(
    query: str, tenant_world: World
) -> None:
    answer = api_client().get(f"/api/v1/{query}")

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    name = query.partition("?")[2].partition("=")[0]
    assert answer.json()["errors"][0]["pointer"] == f"/{name}"
