"""Dead letters: grouped by cause, brought back or put away by people, and by recovery."""

import json
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from audit.domain.caller import Caller
from audit.domain.entries import RECONCILER, Actor, ActorKind
from audit.selectors import entries_of_object, entries_of_trace
from audit.services import append, verify
from governance.models import Repository
from reconciliation.models import ReconciliationTask, RepositoryWatch, TaskAttempt, TaskState
from reconciliation.remotes.base import RemoteAuthFailed, RemoteUnavailable
from reconciliation.selectors.dead_letters import DeadLetterChoice, dead_letter_causes
from reconciliation.services.dead_letters import (
    NotAllowed,
    ReasonTooShort,
    discard_dead_letters,
    requeue_dead_letters,
    requeue_recovered,
    requeue_redelivered,
)
from tests.factories.governance import CORRELATION_ID
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db

ACTOR = Actor(ActorKind.USER, "olga")
OPERATOR = Caller(ACTOR, None, frozenset({"read", "tasks"}))
OF_ACME = Caller(ACTOR, frozenset({"acme"}), frozenset({"read", "tasks"}))
VIEWER = Caller(ACTOR, None, frozenset({"read"}))
REASON = "The credential was renewed."
ACT = "correlation-of-the-act"


def dies(queue: Queue, repository: Repository, *, about: str = "test") -> int:
    """Let an observation of a repository die because its credential is refused."""
    pk = queue.observe(repository, about=about)
    queue.remote.fail(repository.clone_url, RemoteAuthFailed("the credential was refused"))
    queue.drain()
    assert task(pk).state == "dead"
    return pk


def requeue(queue: Queue, choice: DeadLetterChoice, **changes: Any) -> Any:
    arguments = {
        "caller": OPERATOR,
        "reason": REASON,
        "correlation_id": ACT,
        "now": queue.clock.now,
        **changes,
    }
    return requeue_dead_letters(choice, **arguments)


def discard(queue: Queue, choice: DeadLetterChoice, **changes: Any) -> Any:
    arguments = {
        "caller": OPERATOR,
        "reason": REASON,
        "correlation_id": ACT,
        "now": queue.clock.now,
        **changes,
    }
    return discard_dead_letters(choice, **arguments)


def one(pk: int) -> DeadLetterChoice:
    return DeadLetterChoice(task_ids=(pk,))


def test_a_requeued_task_starts_a_new_series_and_keeps_run_place_and_history(
    queue: Queue,
) -> None:
    repository = queue.repository()
    pk = dies(queue, repository)
    ReconciliationTask.objects.update(run_id="run-7", ordinal=12)
    before = list(TaskAttempt.objects.values())
    queue.clock.forward(hours=1)

    dealt = requeue(queue, one(pk))

    row = task(pk)
    assert (dealt.done, dealt.refused, dealt.left) == ((pk,), (), 0)
    assert (row.state, row.series, row.attempts, row.requeues) == ("queued", 2, 0, 1)
    assert (row.run_after, row.completed_at) == (queue.clock.now, None)
    assert (row.run_id, row.ordinal, row.correlation_id) == ("run-7", 12, CORRELATION_ID)
    assert list(TaskAttempt.objects.values()) == before
    assert OrmQ.objects.exists()

    queue.remote.fail(repository.clone_url, None)
    queue.clock.forward(seconds=1)
    queue.drain()
    row = task(pk)
    assert (row.state, row.attempts, row.requeues) == ("completed", 1, 0)
    numbers = TaskAttempt.objects.order_by("id").values_list("series", "number", "outcome")
    assert list(numbers) == [(1, 1, "dead"), (2, 1, "completed")]


def test_requeueing_is_told_once_for_the_act_and_once_for_each_task(queue: Queue) -> None:
    first, second = (dies(queue, queue.repository(f"acme/{name}")) for name in ("api", "web"))

    requeue(queue, DeadLetterChoice(tenant="acme"))

    [act] = entries_of_trace(OPERATOR, ACT)
    assert (act.action, act.actor_name) == ("dead_letters.requeue", "olga")
    body = json.loads(act.body)
    assert (body["reason"], body["data"]) == (
        REASON,
        {"choice": {"tenant": "acme"}, "tasks": [first, second]},
    )
    [entry] = [
        one
        for one in entries_of_object(OPERATOR, kind="task", object_id=str(first))
        if one.action == "task.requeue"
    ]
    assert entry.correlation_id == CORRELATION_ID
    assert json.loads(entry.body)["data"]["act"] == ACT
    assert verify("acme") is None


def test_people_requeue_a_task_that_keeps_dying_three_times_and_no_more(queue: Queue) -> None:
    pk = dies(queue, queue.repository())
    for _ in range(3):
        assert requeue(queue, one(pk)).done == (pk,)
        queue.clock.forward(seconds=1)
        queue.drain()

    dealt = requeue(queue, one(pk))

    assert (dealt.done, dealt.refused) == ((), (pk,))
    assert (task(pk).state, task(pk).series) == ("dead", 4)


def test_no_more_than_the_cap_is_requeued_and_the_rest_is_counted(queue: Queue) -> None:
    ids = [dies(queue, queue.repository(f"acme/{name}")) for name in ("c", "a", "d", "b")]

    dealt = requeue(queue, DeadLetterChoice(tenant="acme"), cap=3)

    assert dealt.done == (ids[1], ids[3], ids[0])  # canonical order: a, b, c
    assert dealt.left == 1
    assert task(ids[2]).state == "dead"


def test_a_dry_run_says_what_would_be_and_changes_nothing(queue: Queue) -> None:
    pk = dies(queue, queue.repository())

    dealt = requeue(queue, DeadLetterChoice(), dry_run=True)

    assert (dealt.done, dealt.dry_run) == ((pk,), True)
    assert task(pk).state == "dead"
    assert not entries_of_trace(OPERATOR, ACT).exists()
    assert discard(queue, DeadLetterChoice(), dry_run=True).done == (pk,)
    assert task(pk).state == "dead"


@pytest.mark.parametrize("act", [requeue, discard])
@pytest.mark.parametrize(("reason", "fits"), [("too short", False), ("long enough", True)])
def test_an_act_needs_a_reason_of_ten_characters(
    queue: Queue, act: Any, reason: str, fits: bool
) -> None:
    pk = dies(queue, queue.repository())

    if fits:
        assert act(queue, one(pk), reason=reason).done == (pk,)
        return
    with pytest.raises(ReasonTooShort):
        act(queue, one(pk), reason=f"  {reason}   ")
    assert task(pk).state == "dead"


@pytest.mark.parametrize("act", [requeue, discard])
def test_who_lacks_the_scope_may_do_nothing(queue: Queue, act: Any) -> None:
    pk = dies(queue, queue.repository())

    with pytest.raises(NotAllowed):
        act(queue, one(pk), caller=VIEWER)

    assert task(pk).state == "dead"


@pytest.mark.parametrize("act", [requeue, discard])
def test_dead_letters_of_another_tenant_do_not_exist_for_a_caller(queue: Queue, act: Any) -> None:
    theirs = dies(queue, queue.repository("rival/api"))

    assert act(queue, one(theirs), caller=OF_ACME).done == ()

    assert task(theirs).state == "dead"
    assert dead_letter_causes(OF_ACME) == ()


def test_only_dead_letters_are_requeued_or_discarded(queue: Queue) -> None:
    pk = queue.observe(queue.repository())

    assert requeue(queue, one(pk)).done == ()
    assert discard(queue, one(pk)).done == ()
    assert task(pk).state == "queued"


def test_a_discarded_task_is_put_away_for_good_with_its_reason(queue: Queue) -> None:
    pk = dies(queue, queue.repository())

    assert discard(queue, one(pk)).done == (pk,)

    assert task(pk).state == TaskState.DISCARDED
    assert queue.claim() == []
    entries = entries_of_object(OPERATOR, kind="task", object_id=str(pk))
    assert "task.discard" in [entry.action for entry in entries]
    assert dead_letter_causes(OPERATOR) == ()


def test_causes_are_grouped_by_code_and_host_with_what_would_mend_them(queue: Queue) -> None:
    for number in range(3):
        dies(queue, queue.repository(f"acme/r{number}"))
    elsewhere = queue.repository("acme/else")
    Repository.objects.filter(pk=elsewhere.pk).update(clone_url="git@other.example:acme/else.git")
    queue.remote.create("git@other.example:acme/else.git")
    elsewhere.refresh_from_db()
    queue.clock.forward(minutes=10)
    last = dies(queue, elsewhere)

    first, second = dead_letter_causes(OPERATOR)

    assert (first.error_code, first.host, first.count, first.repositories) == (
        "remote_auth_failed",
        "git.example",
        3,
        3,
    )
    assert (second.host, second.count, second.sample_id) == ("other.example", 1, last)
    assert second.last_at - first.first_at == timedelta(minutes=10)
    assert second.sample_error == "the credential was refused"
    assert "Renew it" in first.probable_fix


def test_a_choice_narrows_by_host_and_code(queue: Queue) -> None:
    here = dies(queue, queue.repository("acme/api"))
    there_repository = queue.repository("acme/web")
    Repository.objects.filter(pk=there_repository.pk).update(
        clone_url="https://other.example/web.git"
    )
    queue.remote.create("https://other.example/web.git")
    there_repository.refresh_from_db()
    there = dies(queue, there_repository)

    assert requeue(queue, DeadLetterChoice(host="Other.Example"), dry_run=True).done == (there,)
    assert requeue(queue, DeadLetterChoice(host="git.example"), dry_run=True).done == (here,)
    assert requeue(queue, DeadLetterChoice(error_code="claim_lost"), dry_run=True).done == ()


def test_when_a_repository_can_be_read_again_what_died_of_it_comes_back_by_itself(
    queue: Queue,
) -> None:
    repository, other = queue.repository("acme/api"), queue.repository("acme/web")
    dead = dies(queue, repository, about="before")
    others = dies(queue, other)
    queue.remote.fail(repository.clone_url, None)
    queue.clock.forward(minutes=5)

    queue.observe(repository, about="after the credential was renewed")
    queue.drain()

    row = task(dead)
    assert (row.state, row.series, row.requeues) == ("completed", 2, 0)
    assert task(others).state == "dead"
    [entry] = [
        one
        for one in entries_of_object(OPERATOR, kind="task", object_id=str(dead))
        if one.action == "task.requeue"
    ]
    assert entry.actor_name == "reconciler"
    assert RepositoryWatch.objects.get(repository=repository).consecutive_failures == 0


def test_what_died_of_something_else_stays_dead_when_its_repository_recovers(
    queue: Queue,
) -> None:
    repository = queue.repository()
    pk = dies(queue, repository)
    ReconciliationTask.objects.update(last_error_code="claim_lost", last_error_class="poison")
    queue.remote.fail(repository.clone_url, None)

    queue.observe(repository, about="later")
    queue.drain()

    assert task(pk).state == "dead"


def test_a_repository_that_was_readable_all_along_requeues_nothing(queue: Queue) -> None:
    repository = queue.repository()
    [pk] = queue.drifts(repository, "main")
    ReconciliationTask.objects.update(state="dead", last_error_code="remote_malformed")

    queue.observe(repository)
    queue.drain()

    assert task(pk).state == "dead"


def test_a_host_that_is_down_for_long_and_comes_back_leaves_no_dead_letter(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{number}") for number in range(3)]
    ids = [queue.observe(repository) for repository in repositories]
    for repository in repositories:
        queue.remote.fail(repository.clone_url, RemoteUnavailable("nobody answers"))
    for _ in range(7):
        queue.clock.forward(minutes=15)
        queue.drain()
    assert {(task(pk).state, task(pk).attempts) for pk in ids} == {("queued", 0)}

    for repository in repositories:
        queue.remote.fail(repository.clone_url, None)
    queue.clock.forward(minutes=15)
    queue.drain()

    assert {task(pk).state for pk in ids} == {"completed"}


def test_requeueing_costs_the_same_statements_whatever_the_number(queue: Queue) -> None:
    def cost(count: int, tenant: str) -> int:
        for number in range(count):
            queue.observe(queue.repository(f"{tenant}/r{number}"))
        ReconciliationTask.objects.filter(tenant=tenant).update(
            state="dead", completed_at=queue.clock.now
        )
        with CaptureQueriesContext(connection) as seen:
            assert len(requeue(queue, DeadLetterChoice(tenant=tenant)).done) == count
        return len(seen)

    assert cost(1, "acme") == cost(40, "rival")


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("dead_letters", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_lists_causes_and_deals_with_them(queue: Queue) -> None:
    first, second = (dies(queue, queue.repository(f"acme/{name}")) for name in ("api", "web"))

    [cause] = json.loads(run("list", "--json"))
    assert (cause["count"], cause["host"], cause["sample_id"]) == (2, "git.example", second)
    assert "2 x remote_auth_failed (terminal) on git.example, 2 repositories" in run("list")

    dealt = json.loads(run("requeue", str(first), "--reason", REASON, "--json"))
    assert dealt["done"] == [first]
    assert task(first).state == "queued"

    assert f"1 discarded: {second}" in run("discard", "--all", "--reason", REASON)
    assert task(second).state == "discarded"


def test_the_command_never_means_everything_by_accident(queue: Queue) -> None:
    pk = dies(queue, queue.repository())

    with pytest.raises(CommandError, match="--all"):
        run("discard", "--reason", REASON)
    with pytest.raises(CommandError, match="10 characters"):
        run("discard", "--all", "--reason", "because")

    assert task(pk).state == "dead"


def requeued_by_a_person(queue: Queue, pk: int) -> None:
    requeue(queue, one(pk))


def requeued_by_recovery(queue: Queue, pk: int) -> None:
    append(requeue_recovered([task(pk).repository_id], now=queue.clock.now))


def requeued_by_redelivery(queue: Queue, pk: int) -> None:
    assert requeue_redelivered(
        pk,
        actor=RECONCILER,
        act=CORRELATION_ID,
        reason="its host sent the delivery again",
        run_after=queue.clock.now,
        now=queue.clock.now,
    )


@pytest.mark.parametrize(
    "again", [requeued_by_a_person, requeued_by_recovery, requeued_by_redelivery]
)
def test_whoever_requeues_the_task_and_its_entry_look_the_same(
    again: Callable[[Queue, int], None], queue: Queue
) -> None:
    pk = dies(queue, queue.repository())

    again(queue, pk)

    row = task(pk)
    assert (row.state, row.series, row.attempts, row.completed_at) == ("queued", 2, 0, None)
    assert row.run_after == queue.clock.now
    [entry] = [
        one
        for one in entries_of_object(OPERATOR, kind="task", object_id=str(pk))
        if one.action == "task.requeue"
    ]
    assert (entry.outcome, entry.correlation_id) == ("queued", row.correlation_id)
    data = json.loads(entry.body)["data"]
    assert sorted(data) == ["act", "error_class", "error_code", "series"]
    assert (data["series"], data["error_class"]) == (2, row.last_error_class)
    assert data["error_code"] == row.last_error_code


def test_what_is_not_dead_is_not_requeued_and_leaves_no_entry(queue: Queue) -> None:
    [pk] = queue.drifts(queue.repository(), "main")

    came_back = requeue_redelivered(
        pk,
        actor=RECONCILER,
        act=CORRELATION_ID,
        reason="its host sent the delivery again",
        run_after=queue.clock.now,
        now=queue.clock.now,
    )

    assert not came_back
    assert task(pk).series == 1
    assert not entries_of_object(OPERATOR, kind="task", object_id=str(pk)).exists()
