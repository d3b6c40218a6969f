"""The loop from webhook to alert, worked off in one process against the in-memory remote."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.services import verify
from governance.domain.policy import DEFAULT_DOCUMENT
from governance.models import Branch, Lease, Repository, RunRecord
from reconciliation.models import (
    Alert,
    Evaluation,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    TaskAttempt,
    TaskState,
)
from reconciliation.remotes.base import RemoteTarget, RemoteUnavailable
from reconciliation.remotes.memory import MemoryCommit, MemoryRemote
from reconciliation.services.alert_answers import acknowledge_alert
from reconciliation.services.execute import Drained, Limits, drain
from reconciliation.services.snapshots import accept_head
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.conftest import World
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    HEAD_C,
    LeaseFactory,
    RunRecordFactory,
)
from tests.factories.webhooks import github_headers, push_body, webhook_source

pytestmark = pytest.mark.django_db

LATER = datetime.fromisoformat("2100-01-01T00:00:00+00:00")
ADMIN = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))


class Loop:
    """A governed repository on an in-memory remote, with a clock that a test moves."""

    def __init__(self, world: World, remote: MemoryRemote, now: datetime) -> None:
        self.repository: Repository = world.repository
        self.remote = remote
        self.now = now
        self.url = self.repository.clone_url
        self.source = webhook_source(self.repository, now=now)
        self.deliveries = 0

    def move(self, branch: str, head: str) -> None:
        self.remote.reset(self.url, branch, head)

    def announce(
        self,
        branch: str,
        before: str,
        after: str,
        *,
        pusher: str = "alice",
        forced: bool | None = None,
    ) -> Any:
        self.deliveries += 1
        body = push_body(branch, before, after, pusher=pusher, forced=forced)
        headers = github_headers(body, delivery=f"delivery-{self.deliveries}")
        return Client().post(
            f"/api/v1/webhooks/{self.source.token}",
            data=body,
            content_type="application/json",
            headers=headers,
        )

    def drain(self, *, after: timedelta = timedelta(minutes=1)) -> Drained:
        self.now = max(self.now, datetime.now(self.now.tzinfo)) + after
        return drain(
            worker="test",
            remote=self.remote,
            clock=lambda: self.now,
            limits=Limits(batch=50, claim_seconds=60, total_seconds=60),
        )

    def settle(self) -> None:
        """Work off what is due now, and again when moved heads have settled."""
        self.drain()
        self.drain()

    def branch(self, name: str = "main") -> Branch:
        return Branch.objects.get(repository=self.repository, name=name)


SETTLE = timedelta(seconds=DEFAULT_DOCUMENT["head_drift"]["settle_seconds"])


@pytest.fixture
def loop(tenant_world: World, now: datetime) -> Loop:
    repository = tenant_world.repository
    RepositoryWatch.objects.create(repository=repository, next_due_at=now)
    remote = MemoryRemote()
    url = repository.clone_url
    remote.create(url)
    remote.push(url, "elsewhere", MemoryCommit(HEAD_C, (), files={"README": "3"}))
    remote.push(
        url,
        "main",
        MemoryCommit(HEAD_A, (), files={"README": "1"}),
        MemoryCommit(HEAD_B, (HEAD_A,), files={"README": "2"}),
    )
    remote.reset(url, "main", HEAD_A)
    remote.delete_branch(url, "elsewhere")
    remote.sync(RemoteTarget(url, str(repository.pk)), {"main": HEAD_A})
    return Loop(tenant_world, remote, now)


def test_an_ungoverned_push_becomes_a_finding_with_its_pusher(loop: Loop) -> None:
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")

    loop.settle()

    branch, finding = loop.branch(), Finding.objects.get()
    assert (branch.observed_head, branch.announced_by, branch.pusher) == (
        HEAD_B,
        "webhook",
        "mallory",
    )
    assert (finding.check_kind, finding.stable_class) == ("head_drift", "fast_forward")
    assert finding.actual["pusher"] == "mallory"
    assert not ReconciliationTask.objects.exclude(state=TaskState.COMPLETED).exists()


def test_a_push_that_must_settle_is_decided_once_when_it_has_settled(loop: Loop) -> None:
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B, forced=False)

    loop.drain()

    check = ReconciliationTask.objects.get(task_kind="head_drift")
    assert (check.state, check.claim_epoch) == (TaskState.QUEUED, 0)
    assert check.run_after - SETTLE == loop.branch().observed_at
    loop.drain(after=timedelta(minutes=2))
    assert Finding.objects.get().stable_class == "fast_forward"
    assert Evaluation.objects.filter(task=check).count() == 1
    assert not TaskAttempt.objects.filter(outcome="deferred").exists()


def test_everything_of_one_push_has_its_correlation_id(loop: Loop) -> None:
    loop.move("main", HEAD_B)
    told = loop.announce("main", HEAD_A, HEAD_B).json()

    loop.settle()

    ids = set(ReconciliationTask.objects.values_list("correlation_id", flat=True))
    assert ids == {told["correlation_id"]}
    assert Finding.objects.get().correlation_id == told["correlation_id"]
    assert verify("acme") is None


def test_a_push_covered_by_a_run_record_advances_the_snapshot(loop: Loop) -> None:
    RunRecordFactory.create(
        repository=loop.repository,
        branch="main",
        base_sha=HEAD_A,
        head_sha=HEAD_B,
        status="succeeded",
        ended_at=loop.now,
    )
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B)

    loop.drain()

    assert loop.branch().governed_head == HEAD_B
    assert loop.branch().governed_by.startswith("run:")
    assert not Finding.objects.exists()


def test_a_rewrite_of_the_default_branch_is_a_critical_alert(loop: Loop) -> None:
    loop.move("main", HEAD_C)
    loop.announce("main", HEAD_A, HEAD_C)

    loop.drain()

    alert = Alert.objects.get()
    assert (alert.severity, alert.state) == ("critical", "open")
    assert alert.finding.stable_class == "unrelated"
    assert [step["role"] for step in alert.escalation_ladder] == [
        "maintainer",
        "security-reviewer",
        "release-manager",
    ]


def test_a_push_whose_webhook_is_lost_is_found_by_the_sweep(loop: Loop) -> None:
    loop.move("main", HEAD_B)
    plan_sweep(
        slot=loop.now,
        scope="",
        everything=True,
        trigger="manual",
        budget=Budget(repositories=10, per_tenant=10),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )

    loop.settle()

    assert loop.branch().announced_by == "sweep"
    assert Finding.objects.get().stable_class == "fast_forward"


def test_a_webhook_that_comes_after_the_sweep_still_names_its_pusher(loop: Loop) -> None:
    test_a_push_whose_webhook_is_lost_is_found_by_the_sweep(loop)

    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    loop.settle()

    assert (loop.branch().announced_by, loop.branch().pusher) == ("webhook", "mallory")
    assert Finding.objects.get().actual["pusher"] == "mallory"


def test_the_same_sweep_slot_planned_twice_adds_no_task(loop: Loop) -> None:
    def plan() -> str:
        return plan_sweep(
            slot=loop.now,
            scope="",
            everything=True,
            trigger="manual",
            budget=Budget(repositories=10, per_tenant=10),
            correlation_id=CORRELATION_ID,
            now=loop.now,
        ).worklist.digest

    first = plan()
    count = ReconciliationTask.objects.count()

    assert plan() == first
    assert ReconciliationTask.objects.count() == count


def test_an_unreachable_remote_costs_a_retry_and_is_never_in_sync(loop: Loop) -> None:
    loop.remote.fail(loop.url, RemoteUnavailable("the host does not answer"))
    loop.announce("main", HEAD_A, HEAD_B)

    done = loop.drain()

    task = ReconciliationTask.objects.get()
    assert (done.retried, task.state, task.attempts) == (1, TaskState.QUEUED, 1)
    assert task.last_error == "the host does not answer"
    assert task.run_after > loop.now
    assert not Evaluation.objects.exists()
    assert RepositoryWatch.objects.get().consecutive_failures == 1


def test_an_acknowledgement_is_void_when_the_branch_moves_again(loop: Loop) -> None:
    test_a_rewrite_of_the_default_branch_is_a_critical_alert(loop)
    alert = Alert.objects.get()
    acknowledge_alert(
        alert.pk,
        caller=ADMIN,
        user_id=None,
        reason="We know, it was planned.",
        lasts=None,
        expected_state_digest=alert.state_digest,
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    assert Alert.objects.get().state == "acknowledged"
    loop.remote.push(loop.url, "main", MemoryCommit("d" * 40, (), files={"README": "4"}))
    loop.announce("main", HEAD_C, "d" * 40)

    loop.drain()

    assert Alert.objects.get().state == "open"


def test_accepting_a_head_resolves_finding_and_alert_after_two_clean_checks(loop: Loop) -> None:
    test_a_rewrite_of_the_default_branch_is_a_critical_alert(loop)
    accept_head(
        loop.repository.pk,
        "main",
        expected_head=HEAD_C,
        caller=ADMIN,
        reason="Reviewed with the team, this is the new history.",
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )

    loop.drain()
    assert Finding.objects.get().clean_checks == 1
    loop.drain()

    assert Finding.objects.get().state == "resolved"
    assert Alert.objects.get().state == "resolved"
    assert verify("acme") is None


def lease_in(loop: Loop, *, seconds_left: int, heartbeat: timedelta, run: bool) -> Lease:
    if run:
        RunRecordFactory.create(
            repository=loop.repository,
            branch="main",
            run_id="run-1",
            status="running",
            last_heartbeat_at=loop.now - heartbeat,
        )
    return LeaseFactory.create(
        repository=loop.repository,
        branch="main",
        run_id="run-1" if run else "",
        acquired_at=loop.now - timedelta(seconds=900 - seconds_left),
        expires_at=loop.now + timedelta(seconds=seconds_left),
        max_expires_at=loop.now + timedelta(hours=8),
        last_heartbeat_at=loop.now - heartbeat,
    )


def sweep_leases(loop: Loop) -> None:
    plan_sweep(
        slot=loop.now,
        scope="",
        everything=False,
        trigger="manual",
        budget=Budget(repositories=10, per_tenant=10),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    loop.drain(after=timedelta(0))


@pytest.fixture
def at_present(loop: Loop) -> Loop:
    loop.now = datetime.now(loop.now.tzinfo)
    return loop


def test_a_lease_of_a_living_run_is_renewed(at_present: Loop) -> None:
    lease = lease_in(at_present, seconds_left=100, heartbeat=timedelta(seconds=5), run=True)
    before = lease.expires_at

    sweep_leases(at_present)

    lease.refresh_from_db()
    assert lease.state == "held"
    assert lease.expires_at > before
    assert lease.renewals == 1


def test_a_lease_without_life_expires_and_its_run_is_abandoned(at_present: Loop) -> None:
    lease = lease_in(at_present, seconds_left=-1, heartbeat=timedelta(hours=1), run=True)

    sweep_leases(at_present)

    lease.refresh_from_db()
    assert lease.state == "expired"
    assert RunRecord.objects.get(run_id="run-1").status == "abandoned"
    assert Finding.objects.get().stable_class == "expired_without_life"


def test_a_drain_of_an_idle_queue_does_nothing(loop: Loop) -> None:
    done: Callable[[], Drained] = loop.drain

    assert done().batches == 0
