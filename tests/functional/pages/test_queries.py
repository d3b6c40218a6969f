"""Pages cost the same number of queries whatever the number of rows."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from governance.models import Repository
from reconciliation.models import Sweep
from tests.factories.governance import (
    HEAD_B,
    NOON,
    BranchFactory,
    LeaseFactory,
    RepositoryFactory,
    RunRecordFactory,
    TenantFactory,
)
from tests.functional.pages.rows import alert_on, task_on, watch_of

pytestmark = pytest.mark.django_db


def grow(number: int) -> None:
    """Add `number` repositories, and `number` troubled branches to one repository."""
    tenant = TenantFactory.create(slug="acme")
    for _ in range(number):
        elsewhere = BranchFactory.create(repository=RepositoryFactory.create(tenant=tenant))
        watch_of(elsewhere)
        alert_on(elsewhere)
    busy = Repository.objects.filter(slug="busy").first()
    if busy is None:
        busy = RepositoryFactory.create(tenant=tenant, slug="busy")
        watch_of(BranchFactory.create(repository=busy, name="main"))
    main = busy.branches.get(name="main")
    sweep = Sweep.objects.filter(scope="").first() or Sweep.objects.create(
        slot=NOON,
        trigger="schedule",
        budget_repositories=1,
        worklist_digest="0" * 64,
        worklist="[]",
        considered=1,
        planned=1,
        correlation_id="trace-of-sweep",
        started_at=NOON,
        planned_at=NOON,
    )
    for index in range(number):
        branch = BranchFactory.create(repository=busy, observed_head=HEAD_B)
        alert_on(branch)
        task_on(branch, sweep=sweep, ordinal=branch.pk)
        dead = {"state": "dead", "last_error_code": f"code_{branch.pk}"}
        task_on(branch, **dead)
        task_on(main, subject=f"{branch.pk}", correlation_id="trace-of-main")
        RunRecordFactory.create(repository=busy, branch="main", status="succeeded")
        LeaseFactory.create(
            repository=busy, branch="main", scope="path-prefix", paths=[f"src/{index}"]
        )


def queries_of(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address)
    assert response.status_code == 200, address
    return len(captured)


ADDRESSES: dict[str, Callable[[], str]] = {
    "overview": lambda: "/",
    "alerts": lambda: "/alerts",
    "all alerts": lambda: "/alerts?state=all",
    "findings": lambda: "/findings",
    "repositories": lambda: "/repositories",
    "repository": lambda: "/repositories/acme/busy",
    "branch": lambda: "/repositories/acme/busy/branches/main",
    "tasks": lambda: "/tasks",
    "dead letters": lambda: "/tasks?state=dead",
    "sweeps": lambda: "/sweeps",
    "sweep planner": lambda: "/sweeps/planner",
    "sweep": lambda: f"/sweeps/{Sweep.objects.get().pk}",
    "trace": lambda: "/trace/trace-of-main",
    "admin alerts": lambda: "/admin/reconciliation/alert/",
    "admin branches": lambda: "/admin/governance/branch/",
    "admin findings": lambda: "/admin/reconciliation/finding/",
    "admin leases": lambda: "/admin/governance/lease/",
    "admin repositories": lambda: "/admin/governance/repository/",
    "admin runs": lambda: "/admin/governance/runrecord/",
    "admin tasks": lambda: "/admin/reconciliation/reconciliationtask/",
}


def test_every_page_asks_as_often_for_thirty_rows_as_for_three() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    grow(3)
    few = {name: queries_of(client, address()) for name, address in ADDRESSES.items()}

    grow(27)
    many = {name: queries_of(client, address()) for name, address in ADDRESSES.items()}

    assert many == few
    assert max(many.values()) <= 20
