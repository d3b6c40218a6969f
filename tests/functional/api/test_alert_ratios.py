"""Alert ratios as a caller gets them: own tenants only, compared with the median."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from governance.models import Repository
from reconciliation.models import WebhookRefusal
from tests.conftest import World
from tests.factories.governance import NOON, RepositoryFactory, api_client
from tests.factories.reconciliation import (
    AlertFactory,
    AttemptFactory,
    FindingFactory,
    SourceFactory,
    TaskFactory,
    WatchFactory,
)

RATIOS = "/api/v1/alert-ratios"


def work(repository: Repository, *, completed: int, alerts: int) -> None:
    """Store completed tasks and open alerts."""
    for _ in range(completed):
        AttemptFactory.create(task=TaskFactory.create(repository=repository))
    for _ in range(alerts):
        AlertFactory.create(finding=FindingFactory.create(repository=repository))


@pytest.fixture
def loud_repository(tenant_world: World) -> Repository:
    """One of four repositories raises six alerts on twenty tasks."""
    for number in range(2):
        quiet = RepositoryFactory.create(tenant=tenant_world.tenant, slug=f"quiet-{number}")
        work(quiet, completed=20, alerts=1)
    work(tenant_world.strange_repository, completed=20, alerts=1)
    work(tenant_world.repository, completed=20, alerts=6)
    return tenant_world.repository


def test_the_repository_that_stands_out_comes_first_with_its_hints(
    loud_repository: Repository,
) -> None:
    WatchFactory.create(repository=loud_repository, changes_by_webhook=0, changes_by_sweep=12)

    found = api_client().get(RATIOS, {"by": "repository"}).json()

    assert (found["by"], found["median_per_100"], found["places"]) == ("repository", 5.0, 4)
    first = found["lines"][0]
    assert (first["tenant"], first["repo"]) == ("acme", "api")
    assert (first["reconciliations"], first["alerts"], first["per_100"]) == (20, 6, 30.0)
    assert (first["times_median"], first["stands_out"]) == (6.0, True)
    assert [hint["code"] for hint in first["hints"]] == [
        "threshold_too_tight",
        "webhook_missing",
        "nobody_acts",
    ]
    assert [line["stands_out"] for line in found["lines"][1:]] == [False] * 3


def test_a_tenant_is_the_sum_of_its_repositories(loud_repository: Repository) -> None:
    lines = api_client().get(RATIOS).json()["lines"]

    assert [(line["tenant"], line["repo"]) for line in lines] == [("acme", None), ("rival", None)]
    assert (lines[0]["reconciliations"], lines[0]["alerts"]) == (60, 8)


def test_a_caller_is_compared_with_what_it_may_see(loud_repository: Repository) -> None:
    reader = api_client(tenant=loud_repository.tenant)

    found = reader.get(RATIOS, {"by": "repository"}).json()

    assert found["places"] == 3
    assert {line["tenant"] for line in found["lines"]} == {"acme"}
    assert reader.get(RATIOS, {"tenant": "rival"}).json()["lines"] == []


def test_refusals_for_want_of_the_right_secret_are_hinted_at(loud_repository: Repository) -> None:
    source = SourceFactory.create(repository=loud_repository)
    seen = {"source": source, "first_at": NOON, "last_at": "2100-01-01T00:00:00Z"}
    WebhookRefusal.objects.create(reason="mismatch", count=3, **seen)
    WebhookRefusal.objects.create(reason="not_json", count=9, **seen)

    first = api_client().get(RATIOS, {"by": "repository"}).json()["lines"][0]

    assert "3 so far" in next(
        hint["detail"] for hint in first["hints"] if hint["code"] == "secret_refused"
    )


@pytest.mark.parametrize("query", ["by=branch", "limit=0", "limit=201", "limit=x"])
def test_a_comparison_that_cannot_be_is_refused(query: str, tenant_world: World) -> None:
    answer = api_client().get(f"{RATIOS}?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_comparing_costs_the_same_statements_whatever_there_is(tenant_world: World) -> None:
    client, costs = api_client(), []
    client.get(RATIOS)
    for number in (3, 30):
        for _ in range(number):
            work(RepositoryFactory.create(tenant=tenant_world.tenant), completed=1, alerts=1)
        client.get(RATIOS)
        with CaptureQueriesContext(connection) as statements:
            client.get(RATIOS, {"by": "repository"})
        costs.append(len(statements))

    assert costs[0] == costs[1]
