"""A host or a credential that is down: its tasks wait, one alert says so, all goes on by itself."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.selectors import entries_of_object
from audit.services import verify
from governance.models import RemoteCredential, Repository
from governance.selectors.branch_facts import repositories_by_id
from reconciliation.models import (
    Alert,
    Circuit,
    CircuitHold,
    Finding,
    ReconciliationTask,
    TaskAttempt,
    TaskKind,
)
from reconciliation.remotes.base import (
    RemoteAuthFailed,
    RemoteError,
    RemoteThrottled,
    RemoteUnavailable,
)
from reconciliation.services.apply.giving_back import give_back
from reconciliation.services.circuit_keeping import keep_circuits
from reconciliation.services.passes import plan_pass, result_of
from reconciliation.services.sweeps import Budget, draft_sweep
from reconciliation.services.tick import tick
from tests.factories.governance import NOON
from tests.integration.queue.world import Queue, task

pytestmark = pytest.mark.django_db

EVERYONE = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))
DOWN = RemoteUnavailable("connection refused")


def fail(queue: Queue, repositories: list[Repository], error: RemoteError | None) -> None:
    for repository in repositories:
        queue.remote.fail(repository.clone_url, error)


def outage(
    queue: Queue, count: int = 5, *, tenant: str = "acme"
) -> tuple[list[Repository], list[int]]:
    """Let all repositories of a host fail at once, and its circuit open."""
    repositories = [queue.repository(f"{tenant}/r{number}") for number in range(count)]
    fail(queue, repositories, DOWN)
    ids = [queue.observe(repository) for repository in repositories]
    queue.drain()
    return repositories, ids


def states(ids: list[int]) -> set[tuple[str, int]]:
    return set(ReconciliationTask.objects.filter(pk__in=ids).values_list("state", "attempts"))


def actions(circuit: Circuit) -> list[str]:
    rows = entries_of_object(EVERYONE, kind="circuit", object_id=str(circuit.pk))
    told = [row.action for row in sorted(rows, key=lambda row: row.seq)]
    return [action for action in told if action.startswith("circuit.")]


def probe(queue: Queue) -> Any:
    """Let time pass until the next probe is due, and drain."""
    queue.clock.now = max(queue.clock.now, Circuit.objects.get().next_probe_at or NOON)
    return queue.drain()


def test_when_a_host_is_down_its_tasks_wait_and_burn_no_attempt(queue: Queue) -> None:
    _, ids = outage(queue)

    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.origin, circuit.cause) == (
        "open",
        "https://git.example",
        "remote_unavailable",
    )
    assert states(ids) == {("queued", 0)}
    assert set(TaskAttempt.objects.values_list("outcome", flat=True)) == {"held"}
    assert queue.claim() == []
    queue.clock.forward(seconds=10)
    assert queue.drain().batches == 0
    assert actions(circuit) == ["circuit.open"]


def test_one_alert_says_which_host_why_and_how_much_waits(queue: Queue) -> None:
    repositories, _ = outage(queue)
    queue.drain()

    alert = Alert.objects.select_related("finding").get()
    assert (alert.state, alert.severity) == ("open", "high")
    assert alert.finding.summary == (
        "https://git.example does not answer: 5 tasks held for 5 repositories."
    )
    assert alert.finding.actual["message"] == "connection refused"

    queue.observe(repositories[0], about="another push")
    queue.clock.forward(seconds=14)
    queue.drain()
    assert "5 tasks held" in Finding.objects.get().summary
    queue.clock.forward(seconds=1)
    queue.drain()
    assert "6 tasks held" in Finding.objects.get().summary
    assert Alert.objects.count() == 1


def test_when_the_host_is_back_everything_goes_on_in_order_and_the_alert_is_resolved(
    queue: Queue,
) -> None:
    repositories, ids = outage(queue)
    fail(queue, repositories, None)

    probe(queue)

    assert states(ids) == {("completed", 1)}
    done = TaskAttempt.objects.filter(outcome="completed").order_by("id")
    assert list(done.values_list("task_id", flat=True)) == ids
    alert = Alert.objects.select_related("finding").get()
    assert (alert.state, alert.resolution) == ("resolved", "the host answers again")
    assert alert.finding.state == "resolved"
    circuit = Circuit.objects.get()
    assert (circuit.state, circuit.held_tasks, circuit.failing_since) == ("closed", 0, None)
    assert not CircuitHold.objects.exists()
    assert actions(circuit) == ["circuit.open", "circuit.probe", "circuit.close"]
    assert verify("acme") is None


def test_a_probe_is_one_task_and_the_next_one_asks_another_repository(queue: Queue) -> None:
    outage(queue)
    asked = []
    for _ in range(6):
        before = len(queue.remote.calls)
        probe(queue)
        asked += [url for _, url in queue.remote.calls[before:]]
        assert Circuit.objects.get().state == "open"

    assert [url.rsplit("/", 1)[1] for url in asked] == [
        "r0.git",
        "r1.git",
        "r2.git",
        "r3.git",
        "r4.git",
        "r0.git",
    ]
    assert Circuit.objects.get().failed_probes == 6
    assert Alert.objects.count() == 1


def test_one_broken_repository_does_not_keep_its_host_closed_off(queue: Queue) -> None:
    repositories, ids = outage(queue)
    fail(queue, repositories[1:], None)

    probe(queue)
    assert Circuit.objects.get().state == "open"
    probe(queue)

    assert states(ids[1:]) == {("completed", 1)}
    assert task(ids[0]).state == "queued"
    assert Circuit.objects.get().state == "closed"


def test_one_broken_repository_among_healthy_ones_opens_nothing(queue: Queue) -> None:
    repository = queue.repository("acme/broken", [f"b{n}" for n in range(9)])
    queue.repository("acme/healthy")
    fail(queue, [repository], DOWN)
    Repository.objects.update(observed_at=NOON - timedelta(hours=1))
    ids = queue.drifts(repository, *(f"b{n}" for n in range(9)))

    queue.drain()

    assert states(ids) == {("queued", 1)}
    assert not Circuit.objects.exclude(state="closed").exists()


def test_the_trouble_of_one_tenant_does_not_stop_another(queue: Queue) -> None:
    outage(queue, tenant="acme")
    theirs = queue.observe(queue.repository("rival/r0"))

    queue.drain()

    assert task(theirs).state == "completed"
    assert [row.tenant.slug for row in Circuit.objects.select_related("tenant")] == ["acme"]


def test_a_refused_credential_stops_what_is_read_with_it_and_nothing_else(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{number}") for number in range(4)]
    other = queue.repository("acme/with-another")
    mine, another = (
        RemoteCredential.objects.create(tenant=other.tenant, name=name, secret="s", created_at=NOON)
        for name in ("mine", "another")
    )
    Repository.objects.filter(pk__in=[row.pk for row in repositories]).update(credential=mine)
    Repository.objects.filter(pk=other.pk).update(credential=another)
    fail(queue, repositories, RemoteAuthFailed("401"))
    ids = [queue.observe(repository) for repository in repositories]
    fine = queue.observe(other)

    queue.drain()

    assert states(ids) == {("queued", 0)}
    assert task(fine).state == "completed"
    assert "refuses the credential (credential mine)" in Finding.objects.get().summary

    fail(queue, repositories, None)
    queue.clock.forward(seconds=1)
    mine.renewed_at = queue.clock.now
    mine.save()
    queue.drain()
    assert states(ids) == {("completed", 1)}, "a renewed credential is tried at once"


def test_a_throttled_host_is_left_alone_until_its_own_time(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{number}") for number in range(3)]
    fail(queue, repositories[:1], RemoteThrottled("slow", retry_after_seconds=90))
    ids = [queue.observe(repository) for repository in repositories]
    queue.drain()
    later = queue.observe(repositories[1], about="a push")

    assert (task(ids[0]).state, task(ids[0]).attempts) == ("queued", 0)
    assert Circuit.objects.get().next_probe_at == NOON + timedelta(seconds=90)
    assert Alert.objects.get().severity == "medium"
    queue.clock.now = NOON + timedelta(seconds=89)
    queue.drain()
    assert states([ids[0], later]) == {("queued", 0)}

    fail(queue, repositories, None)
    queue.clock.now = NOON + timedelta(seconds=90)
    queue.drain()
    assert states([*ids, later]) == {("completed", 1)}
    assert Alert.objects.get().state == "resolved"


def test_what_died_before_the_circuit_opened_comes_back_when_it_closes(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{number}") for number in range(4)]
    credential = RemoteCredential.objects.create(
        tenant=repositories[0].tenant, name="mine", secret="s", created_at=NOON
    )
    Repository.objects.update(credential=credential)
    fail(queue, repositories, RemoteAuthFailed("401"))
    ids = []
    for repository in repositories:
        ids.append(queue.observe(repository))
        queue.drain()
    assert [task(pk).state for pk in ids] == ["dead", "dead", "queued", "queued"]

    fail(queue, repositories, None)
    probe(queue)

    assert {task(pk).state for pk in ids} == {"completed"}
    assert [task(pk).series for pk in ids] == [2, 2, 1, 1]


def test_leases_and_alerts_go_on_while_a_host_is_down(queue: Queue) -> None:
    repositories, _ = outage(queue)
    kinds = [TaskKind.HEAD_DRIFT, TaskKind.STALE_BRANCH, TaskKind.DIVERGENCE_ALERT]
    kinds += [TaskKind.LEASE_RENEWAL, TaskKind.MISSING_RUN]
    queue.put(*(queue.planned(repositories[0], f"{kind}", kind) for kind in kinds))
    queue.put(*(queue.planned(repositories[0], "one", kind) for kind in kinds))
    queue.drain()  # marks what waits
    queue.clock.forward(seconds=15)
    queue.drain()

    waiting = ReconciliationTask.objects.filter(state="queued").exclude(branch="")
    assert set(waiting.values_list("task_kind", flat=True)) == {"head_drift", "stale_branch"}
    ended = ReconciliationTask.objects.filter(branch="one").exclude(state="queued")
    assert ended.count() == 3, "nothing of the branch waits behind what is held"


def test_a_webhook_in_an_outage_joins_what_waits_and_adds_no_work(queue: Queue) -> None:
    repositories, ids = outage(queue)

    queue.observe(repositories[0])

    assert ReconciliationTask.objects.count() == len(ids)
    assert queue.claim() == []


def test_a_sweep_leaves_out_what_waits_for_its_host_and_takes_it_up_again(queue: Queue) -> None:
    repositories, _ = outage(queue)
    healthy = queue.repository("rival/api")
    queue.clock.forward(hours=2)
    budget = Budget(repositories=100, per_tenant=100)

    def swept() -> set[str]:
        draft = draft_sweep(
            slot=queue.clock.now, scope="", everything=False, budget=budget, now=queue.clock.now
        )
        items = draft.worklist.items
        return {item.repo for item in items if item.task_kind == "observe_refs"}

    assert swept() == {healthy.slug}
    fail(queue, repositories, None)
    probe(queue)
    assert swept() == {healthy.slug, *(row.slug for row in repositories)}


def test_the_probe_of_a_worker_that_died_is_replaced(queue: Queue) -> None:
    repositories, ids = outage(queue)
    fail(queue, repositories, None)
    queue.clock.now = Circuit.objects.get().next_probe_at or NOON
    tick(budget=None, body_retention=timedelta(days=1), correlation_id="c", now=queue.clock.now)
    keep_circuits(now=queue.clock.now)
    [lost] = queue.claim("dying")
    assert lost.id == ids[0]

    queue.clock.forward(minutes=5)
    queue.drain()
    queue.clock.forward(minutes=1)
    queue.drain()

    assert {task(pk).state for pk in ids} == {"completed"}


def test_a_probe_that_is_given_back_is_claimed_again(queue: Queue) -> None:
    _, ids = outage(queue)
    queue.clock.now = Circuit.objects.get().next_probe_at or NOON
    keep_circuits(now=queue.clock.now)
    claimed = queue.claim()
    assert [one.id for one in claimed] == ids[:1]

    give_back(claimed, worker="ada", now=queue.clock.now)

    assert [one.id for one in queue.claim()] == ids[:1]


def test_without_a_waiting_observation_the_probe_plans_one(queue: Queue) -> None:
    repositories = [queue.repository(f"acme/r{number}", ["b"]) for number in range(3)]
    Repository.objects.update(observed_at=NOON - timedelta(hours=1))
    fail(queue, repositories, DOWN)
    ids = [pk for repository in repositories for pk in queue.drifts(repository, "b")]
    queue.drain()
    assert states(ids) == {("queued", 0)}

    fail(queue, repositories, None)
    probe(queue)

    assert {task(pk).state for pk in ids} == {"completed"}
    made = ReconciliationTask.objects.get(subject__contains="probe 0")
    assert (made.repo, made.state) == ("r0", "completed")


def test_who_asks_for_a_repository_has_its_host_asked_at_once(queue: Queue) -> None:
    repositories, ids = outage(queue)
    place = repositories_by_id([repositories[3].pk])[repositories[3].pk]

    plan_pass(place, correlation_id="by-hand", now=queue.clock.now)
    queue.drain()
    by_hand = result_of(place, correlation_id="by-hand", now=queue.clock.now)
    assert {one["error"] for one in by_hand.troubles} == {
        "https://git.example is down: connection refused"
    }

    fail(queue, repositories, None)
    plan_pass(place, correlation_id="again", now=queue.clock.forward(seconds=1))
    queue.drain()
    assert states(ids) == {("completed", 1)}
    assert result_of(place, correlation_id="again", now=queue.clock.now).troubles == []


def test_who_asks_does_not_hurry_a_host_that_named_its_own_time(queue: Queue) -> None:
    repository = queue.repository()
    fail(queue, [repository], RemoteThrottled("slow", retry_after_seconds=90))
    queue.observe(repository)
    queue.drain()
    place = repositories_by_id([repository.pk])[repository.pk]

    plan_pass(place, correlation_id="by-hand", now=queue.clock.now)

    assert Circuit.objects.get().next_probe_at == NOON + timedelta(seconds=90)


def test_a_repository_that_moves_to_another_host_waits_no_longer(queue: Queue) -> None:
    repositories, ids = outage(queue)
    moved = repositories[2]
    queue.remote.rename(moved.clone_url, "https://new.example/r2.git")
    queue.remote.fail("https://new.example/r2.git", None)
    Repository.objects.filter(pk=moved.pk).update(clone_url="https://new.example/r2.git")

    probe(queue)

    assert task(ids[2]).state == "completed"
    assert CircuitHold.objects.count() == 4


def test_repositories_that_are_switched_off_close_the_circuit_with_the_last_of_them(
    queue: Queue,
) -> None:
    outage(queue)
    Repository.objects.update(is_active=False)

    probe(queue)

    assert Circuit.objects.get().state == "closed"
    assert Alert.objects.get().state == "resolved"


def test_a_second_outage_opens_the_same_alert_again(queue: Queue) -> None:
    repositories, _ = outage(queue)
    fail(queue, repositories, None)
    probe(queue)
    fail(queue, repositories, DOWN)
    for repository in repositories:
        queue.observe(repository, about="later")
    queue.clock.forward(minutes=1)

    queue.drain()

    alert = Alert.objects.get()
    assert (alert.state, alert.reopened_count) == ("open", 1)
    assert Circuit.objects.get().openings == 2


def test_a_worker_is_woken_for_the_probe(queue: Queue) -> None:
    OrmQ.objects.all().delete()
    outage(queue)

    at = Circuit.objects.get().next_probe_at
    assert at is not None
    assert OrmQ.objects.filter(lock__gte=at, lock__lte=at + timedelta(seconds=1)).exists()


def test_judging_costs_one_query_while_all_is_well(
    queue: Queue,
) -> None:
    def cost(count: int, tenant: str) -> list[str]:
        for number in range(count):
            queue.observe(queue.repository(f"{tenant}/r{number}"))
        with CaptureQueriesContext(connection) as seen:
            queue.drain()
        return [query["sql"] for query in seen]

    many = cost(40, "rival")

    about = [sql for sql in many if "reconciliation_circuit" in sql and "WITH RECURSIVE" not in sql]
    assert len(about) == 3, about  # two claims, one batch


def test_holding_and_letting_go_cost_the_same_statements_whatever_the_number(queue: Queue) -> None:
    def cost(count: int, tenant: str) -> tuple[int, int]:
        repositories, _ = outage(queue, count, tenant=tenant)
        Circuit.objects.update(counted_at=None)
        with CaptureQueriesContext(connection) as holding:
            keep_circuits(now=queue.clock.now)
        fail(queue, repositories, None)
        queue.clock.now = Circuit.objects.latest("pk").next_probe_at or NOON
        queue.drain()
        CircuitHold.objects.all().delete()
        row = Circuit.objects.latest("pk")
        ReconciliationTask.objects.filter(tenant=tenant).update(state="queued", held_by=row)
        Circuit.objects.filter(pk=row.pk).update(releasing=True, failing_since=NOON)
        with CaptureQueriesContext(connection) as letting_go:
            keep_circuits(now=queue.clock.now)
        assert not ReconciliationTask.objects.filter(held_by=row).exists()
        Circuit.objects.all().delete()
        return len(holding), len(letting_go)

    assert cost(3, "acme") == cost(30, "rival")


def test_the_trail_says_everything_and_hangs_together(queue: Queue) -> None:
    repositories, ids = outage(queue)
    probe(queue)
    fail(queue, repositories, None)
    probe(queue)

    circuit = Circuit.objects.get()
    assert actions(circuit) == [
        "circuit.open",
        "circuit.probe",
        "circuit.probe_failed",
        "circuit.probe",
        "circuit.close",
    ]
    rows = entries_of_object(EVERYONE, kind="circuit", object_id=str(circuit.pk))
    bodies = [json.loads(row.body) for row in rows if row.action.startswith("circuit.")]
    assert {body["data"]["origin"] for body in bodies} == {"https://git.example"}
    assert len({body["correlation_id"] for body in bodies}) == 1
    assert verify("acme") is None
    assert states(ids) == {("completed", 1)}
