"""Claiming: canonical order, one task of a branch at a time, and claims nobody else can touch."""

import random
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from reconciliation.models import AttemptOutcome, ReconciliationTask, TaskAttempt, TaskKind
from reconciliation.services.apply.giving_back import give_back
from reconciliation.services.claiming import (
    _ALONG_THE_INDEX,
    _CLAIM,
    CLAIM_LOST,
    expire_claims_of,
    extend_claims,
)
from reconciliation.services.queue import PRIORITY_EVENT, PRIORITY_SWEEP
from reconciliation.services.reap import reap_lost_claims
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db

NAMES = ("Zeta", "alpha", "beta", "feature/ä", "feature/z", "main", "é", "🚀")


def place(row: ReconciliationTask) -> tuple[str, str, str, str]:
    return (row.tenant, row.repo, row.branch, row.task_kind)


@pytest.mark.parametrize("seed", range(5))
def test_a_tenants_tasks_are_claimed_in_canonical_order_whatever_the_order_of_queueing(
    queue: Queue, seed: int
) -> None:
    places = [(tenant, repo) for tenant in ("acme", "Zorn", "rival") for repo in ("api", "web")]
    repositories = [queue.repository(f"{tenant}/{repo}", NAMES) for tenant, repo in places]
    planned = [
        queue.planned(repository, name, TaskKind.HEAD_DRIFT)
        for repository in repositories
        for name in NAMES
    ]
    random.Random(seed).shuffle(planned)
    for one in planned:
        queue.put(one)

    claimed = []
    while batch := queue.claim(limit=7):
        claimed += [(one.tenant, one.repo, one.branch) for one in batch]

    for tenant in ("acme", "Zorn", "rival"):
        of_tenant = [one for one in claimed if one[0] == tenant]
        assert of_tenant == sorted((t, r, name) for t, r in places for name in NAMES if t == tenant)


def test_what_a_webhook_asked_for_goes_before_a_sweep(queue: Queue) -> None:
    first, second = queue.repository("acme/api"), queue.repository("acme/web")
    queue.put(
        queue.planned(first, priority=PRIORITY_SWEEP),
        queue.planned(second, priority=PRIORITY_EVENT),
    )

    assert [one.repo for one in queue.claim(limit=1)] == ["web"]
    assert [one.repo for one in queue.claim(limit=1)] == ["api"]


def test_of_one_branch_only_the_first_task_is_claimed_until_it_ended(queue: Queue) -> None:
    repository = queue.repository()
    queue.put(
        queue.planned(repository, "main", TaskKind.STALE_BRANCH),
        queue.planned(repository, "main", TaskKind.HEAD_DRIFT),
    )

    [running] = queue.claim()

    assert running.task_kind == "head_drift"
    assert queue.claim("bob") == []
    queue.clock.forward(seconds=1)
    give_back([running], worker="ada", now=queue.clock.now)
    assert [one.task_kind for one in queue.claim("bob")] == ["head_drift"]


def test_a_task_is_not_claimed_before_its_time(queue: Queue) -> None:
    repository = queue.repository()
    queue.put(queue.planned(repository, run_after=queue.clock.now + timedelta(seconds=1)))

    assert queue.claim() == []
    queue.clock.forward(seconds=1)
    assert len(queue.claim()) == 1


def test_an_earlier_task_that_waits_for_its_retry_does_not_hold_up_its_branch(queue: Queue) -> None:
    repository = queue.repository()
    later = queue.clock.now + timedelta(minutes=5)
    queue.put(
        queue.planned(repository, "main", TaskKind.HEAD_DRIFT, run_after=later),
        queue.planned(repository, "main", TaskKind.STALE_BRANCH),
    )

    assert [one.task_kind for one in queue.claim()] == ["stale_branch"]


def test_an_attempt_counts_from_the_moment_it_is_claimed(queue: Queue) -> None:
    pk = queue.observe(queue.repository())

    [claimed] = queue.claim("ada")

    row = task(pk)
    assert (claimed.attempts, claimed.epoch) == (1, 1)
    assert (row.state, row.attempts, row.claimed_by, row.claim_epoch) == ("running", 1, "ada", 1)
    assert (row.started_at, row.claim_expires_at) == (
        queue.clock.now,
        queue.clock.now + timedelta(seconds=60),
    )


def test_what_is_given_back_burnt_no_attempt_and_the_history_says_so(queue: Queue) -> None:
    pk = queue.observe(queue.repository())
    claimed = queue.claim("ada")

    assert give_back(claimed, worker="ada", now=queue.clock.forward(seconds=3)) == 1

    row = task(pk)
    assert (row.state, row.attempts, row.claimed_by, row.claim_expires_at) == (
        "queued",
        0,
        "",
        None,
    )
    attempt = TaskAttempt.objects.get()
    assert (attempt.outcome, attempt.number) == (AttemptOutcome.GIVEN_BACK, 1)
    assert attempt.ended_at - attempt.started_at == timedelta(seconds=3)


def test_nobody_gives_back_or_extends_a_claim_that_another_worker_holds_by_now(
    queue: Queue,
) -> None:
    queue.observe(queue.repository("acme/api"))
    queue.observe(queue.repository("acme/web"))
    stale = queue.claim("ada")
    queue.clock.forward(seconds=61)
    reap_lost_claims(now=queue.clock.now)
    queue.clock.forward(minutes=1)
    [fresh] = queue.claim("bob", limit=1)

    assert give_back(stale, worker="ada", now=queue.clock.now) == 0
    assert extend_claims(stale, until=queue.clock.now + timedelta(hours=1)) == 0

    row = task(fresh.id)
    assert (row.state, row.claimed_by, row.claim_epoch) == ("running", "bob", 2)
    assert row.claim_expires_at == queue.clock.now + timedelta(seconds=60)


def test_one_old_claim_among_newer_ones_is_left_to_its_new_holder(queue: Queue) -> None:
    lost = queue.observe(queue.repository("acme/api"))
    [stale] = queue.claim("ada")
    queue.clock.forward(seconds=61)
    reap_lost_claims(now=queue.clock.now)
    queue.clock.forward(minutes=1)
    [held_by_bob] = queue.claim("bob")
    again = queue.observe(queue.repository("acme/web"))
    for _ in range(3):  # the epoch of this one grows beyond that of the other
        give_back(queue.claim("ada"), worker="ada", now=queue.clock.now)
    [later] = queue.claim("ada")
    assert (held_by_bob.id, later.id) == (lost, again)
    assert later.epoch > held_by_bob.epoch

    assert give_back([stale, later], worker="ada", now=queue.clock.now) == 1

    assert (task(lost).state, task(lost).claimed_by) == ("running", "bob")
    assert task(again).state == "queued"


def test_a_claim_that_is_extended_is_not_taken_back(queue: Queue) -> None:
    queue.observe(queue.repository())
    claimed = queue.claim()

    assert extend_claims(claimed, until=queue.clock.now + timedelta(seconds=120)) == 1

    queue.clock.forward(seconds=119)
    assert reap_lost_claims(now=queue.clock.now) == 0
    queue.clock.forward(seconds=1)
    assert reap_lost_claims(now=queue.clock.now) == 1


def test_a_task_whose_worker_died_is_claimed_alone(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/{name}") for name in ("api", "bot", "cli", "web")]
    for repository in repositories:
        queue.observe(repository)
    ReconciliationTask.objects.filter(repo="cli").update(last_error_code=CLAIM_LOST)

    batches = [[one.repo for one in queue.claim()] for _ in range(4)]

    assert batches == [["api", "bot", "web"], ["cli"], [], []]


def test_claims_of_a_dead_cluster_run_out_at_once_and_of_no_other(queue: Queue) -> None:
    mine = queue.observe(queue.repository("acme/api"))
    queue.claim("host:17:c1")
    theirs = queue.observe(queue.repository("acme/web"))
    queue.claim("host:18:c2")
    queue.clock.forward(seconds=1)

    assert expire_claims_of("c1", now=queue.clock.now) == 1

    assert reap_lost_claims(now=queue.clock.now) == 1
    assert (task(mine).state, task(theirs).state) == ("queued", "running")


@pytest.mark.postgres
def test_a_burst_into_an_idle_queue_is_claimed_along_the_index(queue: Queue) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {ReconciliationTask._meta.db_table}")  # of an empty queue
    repository = queue.repository("acme/api", [f"b{n}" for n in range(300)])
    queue.drifts(repository, *(f"b{n}" for n in range(300)))
    now = queue.clock.now

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ALONG_THE_INDEX)
        params: list[Any] = [now, now, 1, 100, "", "ada", now, now, 100]
        cursor.execute(f"EXPLAIN {_CLAIM['postgresql']}", params)
        plan = [row[0] for row in cursor.fetchall()]

    told = "\n".join(plan)
    indexes = {
        match["table"]: match["index"]
        for match in re.finditer(r"using (?P<index>\w+) on \w+ (?P<table>[tre])  ", told)
    }
    assert indexes["t"] == "task_claim_turns", told
    assert indexes["r"] in {"task_of_branch_waiting", "task_of_branch"}, told
    assert indexes["e"] in {"task_of_branch_waiting", "task_of_branch"}, told
    assert told.count("->  Sort") == 2, told  # of the candidates, not of the queue
    assert "Index Only Scan using task_claim_turns" in told, told  # from lane to lane
    # What was picked is found by its ids: not compared with all that wait.
    assert "Index Cond: (id = ANY" in told, told
