"""Merges are judged after the fact: by their run, their gates, their moment, fork or no fork."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from governance.models import GateResult, PullRequest
from governance.selectors.branch_facts import repositories_by_id
from governance.selectors.change_facts import (
    MERGES_KEPT,
    RUNS_KEPT,
    pull_requests_by_branch,
    runs_by_branch,
)
from reconciliation.models import Finding, ReconciliationTask, TaskKind
from reconciliation.services.intake import request_observation
from reconciliation.services.planning import plan_check
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    HEAD_C,
    BranchFactory,
    RunRecordFactory,
)
from tests.functional.loop.announcing import announce_gate
from tests.functional.loop.test_the_loop import Loop, loop
from tests.integration.policy.acts import publish

__all__ = ["loop"]

pytestmark = pytest.mark.django_db


def merge(loop: Loop, number: int = 7, **values: Any) -> PullRequest:
    known = {
        "state": "merged",
        "head_branch": "topic",
        "head_sha": HEAD_B,
        "base_branch": "main",
        "merge_sha": HEAD_C,
        "merged_at": loop.now - timedelta(days=30),
    }
    return PullRequest.objects.create(
        repository=loop.repository, number=number, seen_at=loop.now, **known | values
    )


def check(loop: Loop, branch: str) -> str:
    """Return what the missing run check decides about a branch now."""
    plan_check(
        tenant="acme",
        workspace="main",
        repo="api",
        repository_id=loop.repository.pk,
        branch=branch,
        task_kind=TaskKind.MISSING_RUN,
        about=f"test {ReconciliationTask.objects.count()}",
        origin="manual",
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )
    loop.drain()
    newest = ReconciliationTask.objects.filter(subject__startswith="test ").latest("id")
    return newest.policy_decision


@pytest.fixture
def topic(loop: Loop) -> Loop:
    loop.remote.reset(loop.url, "topic", HEAD_B)
    BranchFactory.create(
        repository=loop.repository,
        name="topic",
        branch_class="other",
        observed_head=HEAD_B,
        governed_head=HEAD_B,
        observed_at=loop.now - timedelta(days=30),
    )
    return loop


@pytest.mark.parametrize("branch", ["topic", "main", "elsewhere"])
def test_the_run_of_a_merge_counts_on_whatever_branch_it_was_made(topic: Loop, branch: str) -> None:
    merge(topic)
    assert check(topic, "topic") == "missing"

    RunRecordFactory.create(
        repository=topic.repository, branch=branch, head_sha=HEAD_C, status="succeeded"
    )

    assert check(topic, "topic") == "not_governed"


def test_a_recorded_merge_past_its_gates_is_told_until_they_passed(topic: Loop) -> None:
    text = "changes: {required_gates: [ci, review]}\n"
    publish(text, "repository", "acme/main/api", now=datetime.now(UTC))
    merge(topic)
    RunRecordFactory.create(
        repository=topic.repository,
        branch="topic",
        head_sha=HEAD_B,
        status="succeeded",
        gate_results={"ci": "passed"},
    )

    assert check(topic, "topic") == "missing"
    finding = Finding.objects.get(check_kind="missing_run")
    assert finding.stable_class == "merged_without_gates"
    assert finding.rule_hits[0]["inputs"]["gates"] == "review"

    GateResult.objects.create(
        repository=topic.repository,
        sha=HEAD_C,
        context="review",
        state="success",
        seen_at=topic.now,
    )
    assert check(topic, "topic") == "recorded"


def state_of_the_finding(loop: Loop) -> str:
    """Work off what is due, and the checks that confirm it, and return how the finding stands."""
    for _ in range(3):
        loop.drain()
    return Finding.objects.get(branch="topic", check_kind="missing_run").state


def test_a_gate_that_comes_late_and_names_no_branch_resolves_what_lacked_it(topic: Loop) -> None:
    text = "changes: {required_gates: [ci]}\n"
    publish(text, "repository", "acme/main/api", now=datetime.now(UTC))
    merge(topic)
    RunRecordFactory.create(
        repository=topic.repository, branch="topic", head_sha=HEAD_B, status="succeeded"
    )
    assert check(topic, "topic") == "missing"

    announce_gate(topic, HEAD_C, "ci", "success")

    assert state_of_the_finding(topic) == "resolved"


def test_the_record_of_the_merge_itself_resolves_what_its_branch_lacked(topic: Loop) -> None:
    merge(topic)
    assert check(topic, "topic") == "missing"
    run = RunRecordFactory.create(
        repository=topic.repository, branch="main", head_sha=HEAD_C, status="succeeded"
    )

    request_observation(
        repositories_by_id([topic.repository.pk])[topic.repository.pk],
        about=f"run {run.run_id} succeeded",
        origin="api",
        correlation_id=CORRELATION_ID,
        run_id=run.run_id,
        now=topic.now,
    )

    assert state_of_the_finding(topic) == "resolved"


def test_a_merge_from_a_fork_is_told_of_the_branch_that_it_was_merged_onto(topic: Loop) -> None:
    merge(topic, from_fork=True, head_repository="mallory/api")

    assert check(topic, "topic") == "not_governed"
    assert check(topic, "main") == "missing"
    finding = Finding.objects.get(branch="main", check_kind="missing_run")
    assert finding.summary == "#7 was merged onto main without a run record."


def test_a_branch_just_made_from_the_default_branch_lacks_no_record(loop: Loop) -> None:
    RunRecordFactory.create(repository=loop.repository, branch="fresh", status="failed")
    PullRequest.objects.create(
        repository=loop.repository,
        number=3,
        state="open",
        head_branch="fresh",
        head_sha=HEAD_A,
        base_branch="main",
        seen_at=loop.now,
    )
    BranchFactory.create(
        repository=loop.repository,
        name="fresh",
        observed_head=HEAD_A,
        governed_head=None,
        observed_at=loop.now - timedelta(days=1),
    )

    assert loop.branch("main").observed_head == HEAD_A
    assert check(loop, "fresh") == "recorded"


def test_what_a_check_is_told_does_not_grow_with_history(loop: Loop) -> None:
    key = (loop.repository.pk, "main")
    PullRequest.objects.bulk_create(
        PullRequest(
            repository=loop.repository,
            number=number,
            state="merged",
            head_branch="develop" if number % 2 else "patch",
            base_branch="main",
            head_sha=f"{number:040x}",
            merge_sha=f"{number + 10_000:040x}",
            from_fork=number % 2 == 0,
            seen_at=loop.now,
        )
        for number in range(1, 701)
    )
    RunRecordFactory.create_batch(3, repository=loop.repository, branch="main", status="running")
    RunRecordFactory.create_batch(
        RUNS_KEPT + 20, repository=loop.repository, branch="main", status="succeeded"
    )

    onto_main = pull_requests_by_branch([key])[key]
    from_develop = pull_requests_by_branch([(key[0], "develop")])[key[0], "develop"]
    named = pull_requests_by_branch([key], merged_at=[(key[0], f"{10_001:040x}")])[key]

    newest_forks = [number for number in range(1, 701) if number % 2 == 0][-MERGES_KEPT:]
    newest_own = [number for number in range(1, 701) if number % 2][-MERGES_KEPT:]
    assert [one.number for one in onto_main] == newest_forks
    assert [one.number for one in from_develop] == newest_own
    assert [one.number for one in named] == [1, *newest_forks]
    runs = runs_by_branch([key])[key]
    assert len(runs) == RUNS_KEPT + 3
    assert sum(one.status == "running" for one in runs) == 3
