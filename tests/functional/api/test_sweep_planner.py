"""The planner over the API and as a page: the lap, who waits and why, own tenants only."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tests.conftest import World
from tests.factories.governance import RepositoryFactory, TenantFactory, api_client
from tests.factories.reconciliation import WatchFactory

PLANNER = "/api/v1/sweeps/planner"


def watch(tenant: str, number: int = 1, *, host: str = "git.example") -> None:
    """Govern repositories that are due now."""
    owner = TenantFactory.create(slug=tenant)
    for _ in range(number):
        WatchFactory.create(
            repository=RepositoryFactory.create(tenant=owner),
            host=host,
            next_due_at=timezone.now() - timedelta(minutes=1),
        )


@pytest.fixture
def tight(settings: Any, tenant_world: World) -> None:
    """A tick takes two repositories, one of a tenant, and comes 60 times in an interval."""
    settings.SWEEP_REPOSITORIES_PER_TICK = 2
    settings.SWEEP_REPOSITORIES_PER_TENANT = 1
    settings.SWEEP_INTERVAL_SECONDS = 600
    settings.HOST_CALLS_PER_MINUTE = 10


@pytest.mark.usefixtures("tight")
def test_it_tells_the_lap_and_who_is_checked_less_often_than_set() -> None:
    watch("acme", 20)
    watch("small", 5)

    seen = api_client().get(PLANNER).json()

    assert seen["lap"]["repositories"] == 25
    assert seen["lap"]["due"] == 25
    assert seen["lap"]["length_seconds"] == 20 * 60
    assert [
        (one["tenant"], one["interval_seconds"], one["limited_by"]) for one in seen["starved"]
    ] == [("acme", 1200, "tenant_cap")]
    [host] = seen["hosts"]
    assert (host["calls_per_minute"], host["sweep_calls_per_minute"], host["room"]) == (10, 8, 8)
    intervals = {one["tenant"]: one["interval_seconds"] for one in seen["repositories"]}
    assert intervals == {"acme": 1200, "small": 600}


@pytest.mark.usefixtures("tight")
def test_a_caller_of_one_tenant_is_told_of_that_one_only() -> None:
    watch("acme", 3)
    watch("rival", 30, host="secret.example")

    answer = api_client(tenant=TenantFactory.create(slug="acme")).get(PLANNER)

    assert answer.json()["lap"]["repositories"] == 3
    assert "rival" not in answer.content.decode()
    assert "secret.example" not in answer.content.decode()


def test_pages_follow_one_another_without_gap_or_repeat(tenant_world: World) -> None:
    watch("acme", 120)

    names: list[str] = []
    after: str | None = ""
    while after is not None:
        seen = api_client().get(PLANNER, {"after": after}).json()
        names += [one["repo"] for one in seen["repositories"]]
        after = seen["next"]

    assert len(names) == len(set(names)) == 120


@pytest.mark.parametrize("after", ["nonsense", "2026-01-01|1", "2026-01-01T00:00:00+00:00|x", "|"])
def test_a_cursor_that_no_page_gave_is_refused(tenant_world: World, after: str) -> None:
    watch("acme")

    answer = api_client().get(PLANNER, {"after": after})

    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/after"]


@pytest.mark.usefixtures("tight")
def test_the_page_says_it_in_words() -> None:
    watch("acme", 20)
    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    page = client.get("/sweeps/planner").content.decode()

    assert "checked at least every 20 min" in page
    assert "tenant cap" in page


def test_with_nothing_to_check_the_page_says_so(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))

    assert "No repository is watched yet" in client.get("/sweeps/planner").content.decode()
