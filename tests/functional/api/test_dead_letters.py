"""Dead letters and sweeps over the API: groups, acts with reasons, caps, dry runs, tenants."""

from datetime import timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.selectors import entries_of_trace
from audit.services import verify
from governance.models import Repository
from reconciliation.models import ReconciliationTask, Sweep
from tests.conftest import World
from tests.factories.governance import NOON, RepositoryFactory, api_client
from tests.factories.reconciliation import TaskFactory, WatchFactory

pytestmark = pytest.mark.django_db

REASON = "The credential was renewed."
EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))


def dead(repository: Repository, code: str = "remote_auth_failed", **fields: Any) -> int:
    row = TaskFactory.create(
        repository=repository,
        state="dead",
        last_error_class="terminal",
        last_error_code=code,
        last_error="401",
        **fields,
    )
    return int(row.pk)


def client(world: World, *scopes: str) -> APIClient:
    return api_client(scopes or ("read", "tasks"), tenant=world.tenant)


def deal(caller: APIClient, act: str, **body: Any) -> Any:
    return caller.post(f"/api/v1/dead-letters/{act}", {"reason": REASON} | body, format="json")


def state_of(pk: int) -> str:
    return ReconciliationTask.objects.get(pk=pk).state


def test_dead_letters_are_grouped_by_cause_with_a_probable_fix(tenant_world: World) -> None:
    dead(tenant_world.repository)
    newest = dead(tenant_world.repository, created_at=NOON + timedelta(minutes=10))
    dead(tenant_world.repository, "branch_unknown")
    dead(tenant_world.strange_repository)

    body = client(tenant_world).get("/api/v1/dead-letters").json()

    assert body["count"] == 3
    assert [(one["error_code"], one["count"]) for one in body["groups"]] == [
        ("remote_auth_failed", 2),
        ("branch_unknown", 1),
    ]
    first = body["groups"][0]
    assert (first["host"], first["sample_task"], first["sample_error"]) == (
        "git.example",
        newest,
        "401",
    )
    assert (first["first_at"], first["last_at"]) == (
        "2026-03-02T12:00:02.000000Z",
        "2026-03-02T12:10:02.000000Z",
    )
    assert "Renew it" in first["probable_fix"]


def test_groups_can_be_narrowed_and_a_typo_is_told(tenant_world: World) -> None:
    dead(tenant_world.repository)
    dead(tenant_world.repository, "branch_unknown")
    reader = client(tenant_world)

    narrowed = reader.get("/api/v1/dead-letters?error_code=branch_unknown&repo=api").json()
    typo = reader.get("/api/v1/dead-letters?code=branch_unknown")

    assert narrowed["count"] == 1
    assert (typo.status_code, typo.json()["errors"][0]["pointer"]) == (400, "/code")


@pytest.mark.parametrize(("act", "state"), [("requeue", "queued"), ("discard", "discarded")])
@pytest.mark.parametrize(
    "which",
    [
        {"group": {"error_class": "terminal", "error_code": "x", "host": "git.example"}},
        {"filter": {"error_code": "x"}},
        "ids",
    ],
    ids=["group", "filter", "ids"],
)
def test_one_a_group_or_a_filter_is_dealt_with_and_the_trail_says_who(
    tenant_world: World, act: str, state: str, which: Any
) -> None:
    mine = dead(tenant_world.repository, "x", run_id="run-7", ordinal=3)
    other = dead(tenant_world.repository, "y")
    theirs = dead(tenant_world.strange_repository, "x")

    answer = deal(client(tenant_world), act, **({"ids": [mine]} if which == "ids" else which))

    body = answer.json()
    assert (answer.status_code, body["done"], body["not_found"], body["left"]) == (
        202 if act == "requeue" else 200,
        [mine],
        [],
        0,
    )
    watch = f"/api/v1/tasks/{mine}" if act == "requeue" else None
    assert answer.headers.get("Location") == watch
    assert [state_of(pk) for pk in (mine, other, theirs)] == [state, "dead", "dead"]
    row = ReconciliationTask.objects.get(pk=mine)
    assert (row.run_id, row.ordinal) == ("run-7", 3)
    [entry] = entries_of_trace(EVERYONE, body["correlation_id"])
    assert (entry.action, entry.actor_kind) == (f"dead_letters.{act}", "token")
    assert verify("acme") is None


def test_several_requeued_at_once_are_watched_by_the_trace_of_the_act(
    tenant_world: World,
) -> None:
    ids = [dead(tenant_world.repository), dead(tenant_world.repository)]

    answer = deal(client(tenant_world), "requeue", ids=ids)

    watched = answer.headers["Location"]
    assert watched == f"/api/v1/traces/{answer.json()['correlation_id']}"
    assert api_client(["read"], tenant=tenant_world.tenant).get(watched).status_code == 200


def test_ids_that_are_no_dead_letters_of_the_caller_are_not_found(tenant_world: World) -> None:
    mine, theirs = dead(tenant_world.repository), dead(tenant_world.strange_repository)
    alive = int(TaskFactory.create(repository=tenant_world.repository).pk)

    some = deal(client(tenant_world), "requeue", ids=[theirs, mine, alive, 10**12])
    none = deal(client(tenant_world), "requeue", ids=[theirs])

    assert some.json()["done"] == [mine]
    assert some.json()["not_found"] == sorted([theirs, alive, 10**12])
    assert none.status_code == 404
    assert state_of(theirs) == "dead"


def test_a_dry_run_needs_no_reason_and_changes_nothing(tenant_world: World) -> None:
    pk = dead(tenant_world.repository)

    answer = deal(client(tenant_world), "requeue", ids=[pk], dry_run=True, reason="")

    assert (answer.json()["dry_run"], answer.json()["done"]) == (True, [pk])
    assert state_of(pk) == "dead"


def test_what_lies_beyond_the_cap_is_counted(tenant_world: World) -> None:
    for _ in range(3):
        dead(tenant_world.repository)

    body = deal(client(tenant_world), "discard", filter={"tenant": "acme"}, cap=2).json()

    assert (len(body["done"]), body["left"]) == (2, 1)


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/ids", "one_of"),
        ({"ids": [1], "filter": {"repo": "api"}}, "/ids", "one_of"),
        ({"filter": {}}, "/filter", "required"),
        ({"ids": []}, "/ids", "empty"),
        ({"ids": [0]}, "/ids/0", "min_value"),
        ({"filter": {"repos": "api"}}, "/filter/repos", "unknown"),
        ({"filter": {"repo": "api"}, "reason": "too short"}, "/reason", "reason_too_short"),
        ({"filter": {"repo": "api"}, "cap": 0}, "/cap", "min_value"),
        ({"filter": {"repo": "api"}, "cap": 5001}, "/cap", "max_value"),
        ({"group": {"host": "git.example"}}, "/group/error_class", "required"),
    ],
)
def test_a_body_that_cannot_be_meant_changes_nothing(
    tenant_world: World, body: dict[str, Any], pointer: str, code: str
) -> None:
    pk = dead(tenant_world.repository)

    answer = deal(client(tenant_world), "discard", **body)

    assert answer.status_code == 400
    assert (pointer, code) in {(one["pointer"], one["code"]) for one in answer.json()["errors"]}
    assert state_of(pk) == "dead"


def start(caller: APIClient, **body: Any) -> Any:
    return caller.post("/api/v1/sweeps", body, format="json")


def test_a_sweep_starts_now_in_the_callers_own_tenant(tenant_world: World) -> None:
    WatchFactory.create(repository=tenant_world.repository, next_due_at=NOON)
    WatchFactory.create(repository=tenant_world.strange_repository, next_due_at=NOON)

    answer = start(client(tenant_world))

    body = answer.json()
    assert (answer.status_code, body["items"]) == (202, 1)
    assert (body["sweep"]["scope"], body["sweep"]["trigger"]) == ("acme", "manual")
    listed = client(tenant_world).get("/api/v1/sweeps").json()["results"]
    assert [one["id"] for one in listed] == [body["sweep"]["id"]]
    task = ReconciliationTask.objects.get()
    assert (task.tenant, task.task_kind, task.sweep_id) == ("acme", "observe_refs", listed[0]["id"])
    told = entries_of_trace(EVERYONE, task.correlation_id)
    assert {row.action for row in told} == {"sweep.plan", "sweep.start"}
    assert verify("acme") is None


def test_a_sweep_of_nothing_that_is_due_is_none(tenant_world: World) -> None:
    WatchFactory.create(repository=tenant_world.repository, next_due_at=NOON + timedelta(days=9**5))

    answer = start(client(tenant_world))
    whatever_its_age = start(client(tenant_world), scope="acme/main/api", everything=True)

    assert (answer.status_code, answer.json()) == (200, {"items": 0, "sweep": None})
    assert whatever_its_age.status_code == 202
    assert Sweep.objects.count() == 1


@pytest.mark.parametrize("scope", ["rival", "acme/none", "acme/main/none", "acme/main/api/x", "/"])
def test_a_sweep_of_what_is_not_the_callers_is_not_found(tenant_world: World, scope: str) -> None:
    answer = start(client(tenant_world), scope=scope, everything=True)

    assert answer.status_code == 404
    assert not Sweep.objects.exists()


def test_a_caller_of_all_tenants_sweeps_all_of_them(tenant_world: World) -> None:
    other = RepositoryFactory.create()
    for repository in (tenant_world.repository, other):
        WatchFactory.create(repository=repository, next_due_at=NOON)

    assert start(api_client(["tasks"])).json()["items"] == 2
