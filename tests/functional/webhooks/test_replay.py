"""Replaying deliveries: by service, API, command and admin, with a dry run and a reason."""

import io
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from audit.models import AuditEntry
from audit.services import verify
from governance.models import Branch, Membership, PullRequest, Repository
from reconciliation.models import ReconciliationTask, TaskState, WebhookDelivery, WebhookSource
from reconciliation.services.sources import forget_cached_sources
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, api_client
from tests.factories.webhooks import github_headers
from tests.functional.loop.test_the_loop import Loop, loop
from tests.functional.webhooks.hosted import Hosted
from tests.functional.webhooks.sending import post, push

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

REASON = "The repository was connected late."


@pytest.fixture
def ignored(source: WebhookSource) -> WebhookDelivery:
    """Return a push that came while its repository was switched off, and is on now."""
    Repository.objects.filter(webhook_sources=source).update(is_active=False)
    push(source, HEAD_A, HEAD_B, delivery="d-1")
    Repository.objects.filter(webhook_sources=source).update(is_active=True)
    forget_cached_sources()
    return WebhookDelivery.objects.get()


def replay(delivery: WebhookDelivery, **body: Any) -> Any:
    return api_client(["tasks"]).post(
        f"/api/v1/deliveries/{delivery.pk}/replay", {"reason": REASON} | body, format="json"
    )


def test_a_dry_run_shows_what_would_be_planned_and_changes_nothing(
    ignored: WebhookDelivery,
) -> None:
    answer = replay(ignored, dry_run=True, reason="")

    [shown] = answer.json()["deliveries"]
    assert answer.status_code == 200
    assert shown == {
        "delivery": ignored.pk,
        "outcome": "planned",
        "reason": "ok",
        "tenant": "acme",
        "repo": "api",
        "subject": f"push main:{HEAD_A}..{HEAD_B}",
        "branches": ["main"],
        "task": None,
        "correlation_id": ignored.correlation_id,
    }
    assert not ReconciliationTask.objects.exists()
    assert not AuditEntry.objects.filter(action__startswith="deliver").exists()


def test_a_replay_plans_what_was_ignored_and_says_so_in_the_trail(
    ignored: WebhookDelivery,
) -> None:
    answer = replay(ignored)

    [shown] = answer.json()["deliveries"]
    ignored.refresh_from_db()
    task = ReconciliationTask.objects.get()
    assert (ignored.outcome, ignored.task_id, ignored.applied_at) == ("accepted", task.pk, None)
    assert (shown["outcome"], shown["task"]) == ("planned", task.pk)
    assert task.correlation_id == ignored.correlation_id
    act, one = AuditEntry.objects.filter(action__startswith="deliver").order_by("id")
    assert (act.action, act.correlation_id) == (
        "deliveries.replay",
        answer["X-Correlation-ID"],
    )
    assert (one.action, one.object_id, one.correlation_id) == (
        "delivery.replay",
        str(ignored.pk),
        ignored.correlation_id,
    )
    assert REASON in one.body
    assert verify("acme") is None


def test_a_delivery_names_the_tasks_that_it_caused(loop: Loop) -> None:
    github = Hosted(loop, "github")
    loop.move("main", HEAD_B)
    told = github.push(HEAD_A, HEAD_B)
    github.settle()

    shown = api_client().get(f"/api/v1/deliveries/{told['delivery']}").json()

    assert shown["events"][0]["after"] == HEAD_B
    assert {(task["task_kind"], task["branch"], task["state"]) for task in shown["tasks"]} >= {
        ("observe_refs", "", "completed"),
        ("head_drift", "main", "completed"),
        ("missing_run", "main", "completed"),
    }


def test_what_waits_already_is_left_waiting(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="d-1")

    [shown] = replay(WebhookDelivery.objects.get()).json()["deliveries"]

    assert shown["outcome"] == "waiting"
    assert ReconciliationTask.objects.get().series == 1


def test_what_died_comes_back_with_all_that_joined_it(source: WebhookSource) -> None:
    push(source, HEAD_A, HEAD_B, delivery="d-1")
    ReconciliationTask.objects.update(state=TaskState.DEAD, attempts=7)

    [shown] = replay(WebhookDelivery.objects.get()).json()["deliveries"]

    task = ReconciliationTask.objects.get()
    assert shown["outcome"] == "requeued"
    assert (task.state, task.series, task.attempts) == (TaskState.QUEUED, 2, 0)


def test_what_was_worked_is_worked_once_more_and_older_facts_undo_nothing(loop: Loop) -> None:
    github = Hosted(loop, "github")
    opened = _pull_request(github, "opened", at="2026-03-02T12:00:00Z")
    _pull_request(github, "closed", at="2026-03-02T12:00:05Z", state="closed")
    github.settle()
    delivery = WebhookDelivery.objects.get(pk=opened["delivery"])
    assert delivery.applied_at is not None

    [shown] = replay(delivery).json()["deliveries"]
    waiting = WebhookDelivery.objects.get(pk=delivery.pk).applied_at
    github.settle()

    assert shown["outcome"] == "planned"
    assert waiting is None
    assert WebhookDelivery.objects.get(pk=delivery.pk).applied_at is not None
    assert PullRequest.objects.get().state == "closed"


def _pull_request(github: Hosted, action: str, *, at: str, **changed: Any) -> Any:
    repository = {"id": 7, "full_name": "acme/api"}
    request = {
        "number": 4,
        "state": "open",
        "merged": False,
        "title": "A change",
        "user": {"login": "alice"},
        "head": {"ref": "topic", "sha": HEAD_B, "repo": repository},
        "base": {"ref": "main", "sha": HEAD_A, "repo": repository},
        "labels": [],
        "updated_at": at,
    }
    document = {
        "action": action,
        "pull_request": request | changed,
        "repository": repository,
        "sender": {"login": "alice"},
    }
    return github.say("pull_request", document)


def test_a_replay_heals_what_a_drain_never_saw(loop: Loop) -> None:
    github = Hosted(loop, "github")
    loop.move("main", HEAD_B)
    github.push(HEAD_A, HEAD_B, pusher="mallory")
    ReconciliationTask.objects.all().delete()

    replay(WebhookDelivery.objects.get())
    github.settle()

    assert Branch.objects.get(name="main").pusher == "mallory"


def test_without_its_body_a_delivery_is_replayed_from_what_was_understood(
    ignored: WebhookDelivery,
) -> None:
    WebhookDelivery.objects.update(body=None)

    [shown] = replay(ignored).json()["deliveries"]

    assert (shown["outcome"], shown["branches"]) == ("planned", ["main"])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"body": zlib.compress(b"{}")}, "body_altered"),
        (
            {
                "body": zlib.compress(b"{"),
                "body_sha256": "021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96",
            },
            "not_json",
        ),
        ({"body": None, "events": "[]", "outcome": "malformed"}, "body_gone"),
        ({"body": b"no zlib"}, "body_altered"),
        ({"body": zlib.compress(b"{}" * 100)[:9]}, "body_altered"),
    ],
    ids=["altered", "malformed", "gone", "no zlib", "cut"],
)
def test_what_cannot_be_read_is_told_and_left(
    ignored: WebhookDelivery, changed: dict[str, Any], reason: str
) -> None:
    WebhookDelivery.objects.update(**changed)

    [shown] = replay(ignored).json()["deliveries"]

    assert shown["outcome"] == "unreadable"
    assert reason in shown["reason"]
    assert not ReconciliationTask.objects.exists()


def test_a_kept_body_that_was_made_a_bomb_is_unpacked_no_further_than_it_was_long(
    ignored: WebhookDelivery,
) -> None:
    WebhookDelivery.objects.update(body=zlib.compress(b"0" * 100_000_000))

    tracemalloc.start()
    [shown] = replay(ignored).json()["deliveries"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert shown["outcome"] == "unreadable"
    assert "body_altered" in shown["reason"]
    assert peak < 20_000_000


def test_an_event_that_asks_for_nothing_is_told_so(source: WebhookSource) -> None:
    body = json.dumps({"action": "opened"}).encode()
    post(source, body, github_headers(body, event="issues"))

    [shown] = replay(WebhookDelivery.objects.get()).json()["deliveries"]

    assert (shown["outcome"], shown["reason"]) == ("nothing", "knowingly_ignored")


# The API ---------------------------------------------------------------------------------------


def many(source: WebhookSource, number: int) -> None:
    Repository.objects.filter(webhook_sources=source).update(is_active=False)
    for index in range(number):
        push(source, f"{index:040x}", f"{index + 1:040x}", delivery=f"d-{index}")
    Repository.objects.filter(webhook_sources=source).update(is_active=True)


def replay_many(scopes: list[str] | None = None, **body: Any) -> Any:
    return api_client(scopes or ["tasks"]).post(
        "/api/v1/deliveries/replay", {"reason": REASON} | body, format="json"
    )


def test_many_are_replayed_by_filter_up_to_a_cap_oldest_first(source: WebhookSource) -> None:
    many(source, 5)

    answer = replay_many(filter={"outcome": "ignored", "repo": "api"}, cap=2).json()

    ids = list(WebhookDelivery.objects.order_by("id").values_list("pk", flat=True))
    assert [one["delivery"] for one in answer["deliveries"]] == ids[:2]
    assert answer["left"] == 3


@pytest.mark.parametrize(
    ("chosen", "number"),
    [
        ({"webhook_source": 10**6}, 0),
        ({"tenant": "rival"}, 0),
        ({"event": "push"}, 3),
        ({"host_kind": "gitlab"}, 0),
        ({"applied": False}, 3),
        ({"applied": True}, 0),
        ({"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"}, 3),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
    ],
)
def test_a_filter_narrows(source: WebhookSource, chosen: dict[str, Any], number: int) -> None:
    many(source, 3)

    answer = replay_many(filter=chosen, dry_run=True)

    assert len(answer.json()["deliveries"]) == number


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"filter": {}}, "/filter"),
        ({"filter": {"event": "push"}, "reason": "short"}, "/reason"),
        ({"filter": {"evnt": "push"}}, "/filter/evnt"),
        ({"filter": {"event": "push"}, "cap": 1001}, "/cap"),
        ({}, "/filter"),
    ],
)
def test_a_replay_that_is_not_meant_is_refused(
    source: WebhookSource, body: dict[str, Any], pointer: str
) -> None:
    many(source, 1)

    answer = replay_many(**body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert not ReconciliationTask.objects.exists()


def test_a_replay_needs_the_scope_tasks(ignored: WebhookDelivery) -> None:
    answer = replay_many(["read", "alerts"], filter={"event": "push"})

    assert answer.status_code == 403


def test_another_tenants_delivery_does_not_exist(
    ignored: WebhookDelivery, tenant_world: World
) -> None:
    client = api_client(["tasks"], tenant_world.stranger)

    one = client.post(f"/api/v1/deliveries/{ignored.pk}/replay", {"reason": REASON}, format="json")
    all_of_them = client.post(
        "/api/v1/deliveries/replay", {"filter": {"event": "push"}, "reason": REASON}, format="json"
    )

    assert one.status_code == 404
    assert all_of_them.json()["deliveries"] == []


# The command -----------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("deliveries", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_shows_and_replays(ignored: WebhookDelivery) -> None:
    listed = json.loads(run("list", "--repository", "acme/api", "--json"))["deliveries"]
    shown = json.loads(run("show", str(ignored.pk)))
    would = json.loads(run("replay", "--outcome", "ignored", "--dry-run", "--json"))
    done = json.loads(run("replay", str(ignored.pk), "--reason", REASON, "--json"))
    after = json.loads(run("show", str(ignored.pk)))

    assert [row["id"] for row in listed] == [ignored.pk]
    assert (shown["outcome"], shown["tasks"], shown["body_is_kept"]) == ("ignored", [], True)
    assert (would["dry_run"], would["deliveries"][0]["outcome"]) == (True, "planned")
    assert done["deliveries"][0]["task"] == ReconciliationTask.objects.get().pk
    assert [task["state"] for task in after["tasks"]] == ["queued"]


@pytest.mark.parametrize(
    "options",
    [
        ["--since", "2100-01-01"],
        ["--until", "2020-01-01T00:00:00Z"],
        ["--source", "1000000"],
        ["--event", "issues"],
        ["--outcome", "accepted"],
        ["--repository", "acme/main/web"],
    ],
)
def test_the_commands_options_narrow(ignored: WebhookDelivery, options: list[str]) -> None:
    assert json.loads(run("list", *options, "--json"))["deliveries"] == []


def test_the_command_speaks_to_people_too(ignored: WebhookDelivery) -> None:
    assert f"{ignored.pk}  " in run("list")
    assert "1 deliveries looked at; nothing was changed" in run(
        "replay", "--not-applied", "--dry-run"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay", "--reason", REASON],
        ["replay", "1", "--reason", "short"],
        ["show"],
        ["show", "4000000"],
        ["show", "99999999999999999999"],
        ["list", "--source", "99999999999999999999"],
        ["replay", "-1", "--reason", REASON],
        ["replay", "--source", "1", "--dry-run", "--cap", "0"],
        ["list", "--limit", "-1"],
        ["list", "--since", "yesterday"],
        ["list", "--since", "0001-01-01T00:00:00+14:00"],
        ["list", "--repository", "api"],
    ],
)
def test_the_command_refuses_what_is_not_meant(
    ignored: WebhookDelivery, arguments: list[str]
) -> None:
    with pytest.raises(CommandError):
        run(*arguments)


# The admin -------------------------------------------------------------------------------------


def person(name: str, role: str, world: World) -> Client:
    user = get_user_model().objects.create_user(name, is_staff=True)
    Membership.objects.create(user=user, tenant=world.tenant, role=role)
    client = Client()
    client.force_login(user)
    return client


def test_the_admin_shows_what_a_replay_would_do_and_then_does_it(
    ignored: WebhookDelivery, tenant_world: World
) -> None:
    olga = person("olga", "operator", tenant_world)
    page = reverse("admin:reconciliation_webhookdelivery_changelist")
    asked = {"action": "replay", "_selected_action": [ignored.pk]}

    preview = olga.post(page, asked).content.decode()
    untouched = not ReconciliationTask.objects.exists()
    olga.post(page, asked | {"apply": "1", "reason": REASON})

    assert f"push main:{HEAD_A}..{HEAD_B}" in preview
    assert untouched
    task = ReconciliationTask.objects.get()
    record = olga.get(reverse("admin:reconciliation_webhookdelivery_change", args=[ignored.pk]))
    assert reverse("pages:task", args=[task.pk]) in record.content.decode()


def test_a_viewer_is_not_offered_a_replay(ignored: WebhookDelivery, tenant_world: World) -> None:
    vera = person("vera", "viewer", tenant_world)
    page = reverse("admin:reconciliation_webhookdelivery_changelist")

    vera.post(
        page, {"action": "replay", "_selected_action": [ignored.pk], "apply": "1", "reason": REASON}
    )

    assert not ReconciliationTask.objects.exists()


def test_the_admins_list_tells_what_was_not_worked_in(
    ignored: WebhookDelivery, tenant_world: World
) -> None:
    olga = person("olga", "operator", tenant_world)
    page = reverse("admin:reconciliation_webhookdelivery_changelist")

    listed = {
        wanted: olga.get(page, {"worked_in": wanted}).content.decode().count("action-select")
        for wanted in ("no", "yes", "what")
    }

    assert listed["no"] == listed["what"] > listed["yes"]


def test_the_admin_shows_whether_the_body_is_kept_and_never_the_body(
    ignored: WebhookDelivery, tenant_world: World
) -> None:
    olga = person("olga", "operator", tenant_world)
    page = reverse("admin:reconciliation_webhookdelivery_change", args=[ignored.pk])

    before = olga.get(page).content.decode()
    WebhookDelivery.objects.update(body=None)
    after = olga.get(page).content.decode()

    assert f"{ignored.body_bytes} bytes, kept<" in before
    assert f"{ignored.body_bytes} bytes, kept no more<" in after
    assert "pusher" not in before
