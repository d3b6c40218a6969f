"""Turns: no tenant's work waits for another's, whatever its name, its number or its kind."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from governance.models import Repository
from reconciliation.models import ReconciliationTask, TaskKind
from reconciliation.services.execute import Limits, drain
from reconciliation.services.queue import PRIORITY_EVENT, PRIORITY_SWEEP
from tests.integration.queue.test_endings import EndlessRemote, moved, read_just_now
from tests.integration.queue.world import Queue

pytestmark = pytest.mark.django_db

FLOOD = 2000
OTHERS = 9
SECONDS = 20
POLL = timedelta(seconds=0.2)
COALESCE = timedelta(seconds=0.2)
COST_OF_A_BATCH, COST_OF_A_TASK = timedelta(seconds=0.03), timedelta(seconds=0.002)


def observations(
    queue: Queue,
    repository: Repository,
    number: int,
    *,
    priority: int = PRIORITY_EVENT,
    run_after: datetime | None = None,
) -> None:
    """Queue so many observations that may all be claimed at once: one of a branch each."""
    queue.put(
        *(
            queue.planned(repository, f"b{n:04}", priority=priority, run_after=run_after)
            for n in range(number)
        )
    )


def tenants_of(queue: Queue, *, limit: int) -> dict[str, int]:
    """Claim a batch and return how many tasks of each tenant are in it."""
    counts: dict[str, int] = {}
    for one in queue.claim(limit=limit):
        counts[one.tenant] = counts.get(one.tenant, 0) + 1
    return counts


def test_a_tenant_with_one_task_is_in_the_next_batch_whatever_others_queued_before(
    queue: Queue,
) -> None:
    observations(queue, queue.repository("acme/api"), 300)
    late = queue.repository("zeta/api")
    queue.clock.forward(minutes=10)
    observations(queue, late, 1)

    assert tenants_of(queue, limit=20) == {"acme": 10, "zeta": 1}


def test_many_repositories_give_a_tenant_no_more_turns(queue: Queue) -> None:
    for number in range(12):
        observations(queue, queue.repository(f"acme/r{number}"), 10)
    observations(queue, queue.repository("beta/api"), 100)
    observations(queue, queue.repository("gamma/api"), 100)

    assert tenants_of(queue, limit=30) == {"acme": 10, "beta": 10, "gamma": 10}


def test_with_more_tenants_than_places_nobody_is_passed_over_for_a_name(queue: Queue) -> None:
    for number in range(12):
        observations(queue, queue.repository(f"tenant-{number:02}/api"), 9)
    served: list[str] = []

    def note_progress() -> None:
        new = ReconciliationTask.objects.filter(state="completed").exclude(claimed_by="counted")
        served.append(" ".join(sorted(new.values_list("tenant", flat=True))))
        new.update(claimed_by="counted")

    drain(
        worker="ada",
        remote=queue.remote,
        clock=queue.clock,
        limits=Limits(batch=4, claim_seconds=600, total_seconds=600),
        should_stop=lambda: len(served) >= 6,
        progress=note_progress,
    )

    rounds = [
        " ".join(f"tenant-{number:02}" for number in range(first, first + 4)) for first in (0, 4, 8)
    ]
    assert served == rounds * 2


def test_observations_go_before_what_follows_from_others(queue: Queue) -> None:
    busy = queue.repository("acme/api")
    queue.drifts(busy, *(f"d{n}" for n in range(20)))
    observations(queue, queue.repository("acme/web"), 5)

    assert {one.task_kind for one in queue.claim(limit=5)} == {"observe_refs"}
    assert {one.task_kind for one in queue.claim(limit=5)} == {"head_drift"}


def test_what_follows_is_not_kept_waiting_by_observations_that_never_end(queue: Queue) -> None:
    repository = queue.repository("acme/api")
    queue.drifts(repository, "main")
    queue.clock.forward(seconds=11)
    observations(queue, repository, 50)

    assert [one.task_kind for one in queue.claim(limit=1)] == ["head_drift"]


def test_a_sweep_is_not_kept_waiting_by_webhooks_of_another_tenant(queue: Queue) -> None:
    observations(queue, queue.repository("acme/api"), 300)
    observations(queue, queue.repository("zeta/api"), 5, priority=PRIORITY_SWEEP)

    assert tenants_of(queue, limit=20) == {"acme": 10, "zeta": 5}


def test_a_repository_that_is_never_silent_does_not_hold_up_its_neighbours(queue: Queue) -> None:
    neighbour = queue.repository("acme/zoo")
    observations(queue, neighbour, 1)
    queue.clock.forward(seconds=1)
    observations(queue, queue.repository("acme/api"), 50)

    assert [one.repo for one in queue.claim(limit=1)] == ["zoo"]


@pytest.mark.parametrize("seed", range(3))
def test_the_same_queue_gives_the_same_batches_whoever_queued_first(
    queue: Queue, seed: int
) -> None:
    rows = [
        queue.repository(f"{tenant}/{repo}")
        for tenant in ("acme", "Zorn", "beta")
        for repo in ("api", "web")
    ]
    planned = [
        queue.planned(row, branch, kind)
        for row in rows
        for branch, kind in (("", TaskKind.OBSERVE_REFS), ("main", TaskKind.HEAD_DRIFT))
    ]
    random.Random(seed).shuffle(planned)
    for one in planned:
        queue.put(one)

    first, second = queue.claim(limit=6), queue.claim(limit=6)

    names = ("Zorn", "acme", "beta")
    assert [(one.tenant, one.repo) for one in first] == [
        (tenant, repo) for tenant in names for repo in ("api", "web")
    ]
    assert {one.task_kind for one in first} == {"observe_refs"}
    assert {one.task_kind for one in second} == {"head_drift"}


def test_after_a_batch_that_was_too_slow_before_it_is_the_turn_of_others(queue: Queue) -> None:
    large, slow = moved(queue, "acme/large", [f"b{n}" for n in range(6)])
    ReconciliationTask.objects.filter(pk__in=slow).update(last_error_code="out_of_time", attempts=3)
    queue.clock.forward(hours=1)
    _, quick = moved(queue, "zeta/api", [f"b{n}" for n in range(4)])
    read_just_now(queue)
    begun: list[list[str]] = []

    def note_progress() -> None:
        done = ReconciliationTask.objects.filter(
            claim_epoch__gt=0, state__in=("queued", "completed")
        )
        begun.append(sorted(set(done.values_list("tenant", flat=True))))

    drain(
        worker="ada",
        remote=EndlessRemote(queue, slow_url=large.clone_url),
        clock=queue.clock,
        limits=Limits(batch=100, claim_seconds=600, total_seconds=600),
        should_stop=lambda: len(begun) >= 2,
        progress=note_progress,
    )

    assert begun == [["acme"], ["acme", "zeta"]]
    assert ReconciliationTask.objects.filter(pk__in=quick, state="completed").count() == 4


def test_what_is_slow_occupies_one_worker_of_a_tenant_and_not_all(queue: Queue) -> None:
    _, slow = moved(queue, "acme/large", ["a", "b", "c"])
    ReconciliationTask.objects.filter(pk__in=slow).update(last_error_code="out_of_time", attempts=3)

    assert len(queue.claim("ada")) == 1
    assert queue.claim("bob") == []


@dataclass
class Delivered:
    """A delivery of one of the tenants that do not flood."""

    at: datetime
    tenant: str


def p95_of_the_others(queue: Queue, *, flooded: bool) -> timedelta:
    """Return how long deliveries of nine tenants take to be observed by one worker.

    Each sends one about every second. What a batch costs is measured; the clock is the test's.
    """
    start = queue.clock.now
    repo = "flooded" if flooded else "alone"
    rows = {f"tenant-{n}": queue.repository(f"tenant-{n}/{repo}") for n in range(OTHERS)}
    chance = random.Random(7)
    coming = sorted(
        (
            Delivered(start + timedelta(seconds=second + chance.random()), tenant)
            for second in range(SECONDS)
            for tenant in rows
        ),
        key=lambda one: one.at,
    )
    if flooded:
        observations(queue, queue.repository("acme/monorepo"), FLOOD, run_after=start + COALESCE)
    due: dict[str, datetime] = {}
    waits: list[timedelta] = []
    while len(waits) < SECONDS * OTHERS:
        while coming and coming[0].at <= queue.clock.now:
            one = coming.pop(0)
            about = f"push at {one.at}"
            queue.put(
                queue.planned(
                    rows[one.tenant], f"b{len(due)}", about=about, run_after=one.at + COALESCE
                )
            )
            due[f"b{len(due)} {one.tenant}"] = one.at
        batch = queue.claim()
        if not batch:
            queue.clock.now += POLL
            continue
        queue.clock.now += COST_OF_A_BATCH + len(batch) * COST_OF_A_TASK
        ReconciliationTask.objects.filter(pk__in=[one.id for one in batch]).update(
            state="completed", claim_expires_at=None
        )
        waits += [
            queue.clock.now - due[f"{one.branch} {one.tenant}"]
            for one in batch
            if one.tenant != "acme"
        ]
    return sorted(waits)[int(len(waits) * 0.95)]


def test_of_ten_tenants_one_that_floods_does_not_slow_the_others_down(queue: Queue) -> None:
    alone = p95_of_the_others(queue, flooded=False)
    ReconciliationTask.objects.all().delete()
    flooded = p95_of_the_others(Queue(), flooded=True)

    assert flooded <= 1.5 * alone, (alone, flooded)
