"""Executing: what each kind of trouble costs, who may still write, and what a batch may cost."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.selectors import entries_of_object
from audit.services import verify
from governance.models import Branch
from reconciliation.domain.retry import CAP, MAX_ATTEMPTS, backoff
from reconciliation.models import (
    Evaluation,
    Heartbeat,
    ReconciliationTask,
    RepositoryWatch,
    TaskAttempt,
    TaskKind,
)
from reconciliation.remotes.base import (
    RemoteAuthFailed,
    RemoteHeads,
    RemoteTarget,
    RemoteThrottled,
    RemoteUnavailable,
)
from reconciliation.services import execute
from reconciliation.services.batches import work_batch
from reconciliation.services.execute import Limits, drain
from reconciliation.services.reap import reap_lost_claims
from tests.factories.governance import HEAD_A, HEAD_B, RunRecordFactory
from tests.integration.queue.world import LIMITS, Queue, task

pytestmark = pytest.mark.django_db

EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))


def outcomes(pk: int) -> list[str]:
    return list(
        TaskAttempt.objects.filter(task=pk).order_by("id").values_list("outcome", flat=True)
    )


def statements(seen: CaptureQueriesContext) -> list[str]:
    return [query["sql"][:60] for query in seen if "SAVEPOINT" not in query["sql"]]


def test_a_host_that_asks_to_slow_down_burns_no_attempt_and_is_heeded(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    queue.remote.fail(repository.clone_url, RemoteThrottled("slow", retry_after_seconds=90))

    done = queue.drain()

    row = task(pk)
    assert (done.held, row.state, row.attempts) == (1, "queued", 0)
    assert row.run_after == queue.clock.now + timedelta(seconds=90)
    assert (row.last_error_class, row.last_error_code) == ("throttled", "remote_throttled")


def test_a_check_that_must_wait_burns_no_attempt(queue: Queue) -> None:
    repository = queue.repository("acme/api", ["topic"])
    Branch.objects.update(observed_head=HEAD_B, observed_at=queue.clock.now)
    queue.remote.reset(repository.clone_url, "topic", HEAD_B)
    [pk] = queue.drifts(repository, "topic")

    done = queue.drain()

    row = task(pk)
    assert (done.deferred, row.state, row.attempts, row.policy_decision) == (
        1,
        "queued",
        0,
        "settle",
    )
    assert row.run_after > queue.clock.now
    assert outcomes(pk) == ["deferred"]


def test_what_is_announced_again_while_it_runs_runs_again(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    claimed = queue.claim()
    queue.observe(repository)

    work_batch(claimed, remote=queue.remote, worker="ada", clock=queue.clock)

    row = task(pk)
    assert (row.state, row.series, row.attempts, row.rerun) == ("queued", 2, 0, False)
    queue.drain()
    assert (task(pk).state, outcomes(pk)) == ("completed", ["completed", "completed"])


def test_a_host_that_stays_away_ends_in_a_dead_letter_after_growing_waits(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    queue.remote.fail(repository.clone_url, RemoteUnavailable("nobody answers"))
    waits = []
    while task(pk).state == "queued":
        queue.clock.now = task(pk).run_after
        queue.drain()
        waits.append(task(pk).run_after - queue.clock.now)

    row = task(pk)
    assert (row.state, row.attempts, row.last_error_code) == ("dead", 7, "remote_unavailable")
    assert waits[:-1] == [backoff(row.idempotency_key, n) for n in range(1, MAX_ATTEMPTS)]
    assert waits[:-1] == sorted(waits[:-1])
    assert max(waits) <= CAP
    assert outcomes(pk) == ["retry"] * 6 + ["dead"]
    assert row.completed_at == queue.clock.now
    [entry] = entries_of_object(EVERYONE, kind="task", object_id=str(pk))
    assert (entry.action, entry.outcome) == ("task.dead", "transient")


def test_trouble_that_no_retry_can_mend_is_a_dead_letter_at_once(queue: Queue) -> None:
    repository = queue.repository()
    pk = queue.observe(repository)
    queue.remote.fail(repository.clone_url, RemoteAuthFailed("the credential was refused"))

    done = queue.drain()

    row = task(pk)
    assert (done.dead, row.state, row.attempts) == (1, "dead", 1)
    assert (row.last_error_class, row.last_error_code) == ("terminal", "remote_auth_failed")


class TrippingRemote:
    """A remote whose client has a bug that shows on one repository."""

    def __init__(self, queue: Queue, bad_url: str) -> None:
        self._remote, self._bad_url = queue.remote, bad_url

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        if target.clone_url == self._bad_url:
            raise ZeroDivisionError("nobody expected this")
        return self._remote.read_heads(target)


def test_an_unexpected_error_in_one_task_costs_only_that_task(
    queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    good = [queue.observe(queue.repository(f"acme/{name}")) for name in ("api", "web")]
    bad_repository = queue.repository("acme/bad")
    bad = queue.observe(bad_repository)

    done = drain(
        worker="ada",
        remote=TrippingRemote(queue, bad_repository.clone_url),
        clock=queue.clock,
        limits=LIMITS,
    )

    assert (done.completed, done.retried) == (2, 1)
    assert [task(pk).state for pk in good] == ["completed", "completed"]
    row = task(bad)
    assert (row.state, row.attempts, row.last_error_code) == (
        "queued",
        1,
        "unexpected_ZeroDivisionError",
    )
    assert "nobody expected this" in row.last_error
    assert "task.failed kind=observe_refs repo=acme/bad" in caplog.text


def test_a_worker_whose_claim_was_taken_back_can_no_longer_write(queue: Queue) -> None:
    repository = queue.repository("acme/api", ["topic"])
    RunRecordFactory.create(
        repository=repository,
        branch="topic",
        base_sha=HEAD_A,
        head_sha=HEAD_B,
        status="succeeded",
        ended_at=queue.clock.now,
    )
    Branch.objects.update(
        observed_head=HEAD_B, observed_at=queue.clock.now, pusher="alice", announced_by="webhook"
    )
    queue.remote.reset(repository.clone_url, "topic", HEAD_B)
    [pk] = queue.drifts(repository, "topic")
    claimed = queue.claim("ada")
    queue.clock.forward(seconds=60)
    reap_lost_claims(now=queue.clock.now)

    applied = work_batch(claimed, remote=queue.remote, worker="ada", clock=queue.clock)

    assert (applied.lost, applied.completed) == (1, 0)
    assert Branch.objects.get().governed_head == HEAD_A
    assert not Evaluation.objects.exists()
    assert outcomes(pk) == ["lost"]

    queue.clock.forward(minutes=1)
    queue.drain("bob")
    assert Branch.objects.get().governed_head == HEAD_B
    assert (task(pk).state, outcomes(pk)) == ("completed", ["lost", "completed"])
    assert Evaluation.objects.count() == 1
    actions = [
        entry.action for entry in entries_of_object(EVERYONE, kind="task", object_id=str(pk))
    ]
    assert sorted(actions) == ["decision.head_drift", "task.claim_lost"]
    assert verify("acme") is None


def test_a_worker_that_lost_some_claims_still_ends_the_others(queue: Queue) -> None:
    lost, kept = (queue.observe(queue.repository(f"acme/{name}")) for name in ("api", "web"))
    claimed = queue.claim("ada")
    ReconciliationTask.objects.filter(pk=lost).update(claim_expires_at=queue.clock.now)
    reap_lost_claims(now=queue.clock.now)

    applied = work_batch(claimed, remote=queue.remote, worker="ada", clock=queue.clock)

    assert (applied.completed, applied.lost) == (1, 1)
    assert (task(lost).state, task(kept).state) == ("queued", "completed")


def test_a_drain_first_takes_back_what_others_lost(queue: Queue) -> None:
    pk = queue.observe(queue.repository())
    queue.claim("dead worker")
    queue.clock.forward(seconds=60)

    queue.drain("bob")
    assert task(pk).state == "queued"
    queue.clock.now = task(pk).run_after
    queue.drain("bob")

    assert outcomes(pk) == ["lost", "completed"]


def test_a_drain_that_is_told_to_stop_finishes_its_batch_and_claims_no_more(queue: Queue) -> None:
    for name in ("api", "bot", "web"):
        queue.observe(queue.repository(f"acme/{name}"))
    batches_begun: list[int] = []

    def stop_after_the_first_batch() -> bool:
        return ReconciliationTask.objects.filter(state="completed").exists()

    done = drain(
        worker="ada",
        remote=queue.remote,
        clock=queue.clock,
        limits=Limits(batch=1, claim_seconds=60, total_seconds=60),
        should_stop=stop_after_the_first_batch,
        progress=lambda: batches_begun.append(1),
    )

    assert (done.completed, done.batches, batches_begun) == (1, 1, [1])
    assert sorted(ReconciliationTask.objects.values_list("state", flat=True)) == [
        "completed",
        "queued",
        "queued",
    ]


class SlowRemote(TrippingRemote):
    """A remote that takes 20 s for every reading, on the test's clock."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(queue, "")
        self._clock = queue.clock

    def read_heads(self, target: RemoteTarget) -> RemoteHeads:
        self._clock.forward(seconds=20)
        return super().read_heads(target)


def test_what_slow_hosts_left_no_time_for_is_given_back_and_no_repository_is_blamed(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciliation.services.observe.heads.READERS", 1)
    for name in ("api", "bot", "cli", "web"):
        queue.observe(queue.repository(f"acme/{name}"))
    claimed_at = queue.clock.now

    done = drain(
        worker="ada",
        remote=SlowRemote(queue),
        clock=queue.clock,
        limits=Limits(batch=10, claim_seconds=60, total_seconds=1, batch_seconds=6),
    )

    # 6 s are left for asking: the first reading begins in time, the others do not.
    assert (done.completed, done.given_back) == (1, 3)
    assert queue.clock.now - claimed_at == timedelta(seconds=20)
    rows = ReconciliationTask.objects.filter(state="queued")
    assert (
        list(rows.values_list("attempts", "returns", "last_error_code"))
        == [(0, 1, "not_begun")] * 3
    )
    assert not RepositoryWatch.objects.filter(failing_since__isnull=False).exists()
    assert TaskAttempt.objects.filter(outcome="given_back").count() == 3


def test_when_the_database_goes_away_the_tasks_of_the_batch_are_given_back(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pk = queue.observe(queue.repository())
    monkeypatch.setattr(execute, "_RECONNECT_PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(connection, "close", lambda: None)  # keeps the test's transaction
    failures = [OperationalError("the connection is closed")]

    def fail_once(*arguments: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return work_batch(*arguments, **named)

    monkeypatch.setattr(execute, "work_batch", fail_once)

    done = queue.drain()

    assert (done.given_back, done.completed) == (1, 1)
    assert (task(pk).attempts, outcomes(pk)) == (1, ["given_back", "completed"])


def test_a_drain_reports_that_it_lives(queue: Queue) -> None:
    queue.observe(queue.repository())

    queue.drain("ada")

    beat = Heartbeat.objects.get(name="worker")
    assert (beat.at, beat.detail) == (queue.clock.now, "ada 1 completed")


@pytest.mark.parametrize("kind", [TaskKind.HEAD_DRIFT, TaskKind.MISSING_RUN])
def test_a_batch_of_checks_costs_the_same_statements_whatever_its_size(
    queue: Queue, kind: TaskKind
) -> None:
    def cost(count: int) -> list[str]:
        repository = queue.repository(f"acme/r{count}", [f"b{n}" for n in range(count)])
        queue.put(*(queue.planned(repository, f"b{n}", kind) for n in range(count)))
        claimed = queue.claim()
        assert len(claimed) == count
        with CaptureQueriesContext(connection) as seen:
            applied = work_batch(claimed, remote=queue.remote, worker="ada", clock=queue.clock)
        assert applied.completed == count
        return statements(seen)

    cost(1)  # the policy is stored once and for all
    few, many = cost(10), cost(60)

    assert few == many
    assert len(few) <= 20


def test_claiming_is_one_statement(queue: Queue) -> None:
    repository = queue.repository("acme/api", [f"b{n}" for n in range(30)])
    queue.drifts(repository, *(f"b{n}" for n in range(30)))

    with CaptureQueriesContext(connection) as seen:
        assert len(queue.claim()) == 30

    assert [sql.split()[0] for sql in statements(seen) if "set_config" not in sql] == ["WITH"]
