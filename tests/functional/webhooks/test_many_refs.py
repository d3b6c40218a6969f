"""Requests that move many refs, or none, and pushes that come as many requests."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from governance.models import Branch
from reconciliation.models import ReconciliationTask, WebhookDelivery, WebhookSource
from reconciliation.remotes.memory import MemoryCommit
from tests.conftest import World
from tests.factories.governance import HEAD_A, HEAD_B, api_client
from tests.factories.webhooks import SECRET, ZERO, webhook_source
from tests.functional.loop.test_the_loop import Loop, loop
from tests.functional.webhooks.hosted import Hosted
from tests.functional.webhooks.sending import post

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

TOPIC = "7" * 40
Move = tuple[str, str | None, str | None]
THREE_AND_A_TAG: list[Move] = [
    ("refs/heads/main", HEAD_A, HEAD_B),
    ("refs/heads/topic", None, TOPIC),
    ("refs/heads/old", HEAD_A, None),
    ("refs/tags/v1", None, HEAD_B),
]


def signature(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def bitbucket(moves: list[Move]) -> tuple[bytes, dict[str, str]]:
    def side(ref: str, oid: str | None) -> dict[str, Any] | None:
        kind, _, name = ref.removeprefix("refs/").partition("/")
        words = {"heads": "branch", "tags": "tag"}
        return {"type": words[kind], "name": name, "target": {"hash": oid}} if oid else None

    changes = [{"old": side(ref, old), "new": side(ref, new)} for ref, old, new in moves]
    body = json.dumps(
        {
            "push": {"changes": changes},
            "repository": {"uuid": "{7}", "full_name": "acme/api"},
            "actor": {"nickname": "alice"},
        }
    ).encode()
    return body, {"X-Event-Key": "repo:push", "X-Hub-Signature": f"sha256={signature(body)}"}


def bitbucket_dc(moves: list[Move]) -> tuple[bytes, dict[str, str]]:
    changes = [
        {"ref": {"id": ref}, "fromHash": old or ZERO, "toHash": new or ZERO}
        for ref, old, new in moves
    ]
    body = json.dumps(
        {
            "eventKey": "repo:refs_changed",
            "changes": changes,
            "repository": {"id": 7, "slug": "api", "project": {"key": "ACME"}},
            "actor": {"name": "alice"},
        }
    ).encode()
    return body, {
        "X-Event-Key": "repo:refs_changed",
        "X-Hub-Signature": f"sha256={signature(body)}",
    }


def azure(moves: list[Move]) -> tuple[bytes, dict[str, str]]:
    updates = [
        {"name": ref, "oldObjectId": old or ZERO, "newObjectId": new or ZERO}
        for ref, old, new in moves
    ]
    body = json.dumps(
        {
            "id": "event-1",
            "eventType": "git.push",
            "resource": {
                "refUpdates": updates,
                "repository": {"id": "7", "name": "api", "project": {"name": "acme"}},
                "pushedBy": {"uniqueName": "alice"},
            },
        }
    ).encode()
    login = base64.b64encode(f"hook:{SECRET}".encode()).decode()
    return body, {"Authorization": f"Basic {login}"}


def gitlab(moves: list[Move]) -> tuple[bytes, dict[str, str]]:
    changes = [{"ref": ref, "before": old or ZERO, "after": new or ZERO} for ref, old, new in moves]
    body = json.dumps(
        {
            "event_name": "repository_update",
            "project_id": 7,
            "project": {"path_with_namespace": "acme/api"},
            "user_name": "alice",
            "changes": changes,
        }
    ).encode()
    return body, {"X-Gitlab-Event": "System Hook", "X-Gitlab-Token": SECRET}


SPEAKERS = {"bitbucket": bitbucket, "bitbucket_dc": bitbucket_dc, "azure": azure, "gitlab": gitlab}


@pytest.mark.parametrize("host", SPEAKERS)
def test_one_request_about_many_refs_is_one_observation_of_all_of_them(
    loop: Loop, host: str
) -> None:
    hosted = Hosted(loop, host)
    loop.remote.push(loop.url, "old", MemoryCommit("8" * 40, (HEAD_A,)))
    hosted.sweep()
    loop.move("main", HEAD_B)
    loop.remote.push(loop.url, "topic", MemoryCommit(TOPIC, (HEAD_B,)))
    loop.remote.delete_branch(loop.url, "old")
    before = ReconciliationTask.objects.filter(task_kind="observe_refs").count()

    told = post(hosted.source, *SPEAKERS[host](THREE_AND_A_TAG)).json()
    hosted.settle()

    assert told["outcome"] == "accepted"
    assert ReconciliationTask.objects.filter(task_kind="observe_refs").count() == before + 1
    seen = {name: hosted.branch(name) for name in ("main", "topic", "old")}
    assert {name: row.observed_head for name, row in seen.items()} == {
        "main": HEAD_B,
        "topic": TOPIC,
        "old": None,
    }
    assert {row.announced_by for row in seen.values()} == {"webhook"}
    assert {row.pusher for row in seen.values()} == {"alice"}
    assert not Branch.objects.filter(name="v1").exists()
    assert len(json.loads(WebhookDelivery.objects.get().events)) == 4


@pytest.mark.parametrize("host", SPEAKERS)
def test_a_request_about_no_ref_or_only_tags_is_no_branch_work(
    tenant_world: World, host: str
) -> None:
    source = webhook_source(tenant_world.repository, host=host)
    tags: list[Move] = [("refs/tags/v1", HEAD_A, HEAD_B), ("refs/tags/v2", HEAD_A, None)]

    answers = [post(source, *SPEAKERS[host](moves)) for moves in ([], tags)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert [answer.json()["task"] for answer in answers] == [None, None]
    assert not ReconciliationTask.objects.exists()


def test_ten_thousand_refs_in_one_request_are_one_observation(tenant_world: World) -> None:
    source = webhook_source(tenant_world.repository, host="azure")
    moves: list[Move] = [
        (f"refs/heads/b/{number:05d}", None, f"{number + 1:040x}") for number in range(10_000)
    ]

    told = post(source, *azure(moves)).json()
    shown = api_client().get(f"/api/v1/deliveries/{told['delivery']}").json()

    assert len(shown["events"]) == 10_000
    task = ReconciliationTask.objects.get()
    assert task.pk == told["task"]
    assert len(task.subject) < 100


def test_two_pushes_that_differ_in_their_last_ref_only_are_not_taken_for_one(
    tenant_world: World,
) -> None:
    source = webhook_source(tenant_world.repository, host="bitbucket")
    same: list[Move] = [(f"refs/heads/b/{number:05d}", HEAD_A, HEAD_B) for number in range(100)]

    keys = set()
    for last in ("c" * 40, "d" * 40):
        post(source, *bitbucket([*same, ("refs/heads/z", HEAD_A, last)]))
        keys |= set(ReconciliationTask.objects.values_list("idempotency_key", flat=True))
        ReconciliationTask.objects.update(state="completed")

    assert len(keys) == 2


def test_a_push_of_many_branches_that_lost_one_of_its_events_loses_no_branch(loop: Loop) -> None:
    gitea = Hosted(loop, "gitea")
    heads = {f"b/{number:02d}": f"{number + 1:040x}" for number in range(30)}
    for branch, head in heads.items():
        loop.remote.push(loop.url, branch, MemoryCommit(head, (HEAD_A,)))
        gitea.say("create", created(branch, head))
        if branch != "b/17":
            gitea.push(ZERO, head, branch=branch)

    gitea.settle()

    known = dict(Branch.objects.filter(name__startswith="b/").values_list("name", "observed_head"))
    assert known == heads
    assert not WebhookDelivery.objects.filter(applied_at=None).exists()
    assert ReconciliationTask.objects.filter(task_kind="observe_refs").count() == 1


@pytest.mark.parametrize("create_first", [True, False])
def test_create_and_push_of_a_new_branch_may_come_in_any_order(
    loop: Loop, create_first: bool
) -> None:
    gitea = Hosted(loop, "gitea")
    loop.remote.push(loop.url, "topic", MemoryCommit(TOPIC, (HEAD_A,)))
    saying = [
        lambda: gitea.say("create", created("topic", TOPIC)),
        lambda: gitea.push(ZERO, TOPIC, branch="topic", pusher="bob"),
    ]

    for say in saying if create_first else reversed(saying):
        say()
        gitea.settle()

    branch = gitea.branch("topic")
    assert (branch.observed_head, branch.announced_by, branch.pusher) == (TOPIC, "webhook", "bob")


def test_a_deleted_tag_comes_as_push_and_delete_and_is_no_branch_work(
    tenant_world: World, loop: Loop
) -> None:
    gitea = Hosted(loop, "gitea")

    pushed = gitea.push(HEAD_A, ZERO, ref="refs/tags/main")
    deleted = gitea.say("delete", created("main", HEAD_A) | {"ref_type": "tag"})
    gitea.settle()

    assert [pushed["task"], deleted["task"]] == [None, None]
    assert gitea.branch("main").announced_by != "webhook"
    assert not ReconciliationTask.objects.exists()


def test_a_pull_request_of_a_fork_announces_nothing_about_our_branch_of_that_name(
    loop: Loop,
) -> None:
    github = Hosted(loop, "github")
    loop.move("main", HEAD_B)
    ours, theirs = {"id": 7, "full_name": "acme/api"}, {"id": 8, "full_name": "mallory/api"}

    github.say(
        "pull_request",
        {
            "action": "opened",
            "repository": ours,
            "sender": {"login": "mallory"},
            "pull_request": {
                "number": 1,
                "state": "open",
                "merged": False,
                "head": {"ref": "main", "sha": HEAD_B, "repo": theirs},
                "base": {"ref": "main", "sha": HEAD_A, "repo": ours},
                "labels": [],
                "updated_at": "2026-03-02T12:00:00Z",
            },
        },
    )
    github.settle()

    branch = github.branch("main")
    assert (branch.observed_head, branch.announced_by, branch.pusher) == (HEAD_B, "sweep", "")
    assert github.watch.changes_by_sweep == 1


def created(branch: str, head: str) -> dict[str, Any]:
    return {
        "ref": branch,
        "ref_type": "branch",
        "sha": head,
        "repository": {"id": 7, "full_name": "acme/api"},
        "sender": {"login": "alice"},
    }


def test_a_redirected_delivery_arrives_as_an_empty_get_and_is_told_so(
    tenant_world: World,
) -> None:
    source: WebhookSource = webhook_source(tenant_world.repository, host="gitea")

    answer = api_client().get(f"/api/v1/webhooks/{source.token}/")

    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")
    assert not WebhookDelivery.objects.exists()
