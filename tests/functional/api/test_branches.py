"""Branches over the API: any name git allows, the matrix, and accepting a head."""

from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from governance.models import Branch
from reconciliation.models import ReconciliationTask
from tests.conftest import World
from tests.factories.governance import (
    HEAD_A,
    HEAD_B,
    HEAD_C,
    NOON,
    BranchFactory,
    LeaseFactory,
    RunRecordFactory,
    api_client,
)
from tests.factories.reconciliation import (
    AlertFactory,
    FindingFactory,
    TaskFactory,
    WatchFactory,
)

BRANCHES = "/api/v1/repositories/acme/api/branches"
ACCEPT = "/api/v1/repositories/acme/api/accept-head"
REASON = "Released by hand during the outage."


@pytest.fixture
def admin(tenant_world: World) -> APIClient:
    return api_client(["admin"], tenant=tenant_world.tenant)


@pytest.mark.parametrize(
    "name",
    [
        "reach/login/20260302",
        "accept-head",
        "release/accept-head",
        "fix/50%-off",
        "fix/50%25-off",
        "naïve/ünïcode",
        "u\u0308mlaut",
        "日本/語",
        "a#b",
        "a&b=c+d",
        "feature/🚀",
    ],
)
def test_a_branch_is_found_by_its_exact_name(
    name: str, admin: APIClient, tenant_world: World
) -> None:
    BranchFactory.create(repository=tenant_world.repository, name=name)

    by_path = admin.get(f"{BRANCHES}/{quote(name)}")
    by_path_without_slashes = admin.get(f"{BRANCHES}/{quote(name, safe='')}")
    by_query = admin.get("/api/v1/branches", {"repo": "api", "name": name})

    assert by_path.json()["name"] == by_path_without_slashes.json()["name"] == name
    assert [row["name"] for row in by_query.json()["results"]] == [name]


def test_names_that_only_look_alike_are_different_branches(
    admin: APIClient, tenant_world: World
) -> None:
    BranchFactory.create(repository=tenant_world.repository, name="\u00fc")

    assert admin.get(f"{BRANCHES}/{quote('u' + chr(0x308))}").status_code == 404


def test_a_branch_in_full_has_everything_known_of_it(admin: APIClient, tenant_world: World) -> None:
    repository = tenant_world.repository
    WatchFactory.create(repository=repository)
    tenant_world.branch.observed_head = HEAD_B
    tenant_world.branch.save()
    finding = FindingFactory.create(repository=repository)
    FindingFactory.create(repository=repository, state="resolved", stable_class="rewound")
    AlertFactory.create(finding=finding)
    LeaseFactory.create(repository=repository, branch="main")
    RunRecordFactory.create(repository=repository, branch="main", status="succeeded")
    TaskFactory.create(repository=repository)
    TaskFactory.create(repository=repository, state="queued", task_kind="missing_run")

    shown = admin.get(f"{BRANCHES}/main").json()

    assert (shown["drift"], shown["open_findings"], shown["worst_severity"]) == (
        "rewritten",
        1,
        "high",
    )
    assert [row["id"] for row in shown["findings"]] == [finding.pk]
    assert [row["finding"] for row in shown["alerts"]] == [finding.pk]
    assert [row["user_id"] for row in shown["leases"]] == ["alice"]
    assert "token_digest" not in str(shown)
    assert [row["status"] for row in shown["runs"]] == ["succeeded"]
    assert len(shown["coherence"]["rows"]) == 5
    assert shown["next_check_at"] == "2026-03-02T12:00:00.000000Z"
    assert shown["last_check_at"] == "2026-03-02T12:00:02.000000Z"


@pytest.mark.parametrize(
    ("fields", "drift"),
    [
        ({}, "in_sync"),
        ({"observed_head": HEAD_B}, "unknown"),
        ({"observed_head": None, "gone_at": NOON}, "deleted"),
        ({"governed_head": None}, "created"),
        ({"observed_at": None, "observed_head": None}, "unknown"),
    ],
)
def test_a_list_tells_the_drift_and_never_in_sync_when_it_cannot_be_told(
    fields: dict[str, Any], drift: str, admin: APIClient, tenant_world: World
) -> None:
    Branch.objects.filter(pk=tenant_world.branch.pk).update(**fields)

    assert admin.get(BRANCHES).json()["results"][0]["drift"] == drift


def test_every_branch_of_a_repository_that_cannot_be_read_is_unknown(
    admin: APIClient, tenant_world: World
) -> None:
    WatchFactory.create(repository=tenant_world.repository, failing_since=NOON)

    assert admin.get(BRANCHES).json()["results"][0]["drift"] == "unknown"


def test_a_branch_in_full_costs_the_same_statements_whatever_happened_on_it(
    admin: APIClient, tenant_world: World
) -> None:
    costs = []
    admin.get("/api/v1/status")
    for number in (3, 30):
        for _ in range(number):
            finding = FindingFactory.create(repository=tenant_world.repository)
            AlertFactory.create(finding=finding)
            TaskFactory.create(repository=tenant_world.repository)
            RunRecordFactory.create(repository=tenant_world.repository, branch="main")
        with CaptureQueriesContext(connection) as statements:
            admin.get(f"{BRANCHES}/main")
        costs.append(len(statements))

    assert costs[0] == costs[1] <= 15


def test_an_accepted_head_is_governed_from_now_on_and_checked_at_once(
    admin: APIClient, tenant_world: World
) -> None:
    Branch.objects.filter(pk=tenant_world.branch.pk).update(observed_head=HEAD_B)
    body = {"branch": "main", "expected_head": HEAD_B, "reason": REASON}

    answer = admin.post(ACCEPT, body, format="json")

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["governed_head"], shown["drift"]) == (HEAD_B, "in_sync")
    assert shown["governed_by"].startswith("user:client-")
    task = ReconciliationTask.objects.get()
    assert (task.task_kind, task.branch, task.state) == ("head_drift", "main", "queued")
    assert task.correlation_id == answer.headers["X-Correlation-ID"]
    again = admin.post(ACCEPT, body, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_accept")


def test_a_head_that_moved_since_it_was_looked_at_is_not_accepted(
    admin: APIClient, tenant_world: World
) -> None:
    Branch.objects.filter(pk=tenant_world.branch.pk).update(observed_head=HEAD_C)
    body = {"branch": "main", "expected_head": HEAD_B, "reason": REASON}

    refused = admin.post(ACCEPT, body, format="json")

    assert (refused.status_code, refused.json()["code"]) == (409, "head_moved")
    assert HEAD_C in refused.json()["detail"]
    assert Branch.objects.get(pk=tenant_world.branch.pk).governed_head == HEAD_A


def test_accepting_a_head_needs_a_reason(admin: APIClient, tenant_world: World) -> None:
    Branch.objects.filter(pk=tenant_world.branch.pk).update(observed_head=HEAD_B)

    refused = admin.post(
        ACCEPT, {"branch": "main", "expected_head": HEAD_B, "reason": "ok"}, format="json"
    )

    assert refused.status_code == 400
    assert refused.json()["errors"][0] | {"detail": ""} == {
        "pointer": "/reason",
        "code": "reason_too_short",
        "detail": "",
    }


@pytest.mark.parametrize(
    ("fields", "presence", "is_gone"),
    [
        ({}, "present", False),
        ({"observed_head": None, "gone_at": NOON}, "gone", True),
        ({"observed_head": HEAD_B, "gone_at": NOON}, "recreated", False),
        ({"observed_head": None, "observed_at": None}, "never_seen", False),
        ({"observed_head": None, "governed_head": None}, "gone", False),
    ],
)
def test_one_field_says_whether_a_branch_is_there(
    admin: APIClient, tenant_world: World, fields: dict[str, Any], presence: str, is_gone: bool
) -> None:
    BranchFactory.create(repository=tenant_world.repository, name="topic", **fields)

    told = admin.get(f"{BRANCHES}/topic").json()

    assert told["presence"] == presence
    assert (told["gone_at"] is not None) is is_gone
