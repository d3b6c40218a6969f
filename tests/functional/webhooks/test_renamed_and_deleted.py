"""Repositories that hosts rename, transfer, delete and bring back: the id says who is who."""

import json
from typing import Any

import pytest
from django.utils import timezone

from audit.models import AuditEntry
from audit.services import verify
from governance.models import Branch, PullRequest, Repository
from reconciliation.models import (
    Alert,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    TaskState,
    WebhookDelivery,
)
from reconciliation.remotes.base import RemoteAuthFailed, RemoteNotFound, RemoteUnavailable
from reconciliation.services.sources import forget_cached_sources
from tests.factories.governance import HEAD_A, HEAD_B
from tests.factories.webhooks import push_body
from tests.functional.loop.test_the_loop import Loop, loop
from tests.functional.webhooks.hosted import Hosted

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

RENAMED = "https://git.example/acme/renamed.git"


@pytest.fixture
def github(loop: Loop) -> Hosted:
    hosted = Hosted(loop, "github")
    loop.remote.rename(loop.url, RENAMED)
    return hosted


@pytest.fixture
def gitea(loop: Loop) -> Hosted:
    hosted = Hosted(loop, "gitea")
    loop.remote.rename(loop.url, RENAMED)
    return hosted


def entries(action: str) -> list[Any]:
    return list(AuditEntry.objects.filter(action=action).order_by("id"))


def test_a_rename_in_silence_is_learnt_from_the_next_push_and_keeps_everything(
    gitea: Hosted,
) -> None:
    gitea.push(HEAD_A, HEAD_A)
    gitea.settle()
    before = gitea.row

    gitea.push(HEAD_A, HEAD_A, name="acme/renamed")
    gitea.settle()

    after = gitea.row
    assert (after.pk, after.slug, after.host_repository_id) == (before.pk, before.slug, "7")
    assert (after.full_name, after.clone_url) == ("acme/renamed", RENAMED)
    assert Branch.objects.get().governed_head == HEAD_A
    assert len(entries("repository.change")) == 1


def test_an_announced_rename_moves_name_and_address(github: Hosted) -> None:
    github.renamed("api", "renamed")
    github.settle()

    assert (github.row.full_name, github.row.clone_url) == ("acme/renamed", RENAMED)


@pytest.mark.parametrize("drained_between", [False, True])
def test_a_push_that_a_rename_overtook_does_not_bring_the_old_name_back(
    github: Hosted, drained_between: bool
) -> None:
    github.renamed("api", "renamed")
    if drained_between:
        github.settle()
    github.loop.move("main", HEAD_B)

    github.push(HEAD_A, HEAD_B, name="acme/api")
    github.settle()

    assert (github.row.full_name, github.row.clone_url) == ("acme/renamed", RENAMED)
    assert github.branch("main").observed_head == HEAD_B


@pytest.mark.parametrize("drained_between", [False, True])
def test_a_repository_may_be_renamed_back(github: Hosted, drained_between: bool) -> None:
    github.renamed("api", "renamed")
    if drained_between:
        github.settle()

    github.renamed("renamed", "api")
    github.settle()

    assert (github.row.full_name, github.row.clone_url) == ("acme/api", github.loop.url)


def test_a_transfer_is_a_change_of_owner(github: Hosted) -> None:
    moved = {
        "id": 7,
        "name": "api",
        "full_name": "umbrella/api",
        "owner": {"login": "umbrella"},
    }
    github.loop.remote.rename(github.loop.url, "https://git.example/umbrella/api.git")

    github.repository_event(
        "transferred",
        repository=moved,
        changes={"owner": {"from": {"organization": {"login": "acme"}}}},
    )
    github.settle()

    assert github.row.full_name == "umbrella/api"
    assert github.row.clone_url == "https://git.example/umbrella/api.git"


@pytest.mark.parametrize(
    "name",
    ["../../evil/api", "acme/api?x=", "acme/api#", "@evil.example/acme", "evil.example:80/x y", ""],
)
def test_no_name_leads_our_credential_off_its_host(github: Hosted, name: str) -> None:
    github.push(HEAD_A, HEAD_A)
    github.settle()

    github.say(
        "push",
        {
            "ref": "refs/heads/main",
            "before": HEAD_A,
            "after": HEAD_A,
            "commits": [],
            "repository": {
                "id": 7,
                "full_name": name or "acme/api",
                "clone_url": "https://evil.example/acme/api.git",
            },
            "sender": {"login": "mallory"},
        },
    )
    github.settle()

    assert github.row.clone_url.startswith("https://git.example/")
    assert "evil" not in github.row.clone_url


@pytest.mark.parametrize("host", ["github", "gitea"])
def test_what_is_said_about_another_repository_is_not_stored_as_ours(loop: Loop, host: str) -> None:
    github, other = Hosted(loop, "github"), Hosted(loop, host)
    github.push(HEAD_A, HEAD_A)
    github.settle()
    assert (github.row.host_kind, github.row.host_repository_id) == ("github", "7")
    theirs = {"id": 8, "full_name": "acme/renamed"}
    closed = {
        "number": 4,
        "state": "closed",
        "head": {"ref": "topic", "sha": HEAD_B, "repo": theirs},
        "base": {"ref": "main", "sha": HEAD_A, "repo": theirs},
        "updated_at": "2026-03-02T12:00:00Z",
    }

    other.number = 100
    other.say("pull_request", {"action": "closed", "pull_request": closed, "repository": theirs})
    other.say("push", {**json.loads(push_body("main", HEAD_A, HEAD_B)), "repository": theirs})
    loop.move("main", HEAD_B)
    github.settle()

    assert (github.row.full_name, github.row.clone_url) == ("acme/api", loop.url)
    assert (github.row.host_kind, github.row.host_repository_id) == ("github", "7")
    assert not PullRequest.objects.exists()
    assert github.branch("main").observed_head == HEAD_B
    assert not WebhookDelivery.objects.filter(applied_at=None).exists()


# Deleted ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RemoteNotFound, RemoteAuthFailed])
def test_a_deleted_repository_is_switched_off_with_an_alert_and_stops_failing(
    github: Hosted, error: type[Any]
) -> None:
    github.loop.remote.fail(github.loop.url, error("there is no such repository"))
    github.push(HEAD_A, HEAD_B)
    github.repository_event("deleted")

    github.settle()

    alert = Alert.objects.select_related("finding").get()
    assert not github.row.is_active
    assert (alert.state, alert.finding.stable_class) == ("open", "repository_deleted")
    assert not ReconciliationTask.objects.filter(state=TaskState.DEAD).exists()
    assert not WebhookDelivery.objects.filter(applied_at=None).exists()
    assert len(entries("repository.switch_off")) == 1
    assert verify("acme") is None
    assert Branch.objects.get().governed_head == HEAD_A


def test_nothing_asks_for_a_deleted_repository_any_more(github: Hosted) -> None:
    test_a_deleted_repository_is_switched_off_with_an_alert_and_stops_failing(
        github, RemoteNotFound
    )
    asked = len(github.loop.remote.calls)

    told = github.push(HEAD_A, HEAD_B)
    github.sweep()

    assert (told["outcome"], told["reason"]) == ("ignored", "the repository is switched off")
    assert len(github.loop.remote.calls) == asked
    assert not ReconciliationTask.objects.filter(state=TaskState.DEAD).exists()


def test_what_was_queued_for_a_deleted_repository_is_discarded(github: Hosted) -> None:
    github.loop.remote.fail(github.loop.url, RemoteUnavailable("the host does not answer"))
    github.push(HEAD_A, HEAD_B)
    github.loop.drain()
    waiting = ReconciliationTask.objects.get()
    ReconciliationTask.objects.update(run_after=timezone.now().replace(year=2100), origin="api")
    github.loop.remote.fail(github.loop.url, RemoteNotFound("there is no such repository"))

    github.repository_event("deleted")
    github.settle()

    waiting.refresh_from_db()
    assert (waiting.state, waiting.last_error_code) == (TaskState.DISCARDED, "repository_deleted")


def test_a_deletion_that_git_does_not_confirm_changes_nothing(github: Hosted) -> None:
    github.repository_event("deleted")
    github.settle()

    assert github.row.is_active
    assert not Finding.objects.exists()


def test_a_host_that_is_down_confirms_no_deletion(github: Hosted) -> None:
    github.loop.remote.fail(github.loop.url, RemoteUnavailable("the host does not answer"))
    github.repository_event("deleted")
    github.loop.drain()
    assert github.row.is_active
    github.loop.remote.fail(github.loop.url, RemoteNotFound("there is no such repository"))

    github.settle()

    assert not github.row.is_active


def test_a_repository_not_found_without_announcement_is_a_matter_for_people(
    github: Hosted,
) -> None:
    github.loop.remote.fail(github.loop.url, RemoteNotFound("there is no such repository"))

    github.push(HEAD_A, HEAD_B)
    github.settle()

    assert github.row.is_active
    assert ReconciliationTask.objects.get().state == TaskState.DEAD


def test_a_repository_that_came_back_and_is_switched_on_resolves_its_alert(
    github: Hosted,
) -> None:
    test_a_deleted_repository_is_switched_off_with_an_alert_and_stops_failing(
        github, RemoteNotFound
    )
    github.loop.remote.fail(github.loop.url, None)
    Repository.objects.filter(pk=github.pk).update(is_active=True)
    forget_cached_sources()

    github.sweep()

    assert Alert.objects.get().state == "resolved"
    assert RepositoryWatch.objects.get().last_error_code == ""
