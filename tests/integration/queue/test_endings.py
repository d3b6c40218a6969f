"""Every task ends: whatever happens to it, it is completed, dead or held after so many claims."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from typing import Any
from unittest import mock

import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.selectors import entries_of_object
from governance.models import Branch, Repository
from reconciliation.domain import retry
from reconciliation.domain.dead_letters import probable_fix
from reconciliation.models import ReconciliationTask, RepositoryWatch, TaskAttempt, TaskKind
from reconciliation.remotes.base import (
    Comparison,
    RemoteError,
    RemoteTarget,
    RemoteThrottled,
    RemoteUnavailable,
)
from reconciliation.services import execute
from reconciliation.services.batches import work_batch
from reconciliation.services.dead_letters import requeue_recovered
from reconciliation.services.execute import Limits, drain
from reconciliation.services.reap import reap_lost_claims
from tests.factories.governance import HEAD_A, HEAD_B
from tests.integration.queue.world import LIMITS, Queue, task

pytestmark = pytest.mark.django_db

EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))
FEW_RETURNS = 12
"""Stands in for the shipped number, so that a test need not claim a task hundreds of times."""
MOST_CLAIMS = FEW_RETURNS + retry.MAX_ATTEMPTS + retry.POISON_AFTER_LOST_CLAIMS + 1


class EndlessRemote:
    """A remote on which comparing takes a minute of the test's clock, again and again."""

    def __init__(self, queue: Queue, *, slow_url: str) -> None:
        self._queue, self._slow_url = queue, slow_url

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue.remote, name)

    def compare(
        self, target: RemoteTarget, pairs: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], Comparison]:
        if target.clone_url == self._slow_url:
            self._queue.clock.forward(seconds=60)
        return self._queue.remote.compare(target, pairs)


def moved(queue: Queue, path: str, branches: list[str]) -> tuple[Repository, list[int]]:
    """Return a repository whose branches all moved long ago, and a queued check of each."""
    repository = queue.repository(path, branches, head=HEAD_B)
    Branch.objects.filter(repository=repository).update(
        observed_head=HEAD_B, observed_at=queue.clock.now - timedelta(days=1)
    )
    return repository, queue.drifts(repository, *branches)


def read_just_now(queue: Queue) -> None:
    Repository.objects.update(observed_at=queue.clock.now)


def drain_once(queue: Queue, remote: Any) -> execute.Drained:
    """Work on one batch of what is due."""
    read_just_now(queue)
    batches: list[int] = []
    return drain(
        worker="ada",
        remote=remote,
        clock=queue.clock,
        limits=Limits(batch=100, claim_seconds=600, total_seconds=600),
        should_stop=lambda: bool(batches),
        progress=lambda: batches.append(1),
    )


def go_to(queue: Queue, pk: int) -> None:
    queue.clock.now = max(queue.clock.now, task(pk).run_after)


def test_what_cannot_be_compared_in_its_time_is_a_dead_letter_that_names_the_setting(
    queue: Queue,
) -> None:
    repository, [pk] = moved(queue, "acme/large", ["topic"])
    remote = EndlessRemote(queue, slow_url=repository.clone_url)
    waits = []
    while task(pk).state == "queued" and task(pk).claim_epoch < MOST_CLAIMS:
        go_to(queue, pk)
        drain_once(queue, remote)
        waits.append(task(pk).run_after - queue.clock.now)

    row = task(pk)
    assert (row.state, row.attempts, row.last_error_code) == ("dead", 7, "out_of_time")
    assert row.last_error == "too large to compare within 30 s: raise RECONCILER_BATCH_SECONDS"
    assert waits[:-1] == [retry.backoff(row.idempotency_key, number) for number in range(1, 7)]
    outcomes = TaskAttempt.objects.filter(task=pk).order_by("id").values_list("outcome", flat=True)
    assert list(outcomes) == ["retry"] * 6 + ["dead"]
    assert "RECONCILER_BATCH_SECONDS" in probable_fix(row.last_error_code)
    [entry] = entries_of_object(EVERYONE, kind="task", object_id=str(pk))
    assert (entry.action, "RECONCILER_BATCH_SECONDS" in entry.body) == ("task.dead", True)


def test_a_batch_that_ran_out_of_time_is_tried_in_ever_smaller_parts(queue: Queue) -> None:
    repository, _ = moved(queue, "acme/large", [f"b{n:03}" for n in range(60)])
    remote = EndlessRemote(queue, slow_url=repository.clone_url)
    sizes = []
    for _ in range(5):
        before = TaskAttempt.objects.count()
        queue.clock.forward(minutes=20)  # all that was backed off is due
        drain_once(queue, remote)
        sizes.append(TaskAttempt.objects.count() - before)

    assert sizes == [60, 25, 25, 10, 6]
    assert not ReconciliationTask.objects.filter(state="dead").exists()


def test_what_waits_behind_a_large_repository_is_not_blamed_and_soon_gets_its_turn(
    queue: Queue,
) -> None:
    large, [slow] = moved(queue, "acme/large", ["topic"])
    _, innocent = moved(queue, "acme/small", ["a", "b", "c"])
    remote = EndlessRemote(queue, slow_url=large.clone_url)

    first = drain_once(queue, remote)
    second = drain_once(queue, remote)

    assert (first.retried, first.given_back) == (1, 3)
    assert (second.completed, task(slow).attempts) == (3, 1)
    assert {task(pk).attempts for pk in innocent} == {1}


def test_a_worker_that_is_told_to_stop_burns_no_attempt(queue: Queue) -> None:
    _, [pk] = moved(queue, "acme/api", ["topic"])
    read_just_now(queue)
    answers = iter([False])  # claims, and is then told to stop

    done = drain(
        worker="ada",
        remote=queue.remote,
        clock=queue.clock,
        limits=LIMITS,
        should_stop=lambda: next(answers, True),
    )

    row = task(pk)
    assert (done.given_back, row.state, row.attempts, row.returns) == (1, "queued", 0, 1)
    assert (row.run_after, row.last_error_code) == (queue.clock.now, "stopped")


def test_what_came_to_an_end_may_go_back_as_often_anew(queue: Queue) -> None:
    _, [pk] = moved(queue, "acme/api", ["topic"])
    ReconciliationTask.objects.filter(pk=pk).update(returns=retry.MAX_RETURNS)

    drain_once(queue, queue.remote)

    assert (task(pk).state, task(pk).returns) == ("completed", 0)


def test_what_died_and_recovered_by_itself_too_often_stays_dead(queue: Queue) -> None:
    repository, [pk] = moved(queue, "acme/api", ["topic"])
    RepositoryWatch.objects.update(consecutive_failures=1)
    recovered = []
    with mock.patch("reconciliation.services.dead_letters.MAX_RETURNS", 3):
        for _ in range(5):
            ReconciliationTask.objects.filter(pk=pk).update(
                state="dead", last_error_code="remote_unavailable"
            )
            recovered.append(len(requeue_recovered([repository.pk], now=queue.clock.now)))

    assert recovered == [1, 1, 1, 0, 0]
    assert task(pk).state == "dead"


Act = Callable[[Queue, Repository, int], None]


def lose_the_worker(queue: Queue, _repository: Repository, _pk: int) -> None:
    queue.claim("dead worker")
    queue.clock.forward(seconds=60)
    reap_lost_claims(now=queue.clock.now)


def keep_moving(queue: Queue, repository: Repository, _pk: int) -> None:
    Branch.objects.filter(repository=repository).update(observed_at=queue.clock.now)
    drain_once(queue, queue.remote)


def disagree_with_what_was_read(queue: Queue, repository: Repository, _pk: int) -> None:
    """Two servers of one host: what one of them answers, the other denies."""
    Repository.objects.update(observed_at=queue.clock.now - timedelta(hours=1))
    queue.remote.reset(repository.clone_url, "topic", HEAD_A)
    batches: list[int] = []
    drain(
        worker="ada",
        remote=queue.remote,
        clock=queue.clock,
        limits=LIMITS,
        should_stop=lambda: bool(batches),
        progress=lambda: batches.append(1),
    )
    ReconciliationTask.objects.filter(task_kind=TaskKind.OBSERVE_REFS).delete()
    queue.remote.reset(repository.clone_url, "topic", HEAD_B)


def run_out_of_time(queue: Queue, repository: Repository, _pk: int) -> None:
    drain_once(queue, EndlessRemote(queue, slow_url=repository.clone_url))


def stop_the_worker(queue: Queue, _repository: Repository, _pk: int) -> None:
    read_just_now(queue)
    answers = iter([False])
    drain(
        worker="ada",
        remote=queue.remote,
        clock=queue.clock,
        limits=LIMITS,
        should_stop=lambda: next(answers, True),
    )


def lose_the_database(queue: Queue, _repository: Repository, _pk: int) -> None:
    gone = [OperationalError("the connection is closed")]

    def fail(*arguments: Any, **named: Any) -> Any:
        if gone:
            raise gone.pop()
        return work_batch(*arguments, **named)

    with mock.patch.object(execute, "work_batch", fail):
        drain_once(queue, queue.remote)


def fail_with(error: RemoteError) -> Act:
    def act(queue: Queue, repository: Repository, _pk: int) -> None:
        queue.remote.fail(repository.clone_url, error)
        drain_once(queue, queue.remote)
        queue.remote.fail(repository.clone_url, None)

    return act


ACTS: dict[str, Act] = {
    "its worker dies": lose_the_worker,
    "its head moves again": keep_moving,
    "what was read is outdated": disagree_with_what_was_read,
    "it takes too long": run_out_of_time,
    "its worker is stopped": stop_the_worker,
    "the database goes away": lose_the_database,
    "its host does not answer": fail_with(RemoteUnavailable("nobody answers")),
    "its host asks for patience": fail_with(RemoteThrottled("slow", retry_after_seconds=5)),
}


@contextmanager
def few_returns() -> Iterator[None]:
    with (
        mock.patch.object(retry, "MAX_RETURNS", FEW_RETURNS),
        mock.patch.object(execute, "_RECONNECT_PAUSES_SECONDS", (0.0,)),
        mock.patch.object(connection, "close", return_value=None),  # keeps the test's transaction
    ):
        yield


@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(sorted(ACTS)), min_size=1, max_size=5))
def test_whatever_happens_a_task_is_completed_dead_or_held_after_so_many_claims(
    queue: Queue, happening: list[str]
) -> None:
    ReconciliationTask.objects.all().delete()
    repository, [pk] = moved(queue, f"acme/r{Repository.objects.count()}", ["topic"])
    with few_returns():
        for name in cycle(happening):
            row = task(pk)
            if row.state != "queued" or row.held_by_id is not None:
                break
            assert row.claim_epoch <= MOST_CLAIMS, f"still going round: {happening}"
            go_to(queue, pk)
            ACTS[name](queue, repository, pk)

    row = task(pk)
    assert row.state in {"completed", "dead"} or row.held_by_id is not None
    if row.state == "dead":
        assert row.last_error_code
        assert row.last_error


@pytest.mark.parametrize("name", sorted(ACTS))
def test_what_happens_again_and_again_comes_to_an_end_with_its_cause(
    queue: Queue, name: str
) -> None:
    repository, [pk] = moved(queue, "acme/api", ["topic"])
    queue.repository("acme/well")  # a host that one repository alone cannot make look down
    with few_returns():
        while task(pk).state == "queued" and task(pk).held_by_id is None:
            assert task(pk).claim_epoch <= MOST_CLAIMS
            go_to(queue, pk)
            ACTS[name](queue, repository, pk)

    row = task(pk)
    if row.state == "dead":
        assert row.last_error_code
        assert row.last_error
        assert "Read the sample's error" not in probable_fix(row.last_error_code)
    else:
        assert row.held_by_id is not None, row.state
