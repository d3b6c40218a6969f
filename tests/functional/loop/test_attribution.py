"""Who pushed is known push by push: coalesced, on top of each other, or announced late."""

from datetime import UTC, datetime, timedelta

import pytest

from governance.models import Branch, PullRequest
from reconciliation.models import Finding, ReconciliationTask, TaskKind
from reconciliation.remotes.memory import MemoryCommit
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.factories.governance import CORRELATION_ID, HEAD_A, HEAD_B, BranchFactory, LeaseFactory
from tests.factories.webhooks import ZERO
from tests.functional.loop.test_the_loop import Loop, loop
from tests.integration.policy.acts import publish

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

NEXT = "7" * 40
YEARS = timedelta(days=3650)


@pytest.fixture
def leased(loop: Loop) -> Loop:
    """Return a loop whose main is leased to alice, and has one more commit to come."""
    LeaseFactory.create(
        repository=loop.repository,
        branch="main",
        user_id="alice",
        agent_id="",
        acquired_at=loop.now - YEARS,
        expires_at=loop.now + YEARS,
        max_expires_at=loop.now + YEARS,
    )
    loop.remote.push(
        loop.url, "main", MemoryCommit(HEAD_B, (HEAD_A,)), MemoryCommit(NEXT, (HEAD_B,))
    )
    loop.remote.reset(loop.url, "main", HEAD_A)
    return loop


def pushers(loop: Loop) -> list[str]:
    return [push["pusher"] for push in loop.branch().pushes]


def rules() -> set[str]:
    finding = Finding.objects.get(check_kind="head_drift")
    return {hit["rule"] for hit in finding.rule_hits}


def test_of_coalesced_pushes_every_pusher_is_known(leased: Loop) -> None:
    leased.move("main", NEXT)
    leased.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    leased.announce("main", HEAD_B, NEXT, pusher="alice")

    leased.settle()

    assert ReconciliationTask.objects.filter(task_kind=TaskKind.OBSERVE_REFS).count() == 1
    assert pushers(leased) == ["mallory", "alice"]
    assert leased.branch().pusher == "alice"
    assert "drift.not_lease_holder" in rules()
    assert Finding.objects.get(check_kind="head_drift").actual["pushers"] == "alice, mallory"


def test_the_holder_does_not_hide_a_strangers_push_by_pushing_over_it(leased: Loop) -> None:
    leased.move("main", HEAD_B)
    leased.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    leased.settle()
    leased.move("main", NEXT)
    leased.announce("main", HEAD_B, NEXT, pusher="alice")
    leased.settle()

    assert pushers(leased) == ["mallory", "alice"]
    assert "drift.not_lease_holder" in rules()


def test_once_the_heads_agree_the_pushes_before_are_settled(leased: Loop) -> None:
    leased.move("main", HEAD_B)
    leased.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    leased.settle()
    Branch.objects.filter(pk=leased.branch().pk).update(governed_head=HEAD_B)
    leased.move("main", NEXT)
    leased.announce("main", HEAD_B, NEXT, pusher="alice")
    leased.settle()

    assert pushers(leased) == ["alice"]
    assert "drift.not_lease_holder" not in rules()


def test_what_a_sweep_saw_first_gets_all_of_its_pushers_when_they_are_announced(
    leased: Loop,
) -> None:
    leased.move("main", NEXT)
    plan_sweep(
        slot=leased.now,
        scope="",
        everything=True,
        trigger="manual",
        budget=Budget(repositories=1, per_tenant=1),
        correlation_id=CORRELATION_ID,
        now=leased.now,
    )
    leased.settle()
    assert pushers(leased) == [""]
    assert "drift.pusher_unknown_under_lease" in rules()

    leased.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    leased.announce("main", HEAD_B, NEXT, pusher="alice")
    leased.settle()

    assert sorted(pushers(leased)) == ["alice", "mallory"]
    assert "drift.not_lease_holder" in rules()


def test_who_pushed_what_a_sweep_saw_is_known_though_the_branch_moved_on_before_it_was_announced(
    leased: Loop,
) -> None:
    leased.move("main", HEAD_B)
    plan_sweep(
        slot=leased.now,
        scope="",
        everything=True,
        trigger="manual",
        budget=Budget(repositories=1, per_tenant=1),
        correlation_id=CORRELATION_ID,
        now=leased.now,
    )
    leased.settle()
    leased.move("main", NEXT)

    leased.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    leased.announce("main", HEAD_B, NEXT, pusher="alice")
    leased.settle()

    assert pushers(leased) == ["mallory", "alice"]
    assert "drift.not_lease_holder" in rules()
    assert "drift.pusher_unknown_under_lease" not in rules()


def test_a_governed_branch_that_is_cleaned_up_after_its_merge_is_expected(loop: Loop) -> None:
    text = "branches: {governed: ['reach/**']}\n"
    publish(text, "repository", "acme/main/api", now=datetime.now(UTC))
    BranchFactory.create(
        repository=loop.repository,
        name="reach/login/1",
        branch_class="governed",
        governed_head=HEAD_B,
        observed_head=HEAD_B,
    )
    PullRequest.objects.create(
        repository=loop.repository,
        number=7,
        state="merged",
        head_branch="reach/login/1",
        head_sha=HEAD_B,
        base_branch="main",
        seen_at=loop.now,
    )
    loop.announce("reach/login/1", HEAD_B, ZERO, pusher="alice")
    loop.settle()

    task = ReconciliationTask.objects.get(branch="reach/login/1", task_kind=TaskKind.HEAD_DRIFT)
    finding = Finding.objects.get(branch="reach/login/1", check_kind="head_drift")
    assert (task.policy_decision, finding.stable_class, finding.severity) == (
        "expected",
        "deleted",
        "low",
    )
