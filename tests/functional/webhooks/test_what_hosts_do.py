"""What hosts were seen to do over time, each a trap: silence, disorder, doubles, half-truths."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import override_settings

from audit.models import AuditEntry
from governance.models import Branch, GateResult, PullRequest
from reconciliation.models import (
    Finding,
    ReconciliationTask,
    WebhookDelivery,
    WebhookSecret,
)
from reconciliation.remotes.memory import MemoryCommit
from reconciliation.services.sources import forget_cached_sources
from reconciliation.webhooks.blind_spots import blind_spots_of
from reconciliation.webhooks.hosts import HostKind
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C, NOON
from tests.factories.webhooks import SECRET, ZERO, gitea_headers, push_body, webhook_source
from tests.functional.loop.test_the_loop import Loop, loop
from tests.functional.webhooks.hosted import Hosted
from tests.functional.webhooks.sending import post

__all__ = ["loop"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def github(loop: Loop) -> Hosted:
    return Hosted(loop, "github")


@pytest.fixture
def gitea(loop: Loop) -> Hosted:
    return Hosted(loop, "gitea")


def entries(action: str) -> list[Any]:
    return list(AuditEntry.objects.filter(action=action).order_by("id"))


# Deletions -------------------------------------------------------------------------------------


def test_gitea_announces_a_deleted_branch_by_delete_alone(gitea: Hosted) -> None:
    gitea.loop.remote.delete_branch(gitea.loop.url, "main")

    gitea.delete_event("main", pusher="mallory")
    gitea.settle()

    branch = gitea.branch("main")
    assert (branch.observed_head, branch.announced_by, branch.pusher) == (
        None,
        "webhook",
        "mallory",
    )
    assert Finding.objects.get().stable_class == "deleted"


def test_github_announces_a_deleted_branch_twice_and_it_is_one_observation(github: Hosted) -> None:
    github.loop.remote.delete_branch(github.loop.url, "main")

    github.delete_event("main")
    github.push(HEAD_A, ZERO, deleted=True)
    github.settle()

    observations = ReconciliationTask.objects.filter(task_kind="observe_refs")
    assert [task.attempts for task in observations] == [1]
    assert github.branch("main").head_changes == 1
    assert not WebhookDelivery.objects.filter(applied_at=None).exists()


def test_a_deletion_in_a_sha256_repository_has_64_zeros(github: Hosted) -> None:
    github.loop.remote.delete_branch(github.loop.url, "main")

    github.push("a" * 64, "0" * 64, deleted=True)
    github.settle()

    assert github.branch("main").announced_by == "webhook"


# What a push does not say ----------------------------------------------------------------------


def test_a_rewind_without_forced_flag_and_without_commits_is_found_by_asking_git(
    gitea: Hosted,
) -> None:
    gitea.loop.move("main", HEAD_B)
    gitea.push(HEAD_A, HEAD_B)
    gitea.settle()
    Branch.objects.update(governed_head=HEAD_B)
    gitea.loop.move("main", HEAD_A)

    gitea.push(HEAD_B, HEAD_A, commits=[], total_commits=0, forced=None)
    gitea.settle()

    assert "rewound" in {finding.stable_class for finding in Finding.objects.filter(state="open")}


def test_the_head_of_a_push_is_after_never_the_last_of_its_capped_commits(gitea: Hosted) -> None:
    gitea.loop.move("main", HEAD_B)
    five_of_25 = [{"id": f"{number:040x}"} for number in range(5)]

    gitea.push(HEAD_A, HEAD_B, commits=five_of_25, total_commits=10)
    gitea.settle()

    branch = gitea.branch("main")
    assert (branch.observed_head, branch.announced_by) == (HEAD_B, "webhook")


def test_the_previous_head_is_our_own_knowledge_whatever_the_host_calls_before(
    github: Hosted,
) -> None:
    github.loop.move("main", HEAD_B)

    github.push(HEAD_C, HEAD_B)
    github.settle()

    assert (github.branch("main").previous_head, github.branch("main").observed_head) == (
        HEAD_A,
        HEAD_B,
    )


def test_the_test_button_pushes_nothing_and_nothing_is_found(gitea: Hosted) -> None:
    told = gitea.push(HEAD_A, HEAD_A)
    gitea.settle()

    assert told["outcome"] == "accepted"
    assert gitea.branch("main").head_changes == 0
    assert not Finding.objects.exists()


@pytest.mark.parametrize("tag_object", [HEAD_B, "e" * 40], ids=["light", "annotated"])
def test_a_tag_is_never_branch_work_even_when_a_branch_has_its_name(
    github: Hosted, tag_object: str
) -> None:
    github.loop.remote.push(github.loop.url, "v1.0", MemoryCommit("f" * 40, (HEAD_A,)))

    told = github.push(ZERO, tag_object, ref="refs/tags/v1.0", branch="v1.0")

    assert (told["outcome"], told["task"]) == ("ignored", None)
    assert not Branch.objects.filter(name="v1.0").exists()


def test_a_branch_may_be_called_like_a_full_ref(gitea: Hosted) -> None:
    gitea.loop.remote.push(gitea.loop.url, "refs/heads/odd", MemoryCommit("f" * 40, (HEAD_A,)))

    gitea.push(ZERO, "f" * 40, branch="refs/heads/odd", pusher="bob")
    gitea.settle()

    assert gitea.branch("refs/heads/odd").pusher == "bob"
    assert not Branch.objects.filter(name="odd").exists()


# Doubles and disorder --------------------------------------------------------------------------


def test_one_push_announced_by_two_hooks_is_worked_once_and_both_are_applied(
    github: Hosted,
) -> None:
    github.loop.move("main", HEAD_B)

    github.push(HEAD_A, HEAD_B)
    github.push(HEAD_A, HEAD_B)
    github.settle()

    assert github.branch("main").head_changes == 1
    assert ReconciliationTask.objects.filter(task_kind="observe_refs").count() == 1
    assert not WebhookDelivery.objects.filter(applied_at=None).exists()


def test_a_burst_is_one_observation_that_sees_the_last_state(github: Hosted) -> None:
    chain = [HEAD_A, *(f"{number:040x}" for number in range(1, 11))]
    for before, after in pairwise(chain):
        github.loop.remote.push(github.loop.url, "main", MemoryCommit(after, (before,)))
        github.push(before, after, pusher=f"p-{after[-2:]}")

    github.settle()

    branch = github.branch("main")
    assert (branch.observed_head, branch.head_changes) == (chain[-1], 1)
    assert (branch.announced_by, branch.pusher) == ("webhook", f"p-{chain[-1][-2:]}")
    assert ReconciliationTask.objects.filter(task_kind="observe_refs").count() == 1


def test_pushes_that_arrive_in_the_wrong_order_name_the_right_pusher(github: Hosted) -> None:
    github.loop.move("main", HEAD_B)

    github.push("9" * 40, HEAD_B, pusher="second")
    github.push(HEAD_A, "9" * 40, pusher="first")
    github.settle()

    assert (github.branch("main").announced_by, github.branch("main").pusher) == (
        "webhook",
        "second",
    )


def pull_request(hosted: Hosted, action: str, *, at: str, **changed: Any) -> Any:
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
    return hosted.say("pull_request", document)


def test_a_pull_request_closed_before_it_was_opened_stays_closed(github: Hosted) -> None:
    pull_request(github, "closed", at="2026-03-02T12:00:05Z", state="closed")
    pull_request(github, "opened", at="2026-03-02T12:00:00Z")
    github.settle()

    assert PullRequest.objects.get().state == "closed"


def test_a_pull_request_merged_by_hand_stays_open_and_its_base_is_observed(gitea: Hosted) -> None:
    pull_request(gitea, "opened", at="2026-03-02T12:00:00Z")
    gitea.settle()
    gitea.loop.move("main", HEAD_B)

    gitea.push(HEAD_A, HEAD_B)
    gitea.settle()

    assert PullRequest.objects.get().state == "open"
    assert gitea.branch("main").observed_head == HEAD_B


def test_a_merged_pull_request_whose_branch_is_gone_keeps_its_branch_name(gitea: Hosted) -> None:
    repository = {"id": 7, "full_name": "acme/api"}
    gone = {"ref": "refs/pull/4/head", "label": "topic", "sha": HEAD_B, "repo": repository}

    pull_request(gitea, "closed", at="2026-03-02T12:00:00Z", state="closed", merged=True, head=gone)
    gitea.settle()

    assert (PullRequest.objects.get().head_branch, PullRequest.objects.get().state) == (
        "topic",
        "merged",
    )


def test_a_pull_request_from_a_branch_that_was_never_seen_leaves_no_dead_letter(
    github: Hosted,
) -> None:
    pull_request(github, "closed", at="2026-03-02T12:00:00Z", state="closed", merged=True)
    github.settle()

    assert PullRequest.objects.get().head_branch == "topic"
    assert not ReconciliationTask.objects.exclude(state="completed").exists()


def status(hosted: Hosted, state: str, *, at: str) -> Any:
    document = {
        "sha": HEAD_A,
        "state": state,
        "context": "ci/build",
        "branches": [{"name": "main"}],
        "repository": {"id": 7, "full_name": "acme/api"},
        "sender": {"login": "ci"},
        "updated_at": at,
        "created_at": at,
    }
    return hosted.say("status", document)


@pytest.mark.parametrize("drained_between", [False, True])
def test_a_result_that_overtakes_its_pending_stays(github: Hosted, drained_between: bool) -> None:
    status(github, "success", at="2026-03-02T12:00:05Z")
    if drained_between:
        github.settle()

    status(github, "pending", at="2026-03-02T12:00:00Z")
    github.settle()

    assert GateResult.objects.get().state == "success"


# Silence ---------------------------------------------------------------------------------------


def test_a_push_event_that_never_comes_is_healed_by_a_sweep_and_counted(github: Hosted) -> None:
    github.loop.move("main", HEAD_B)

    github.sweep()

    assert github.branch("main").announced_by == "sweep"
    assert (github.watch.changes_by_webhook, github.watch.changes_by_sweep) == (0, 1)
    assert any("5,000 branches" in spot.words for spot in blind_spots_of(HostKind.GITHUB))


def test_a_webhook_that_was_on_its_way_is_no_hole(github: Hosted) -> None:
    github.loop.remote.push(github.loop.url, "main", MemoryCommit("9" * 40, (HEAD_A,)))
    github.push(HEAD_A, "8" * 40)
    github.loop.drain(after=timedelta(seconds=1))
    assert github.watch.changes_by_sweep == 1

    github.push("8" * 40, "9" * 40, pusher="bob")
    github.settle()

    assert (github.watch.changes_by_webhook, github.watch.changes_by_sweep) == (1, 0)
    assert github.branch("main").pusher == "bob"


def test_a_webhook_that_comes_long_after_the_sweep_stays_a_hole(github: Hosted) -> None:
    github.loop.move("main", HEAD_B)
    github.sweep()
    Branch.objects.update(observed_at=github.loop.now - timedelta(hours=1))

    github.push(HEAD_A, HEAD_B, pusher="bob")
    github.settle()

    assert (github.watch.changes_by_webhook, github.watch.changes_by_sweep) == (0, 1)
    assert github.branch("main").pusher == "bob"


def test_a_default_branch_changed_in_silence_is_seen_by_a_sweep(gitea: Hosted) -> None:
    remote, url = gitea.loop.remote, gitea.loop.url
    remote.push(url, "trunk", MemoryCommit("9" * 40, (HEAD_A,)))
    gitea.sweep()
    assert gitea.branch("trunk").branch_class == "other"
    remote.set_default_branch(url, "trunk")

    gitea.sweep()

    assert gitea.row.default_branch == "trunk"
    assert gitea.branch("trunk").branch_class == "default"
    assert gitea.branch("main").branch_class == "default", "it stays one until a person accepts"
    [entry] = entries("repository.change")
    assert '"default_branch":["main","trunk"]' in entry.body
    checked = ReconciliationTask.objects.filter(subject="default main..trunk", state="completed")
    assert {task.branch for task in checked} == {"main", "trunk"}


def test_a_default_branch_that_was_never_seen_is_not_checked(gitea: Hosted) -> None:
    gitea.loop.remote.delete_branch(gitea.loop.url, "main")
    Branch.objects.all().delete()
    gitea.loop.remote.set_default_branch(gitea.loop.url, "unborn")

    gitea.sweep()

    assert gitea.row.default_branch == "unborn"
    assert not ReconciliationTask.objects.exclude(state="completed").exists()


# The address ---------------------------------------------------------------------------------


@override_settings(SECURE_SSL_REDIRECT=True, SECURE_REDIRECT_EXEMPT=[r"^api/v1/webhooks/"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_no_setting_makes_the_receiver_redirect(loop: Loop, slash: str) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    source = webhook_source(loop.repository, host="gitea")

    assert post(source, body, gitea_headers(body), slash=slash).status_code == 202


def test_a_request_without_secret_on_either_side_is_refused(loop: Loop) -> None:
    body = push_body("main", HEAD_A, HEAD_B)
    source = webhook_source(loop.repository, host="gitea")
    as_sent_without_secret = {
        **gitea_headers(body),
        "X-Gitea-Signature": "",
        "X-Hub-Signature": "sha1=",
        "X-Hub-Signature-256": "sha256=",
    }

    empty = post(source, body, as_sent_without_secret)
    WebhookSecret.objects.update(revoked_at=NOON)
    forget_cached_sources()
    unset = post(source, body, gitea_headers(body, secret=SECRET))
    under_nothing = post(source, body, gitea_headers(body, secret=""))

    assert (empty.status_code, empty.json()["code"]) == (401, "empty_signature")
    assert (unset.status_code, unset.json()["code"]) == (401, "no_secret")
    assert (under_nothing.status_code, under_nothing.json()["code"]) == (401, "no_secret")
