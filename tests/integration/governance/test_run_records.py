"""Run records start once, live by heartbeats, and never change after their end."""

from datetime import timedelta
from typing import Any

import pytest

from governance.domain.runs import InvalidRun, RunEnd, RunStart, run_end, run_start
from governance.models import Lease, Repository, RunRecord
from governance.services.runs import (
    RunConflict,
    RunEnded,
    RunNotFound,
    RunOutcome,
    abandon_run,
    create_run,
    finish_run,
    heartbeat_run,
)
from tests.conftest import World
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    HEAD_C,
    NOON,
    LeaseFactory,
)
from tests.integration.governance.acts import AGENT, acquire, trail

pytestmark = pytest.mark.django_db
LATER = NOON + timedelta(seconds=30)
START: dict[str, Any] = {
    "run_id": "run-1",
    "branch": "topic",
    "base_sha": HEAD_A,
    "actor": "alice",
    "context_hash": "ctx_001",
}
END: dict[str, Any] = {
    "status": "succeeded",
    "head_sha": HEAD_B,
    "patch_hash": "1f" * 20,
    "gate_results": {"security": "passed"},
    "conflict_classes": ["text"],
}


@pytest.fixture
def repository(tenant_world: World) -> Repository:
    return tenant_world.repository


def start(repository: Repository, **changes: Any) -> RunOutcome:
    what: RunStart = run_start(**START | changes)
    return create_run(repository, what, caller=AGENT, correlation_id=CORRELATION_ID, now=NOON)


def finish(repository: Repository, **changes: Any) -> RunOutcome:
    what: RunEnd = run_end(**END | changes)
    return finish_run(
        repository, "run-1", what, caller=AGENT, correlation_id=CORRELATION_ID, now=LATER
    )


def abandon(repository: Repository) -> RunOutcome:
    return abandon_run(
        repository,
        "run-1",
        reason="nobody will finish it",
        actor=AGENT.actor,
        correlation_id=CORRELATION_ID,
        now=LATER,
    )


def test_a_run_starts_running(repository: Repository) -> None:
    outcome = start(repository)

    run = RunRecord.objects.get()
    assert (outcome.is_new, outcome.run) == (True, run)
    assert (run.status, run.started_at, run.last_heartbeat_at) == ("running", NOON, NOON)
    assert (run.base_sha, run.head_sha, run.ended_at) == (HEAD_A, "", None)
    assert trail() == ["run.start run-1"]


def test_the_same_start_again_is_the_same_run(repository: Repository) -> None:
    first = start(repository)
    finish(repository)

    again = start(repository)

    assert (again.is_new, again.run.pk, again.run.status) == (False, first.run.pk, "succeeded")
    assert trail() == ["run.start run-1", "run.finish run-1"]


@pytest.mark.parametrize(
    "change",
    [{"branch": "other"}, {"base_sha": HEAD_C}, {"actor": "reach-cli"}, {"context_hash": ""}],
)
def test_a_different_start_under_the_same_id_is_refused(
    repository: Repository, change: dict[str, str]
) -> None:
    start(repository)

    with pytest.raises(RunConflict):
        start(repository, **change)


def test_a_run_under_a_lease_becomes_its_current_operation(repository: Repository) -> None:
    acquire(repository)

    start(repository, lease_id="lease-1")

    assert Lease.objects.get().run_id == "run-1"


@pytest.mark.parametrize(
    "lease",
    [
        {"branch": "other"},
        {"branch": "topic", "state": "released"},
        {"branch": "topic", "expires_at": NOON},
        {"branch": "topic", "lease_id": "lease-2"},
    ],
)
def test_a_run_cannot_name_a_lease_that_does_not_protect_it(
    repository: Repository, lease: dict[str, Any]
) -> None:
    LeaseFactory.create(**{"repository": repository, "lease_id": "lease-1"} | lease)

    with pytest.raises(InvalidRun) as refused:
        start(repository, lease_id="lease-1")

    assert refused.value.field == "lease_id"
    assert RunRecord.objects.count() == 0


def test_a_heartbeat_says_that_the_run_still_works(repository: Repository) -> None:
    start(repository)

    heartbeat_run(repository, "run-1", caller=AGENT, now=LATER)

    assert RunRecord.objects.get().last_heartbeat_at == LATER
    assert trail() == ["run.start run-1"]


def test_a_heartbeat_that_was_overtaken_moves_nothing_back(repository: Repository) -> None:
    start(repository)
    heartbeat_run(repository, "run-1", caller=AGENT, now=LATER)

    assert heartbeat_run(repository, "run-1", caller=AGENT, now=NOON).last_heartbeat_at == LATER


def test_a_run_ends_with_what_it_made(repository: Repository) -> None:
    start(repository)

    outcome = finish(repository)

    run = RunRecord.objects.get()
    assert (outcome.is_new, outcome.run) == (True, run)
    assert (run.status, run.head_sha, run.ended_at) == ("succeeded", HEAD_B, LATER)
    assert (run.gate_results, run.conflict_classes) == ({"security": "passed"}, ["text"])
    assert trail() == ["run.start run-1", "run.finish run-1"]


def test_a_run_that_failed_needs_no_head(repository: Repository) -> None:
    start(repository)

    assert finish(repository, status="failed", head_sha="").run.status == "failed"


def test_the_same_end_again_changes_nothing(repository: Repository) -> None:
    start(repository)
    finish(repository)

    assert finish(repository).is_new is False
    assert trail() == ["run.start run-1", "run.finish run-1"]


@pytest.mark.parametrize(
    "change", [{"status": "failed"}, {"head_sha": HEAD_C}, {"gate_results": {}}, {"patch_hash": ""}]
)
def test_an_ended_run_never_changes(repository: Repository, change: dict[str, Any]) -> None:
    start(repository)
    finish(repository)
    before = RunRecord.objects.values().get()

    with pytest.raises(RunEnded):
        finish(repository, **change)
    with pytest.raises(RunEnded):
        heartbeat_run(repository, "run-1", caller=AGENT, now=LATER)
    with pytest.raises(RunEnded):
        abandon(repository)

    assert RunRecord.objects.values().get() == before


def test_an_abandoned_run_cannot_be_finished(repository: Repository) -> None:
    start(repository)
    abandon(repository)

    assert abandon(repository).is_new is False
    with pytest.raises(RunEnded, match="abandoned"):
        finish(repository)
    assert trail() == ["run.start run-1", "run.abandon run-1"]


def test_a_run_of_another_tenant_is_not_found(repository: Repository, tenant_world: World) -> None:
    start(repository)

    with pytest.raises(RunNotFound):
        heartbeat_run(tenant_world.strange_repository, "run-1", caller=AGENT, now=LATER)
