"""A run record covers a push only when it passed what is required and belongs to who pushed.

Each attack is the covered push below with one thing changed, made through the API with a token.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from audit.domain.entries import Actor, ActorKind
from governance.models import Lease, RunRecord
from governance.services.aliases import add_alias
from reconciliation.models import Evaluation, Finding
from reconciliation.remotes.memory import MemoryCommit
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    HEAD_C,
    LeaseFactory,
    RepositoryFactory,
    api_client,
)
from tests.functional.loop.announcing import announce_gate
from tests.functional.loop.test_the_loop import Loop, loop
from tests.integration.policy.acts import publish

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

GATES = {"tests": "passed", "security": "passed"}
GATED = "changes: {required_gates: [security, tests]}\n"
LEASED = "runs: {require_lease: true}\n"


def obey(text: str) -> None:
    publish(text, "repository", "acme/main/api", now=datetime.now(UTC))


def engine_of(loop: Loop, actor: str) -> APIClient:
    """Return the API with a token that records runs of this actor, and of nobody else."""
    return api_client(["runs", "read"], tenant=loop.repository.tenant, actor=actor)


def record(loop: Loop, actor: str = "alice", *, run_id: str = "run-1", **changes: Any) -> None:
    """Record a run that succeeded from HEAD_A to HEAD_B on main, by two calls."""
    values: dict[str, Any] = {
        "repo": "api",
        "branch": "main",
        "base_sha": HEAD_A,
        "head_sha": HEAD_B,
        "status": "succeeded",
        "gate_results": GATES,
        "lease_id": "",
    } | changes
    start = {name: values[name] for name in ("repo", "branch", "base_sha", "lease_id")}
    end = {name: values[name] for name in ("repo", "head_sha", "status", "gate_results")}
    api = engine_of(loop, actor)
    started = api.post("/api/v1/runs", start | {"run_id": run_id, "actor": actor}, format="json")
    assert started.status_code == 201, started.content
    ended = api.post(f"/api/v1/runs/{run_id}/finish", end, format="json")
    assert ended.status_code == 200, ended.content


def push(
    loop: Loop, pusher: str | None = "alice", head: str = HEAD_B, before: str = HEAD_A
) -> None:
    """Move main; without a pusher nobody announces it."""
    loop.move("main", head)
    if pusher is not None:
        loop.announce("main", before, head, pusher=pusher)


def see(loop: Loop, *, after: timedelta = timedelta(minutes=20)) -> None:
    """Let everything be decided that can be, long after every grace."""
    if not Evaluation.objects.exists():
        loop.drain(after=timedelta(seconds=1))
    for _ in range(3):
        loop.drain(after=after)


def is_covered(loop: Loop) -> bool:
    return bool(loop.branch().governed_head == loop.branch().observed_head)


def rules(loop: Loop) -> set[str]:
    finding = Finding.objects.get(check_kind="head_drift", state="open", branch="main")
    return {one["rule"] for one in finding.rule_hits}


def lease(loop: Loop, user: str = "alice", **values: Any) -> Lease:
    now = datetime.now(UTC)
    known = {
        "agent_id": "",
        "branch": "main",
        "acquired_at": now - timedelta(minutes=5),
        "expires_at": now + timedelta(hours=6),
        "max_expires_at": now + timedelta(hours=7),
        "last_heartbeat_at": now + timedelta(hours=6),
    }
    return LeaseFactory.create(repository=loop.repository, user_id=user, **(known | values))


# --- what must advance without a word -------------------------------------------------------------


@pytest.mark.parametrize("policy", ["", GATED])
@pytest.mark.parametrize("is_first", [True, False], ids=["recorded first", "pushed first"])
def test_a_push_of_the_runs_actor_is_covered(policy: str, is_first: bool, loop: Loop) -> None:
    if policy:
        obey(policy)
    acts: list[Callable[[], None]] = [lambda: record(loop), lambda: push(loop)]
    for act in acts if is_first else reversed(acts):
        act()

    see(loop)

    assert is_covered(loop)
    assert loop.branch().governed_by == "run:run-1"
    assert not Finding.objects.exists()


def test_a_push_by_an_alias_of_the_runs_actor_is_covered(loop: Loop) -> None:
    join(loop, "alice-on-github", "alice")
    join(loop, "reach-agent", "alice")
    record(loop, "reach-agent")
    push(loop, "alice-on-github")

    see(loop)

    assert is_covered(loop)


def test_gates_that_the_host_reports_at_the_head_pass_it(loop: Loop) -> None:
    obey(GATED)
    record(loop, gate_results={})
    push(loop)
    loop.drain(after=timedelta(seconds=1))
    loop.drain(after=timedelta(seconds=20))
    assert not is_covered(loop)
    assert not Finding.objects.exists(), "gates that have no result yet are waited for"

    for gate in ("tests", "security"):
        announce_gate(loop, HEAD_B, gate, "success")
    see(loop, after=timedelta(seconds=20))

    assert is_covered(loop)
    assert not Finding.objects.exists()


def test_who_holds_the_lease_may_let_another_push(loop: Loop) -> None:
    obey(LEASED)
    held = lease(loop)
    record(loop, lease_id=held.lease_id)
    push(loop, "deploy-bot")

    see(loop)

    assert is_covered(loop)


def test_where_nobody_named_the_pusher_the_lease_of_the_actor_is_the_evidence(loop: Loop) -> None:
    lease(loop)
    push(loop, None)
    record(loop)

    see(loop)

    assert loop.branch().pusher == ""
    assert is_covered(loop)


def test_a_record_of_another_does_not_hide_the_one_that_counts(loop: Loop) -> None:
    record(loop, "mallory", run_id="a-run-1")
    record(loop, "alice", run_id="run-2")
    push(loop)

    see(loop)

    assert loop.branch().governed_by == "run:run-2"


# --- what must not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gates",
    [
        {"tests": "failed", "security": "failed"},
        {"tests": "passed", "security": "failed"},
        {"tests": "passed"},
        {},
        {"tests": "pending", "security": "pending"},
        {"tests": "passed", "security": "skipped"},
        {"Tests": "passed", "security": "passed"},
    ],
)
def test_a_run_that_did_not_pass_every_required_gate_covers_nothing(
    gates: dict[str, str], loop: Loop
) -> None:
    obey(GATED)
    record(loop, gate_results=gates)
    push(loop)

    see(loop)

    assert not is_covered(loop)
    assert "drift.run_gates_missing" in rules(loop)
    assert "required gates have not passed" in Finding.objects.get(check_kind="head_drift").summary


def test_what_the_host_says_of_a_gate_counts_before_what_the_run_says_of_itself(loop: Loop) -> None:
    obey(GATED)
    announce_gate(loop, HEAD_B, "tests", "failure")
    record(loop)
    push(loop)

    see(loop)

    assert not is_covered(loop)
    assert "drift.run_gates_missing" in rules(loop)


def test_gates_at_another_head_pass_nothing(loop: Loop) -> None:
    obey(GATED)
    for gate in ("tests", "security"):
        announce_gate(loop, HEAD_A, gate, "success")
    record(loop, gate_results={})
    push(loop)

    see(loop)

    assert not is_covered(loop)


@pytest.mark.parametrize("is_first", [True, False], ids=["recorded first", "pushed first"])
def test_two_calls_of_somebody_else_launder_no_push(is_first: bool, loop: Loop) -> None:
    acts: list[Callable[[], None]] = [lambda: record(loop), lambda: push(loop, "mallory")]
    for act in acts if is_first else reversed(acts):
        act()

    see(loop)

    assert not is_covered(loop)
    assert "drift.run_not_of_pusher" in rules(loop)
    finding = Finding.objects.get(check_kind="head_drift")
    assert "manage.py alias add --tenant acme mallory alice" in finding.recommendation


def test_a_finding_is_not_resolved_by_the_record_of_somebody_else(loop: Loop) -> None:
    push(loop, "mallory")
    see(loop)
    assert Finding.objects.get(check_kind="head_drift").state == "open"

    record(loop, "alice")
    see(loop)

    assert not is_covered(loop)
    assert "drift.run_not_of_pusher" in rules(loop)


def test_a_run_whose_base_is_not_governed_covers_nothing(loop: Loop) -> None:
    record(loop, base_sha=HEAD_C)
    push(loop)

    see(loop)

    assert not is_covered(loop)


@pytest.mark.parametrize("status", ["failed"])
def test_a_run_that_did_not_succeed_covers_nothing(status: str, loop: Loop) -> None:
    record(loop, status=status)
    push(loop)

    see(loop)

    assert not is_covered(loop)


@pytest.mark.parametrize("status", ["running", "abandoned", "proposed"])
def test_a_run_in_any_other_state_covers_nothing(status: str, loop: Loop) -> None:
    record(loop)
    RunRecord.objects.update(status=status, **({"ended_at": None} if status == "running" else {}))
    push(loop)

    see(loop)

    assert not is_covered(loop)


def test_one_uncovered_run_of_a_chain_uncovers_the_whole(loop: Loop) -> None:
    loop.remote.push(loop.url, "main", MemoryCommit(HEAD_D, (HEAD_B,), files={"README": "4"}))
    loop.move("main", HEAD_A)
    record(loop, "alice", run_id="run-1")
    record(loop, "mallory", run_id="run-2", base_sha=HEAD_B, head_sha=HEAD_D)
    push(loop, "alice", HEAD_D)

    see(loop)

    assert not is_covered(loop)
    assert "drift.run_not_of_pusher" in rules(loop)


def test_a_push_of_another_between_two_covered_ones_is_not_covered(loop: Loop) -> None:
    loop.remote.push(loop.url, "main", MemoryCommit(HEAD_D, (HEAD_B,), files={"README": "4"}))
    record(loop, "alice", head_sha=HEAD_D)
    loop.move("main", HEAD_D)
    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    loop.announce("main", HEAD_B, HEAD_D, pusher="alice")

    see(loop)

    assert not is_covered(loop)


def test_a_run_in_another_repository_of_the_tenant_covers_nothing(loop: Loop) -> None:
    RepositoryFactory.create(tenant=loop.repository.tenant, slug="web")
    record(loop, repo="web")
    push(loop)

    see(loop)

    assert not is_covered(loop)


def test_a_run_on_another_branch_covers_nothing(loop: Loop) -> None:
    record(loop, branch="topic")
    push(loop)

    see(loop)

    assert not is_covered(loop)


def test_an_unknown_pusher_without_a_lease_is_said_to_be_unknown(loop: Loop) -> None:
    push(loop, None)
    record(loop)

    see(loop)

    assert not is_covered(loop)
    assert "drift.run_owner_unknown" in rules(loop)
    assert "it is unknown who pushed" in Finding.objects.get(check_kind="head_drift").summary


def test_the_webhook_that_comes_late_covers_what_was_unknown(loop: Loop) -> None:
    test_an_unknown_pusher_without_a_lease_is_said_to_be_unknown(loop)

    loop.announce("main", HEAD_A, HEAD_B, pusher="alice")
    see(loop)

    assert is_covered(loop)
    assert Finding.objects.get(check_kind="head_drift").state == "resolved"


@pytest.mark.parametrize(
    ("user", "values"),
    [
        ("carol", {}),
        ("alice", {"branch": "topic"}),
        ("alice", {"scope": "path-prefix", "paths": ["docs"]}),
    ],
)
@pytest.mark.parametrize("policy", ["", LEASED])
def test_a_lease_of_another_or_over_something_else_is_no_evidence(
    policy: str, user: str, values: dict[str, Any], loop: Loop
) -> None:
    if policy:
        obey(policy)
    lease(loop, user, **values)
    push(loop, None)
    record(loop)

    see(loop)

    assert not is_covered(loop)


@pytest.mark.parametrize(
    "span",
    [
        (timedelta(hours=5), timedelta(hours=6)),
        (timedelta(hours=-3), timedelta(hours=-2)),
    ],
    ids=["acquired after the push", "expired before the push"],
)
def test_a_lease_that_did_not_stand_at_the_push_is_no_evidence(
    span: tuple[timedelta, timedelta], loop: Loop
) -> None:
    obey(LEASED)
    now = datetime.now(UTC)
    lease(loop, acquired_at=now + span[0], expires_at=now + span[1])
    push(loop)
    record(loop)

    see(loop)

    assert not is_covered(loop)
    assert "drift.run_without_lease" in rules(loop)


def test_a_lease_that_was_broken_before_the_push_is_no_evidence(loop: Loop) -> None:
    obey(LEASED)
    lease(loop, state="broken", ended_at=datetime.now(UTC) - timedelta(minutes=1))
    push(loop)
    record(loop)

    see(loop)

    assert "drift.run_without_lease" in rules(loop)


def test_where_a_lease_is_required_the_pusher_alone_is_not_enough(loop: Loop) -> None:
    obey(LEASED)
    push(loop)
    record(loop)

    see(loop)

    assert not is_covered(loop)
    finding = Finding.objects.get(check_kind="head_drift")
    assert "runs.require_lease" in finding.summary


def test_an_alias_of_another_tenant_joins_nothing_here(loop: Loop) -> None:
    stranger = RepositoryFactory.create(slug="elsewhere").tenant
    add_alias(
        stranger,
        "mallory",
        "alice",
        actor=Actor(ActorKind.USER, "root"),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    record(loop, "alice")
    push(loop, "mallory")

    see(loop)

    assert not is_covered(loop)


HEAD_D = "d" * 40


def join(loop: Loop, name: str, identity: str) -> None:
    add_alias(
        loop.repository.tenant,
        name,
        identity,
        actor=Actor(ActorKind.USER, "root"),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
