"""A branch in use is told that its base was left behind: found by sweeps, in bounded steps."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from governance.models import Branch, PullRequest
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import Finding, ReconciliationTask
from reconciliation.remotes.base import RemoteTarget
from reconciliation.remotes.memory import MemoryCommit
from reconciliation.services.left_behind import left_behind_items
from reconciliation.services.sweeps import Budget, PlannedSweep, plan_sweep
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    BranchFactory,
    LeaseFactory,
    RunRecordFactory,
)
from tests.functional.loop.announcing import announce_pull_request
from tests.functional.loop.test_the_loop import Loop, loop

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

TOPIC = "5" * 40
DAY = timedelta(days=1)
AHEAD = [f"{number:040x}" for number in range(1, 10)]
"""Nine commits of main that the topic lacks: one more than the policy allows."""


@pytest.fixture
def behind(loop: Loop) -> Loop:
    """Return a loop with a topic of yesterday that lacks nine commits of main."""
    loop.remote.push(loop.url, "topic", MemoryCommit(TOPIC, (HEAD_A,)))
    parents = [HEAD_A, *AHEAD]
    for oid, parent in zip(AHEAD, parents, strict=False):
        loop.remote.push(loop.url, "main", MemoryCommit(oid, (parent,)))
    heads = {"main": AHEAD[-1], "topic": TOPIC}
    loop.remote.sync(RemoteTarget(loop.url, str(loop.repository.pk)), heads)
    Branch.objects.filter(repository=loop.repository, name="main").update(
        observed_head=AHEAD[-1], governed_head=AHEAD[-1]
    )
    branch(loop, "topic", TOPIC)
    return loop


def branch(loop: Loop, name: str, head: str, **values: Any) -> Branch:
    return BranchFactory.create(
        repository=loop.repository,
        name=name,
        observed_head=head,
        governed_head=head,
        last_activity_at=loop.now - DAY,
        **{"branch_class": "other"} | values,
    )


def pull_request(loop: Loop, **values: Any) -> PullRequest:
    known = {"number": 7, "state": "open", "head_branch": "topic", "base_branch": "main"}
    return PullRequest.objects.create(
        repository=loop.repository, head_sha=TOPIC, seen_at=loop.now, **known | values
    )


def sweep(loop: Loop, *, limit: int = 100) -> PlannedSweep:
    return plan_sweep(
        slot=loop.now,
        scope="",
        everything=False,
        trigger="manual",
        budget=Budget(repositories=0, per_tenant=1, checks=limit),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )


def planned(sweep: PlannedSweep) -> list[tuple[str, str]]:
    return [
        (item.branch, item.about)
        for item in sweep.worklist.items
        if item.task_kind == "stale_branch"
    ]


THE_PAIR = ("topic", f"behind {AHEAD[-1]} at {TOPIC}")


def test_a_branch_in_use_whose_base_is_left_behind_is_told(behind: Loop) -> None:
    pull_request(behind)

    assert planned(sweep(behind)) == [THE_PAIR]
    behind.drain()

    finding = Finding.objects.get(branch="topic")
    assert (finding.check_kind, finding.stable_class) == ("stale_branch", "stale_base")
    assert finding.actual["behind_default"] == "9"
    assert finding.command == "git fetch origin && git rebase origin/main"


@pytest.mark.parametrize("use", ["governed", "lease", "run", "pull request"])
def test_what_counts_as_use(behind: Loop, use: str) -> None:
    topic = Branch.objects.filter(name="topic")
    if use == "governed":
        topic.update(branch_class="governed")
    elif use == "lease":
        later = behind.now + DAY
        LeaseFactory.create(
            repository=behind.repository, branch="topic", expires_at=later, max_expires_at=later
        )
    elif use == "run":
        RunRecordFactory.create(repository=behind.repository, branch="topic", status="running")
    else:
        pull_request(behind)

    assert planned(sweep(behind)) == [THE_PAIR]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"branch_class": "protected"},
        {"branch_class": "default"},
        {"branch_class": "governed", "observed_head": None},
        {"branch_class": "governed", "observed_head": AHEAD[-1]},
    ],
    ids=["not in use", "protected", "default", "gone", "where main is"],
)
def test_what_is_not_asked_about(behind: Loop, change: dict[str, Any]) -> None:
    Branch.objects.filter(name="topic").update(**change)

    assert planned(sweep(behind)) == []


@pytest.mark.parametrize("values", [{"state": "closed"}, {"from_fork": True}])
def test_a_pull_request_that_is_over_or_of_a_fork_uses_no_branch(
    behind: Loop, values: dict[str, Any]
) -> None:
    pull_request(behind, **values)

    assert planned(sweep(behind)) == []


def test_a_pair_of_heads_is_asked_about_once_and_a_branch_once_a_day(behind: Loop) -> None:
    Branch.objects.filter(name="topic").update(branch_class="governed")
    Branch.objects.filter(name="main").update(observed_head=AHEAD[7], governed_head=AHEAD[7])
    first = sweep(behind)
    ReconciliationTask.objects.update(created_at=behind.now)

    behind.now += timedelta(hours=2)
    again = sweep(behind)
    behind.now += timedelta(hours=2)
    Branch.objects.filter(name="main").update(observed_head=AHEAD[8], governed_head=AHEAD[8])
    too_soon = sweep(behind)
    behind.now += DAY
    next_day = sweep(behind)
    ReconciliationTask.objects.update(created_at=behind.now - 2 * DAY)
    behind.now += DAY
    nothing_moved = sweep(behind)

    assert planned(first) == [("topic", f"behind {AHEAD[7]} at {TOPIC}")]
    assert planned(again) == planned(too_soon) == planned(nothing_moved) == []
    assert planned(next_day) == [THE_PAIR]


def test_the_finding_goes_when_the_branch_is_no_longer_in_use(behind: Loop) -> None:
    request = pull_request(behind)
    sweep(behind)
    behind.drain()
    PullRequest.objects.filter(pk=request.pk).update(state="closed")
    behind.now += 2 * DAY
    Branch.objects.filter(name="topic").update(last_activity_at=behind.now - 3 * DAY)

    assert planned(sweep(behind)) == [("topic", "stale_base")]
    behind.drain()
    behind.drain()

    assert Finding.objects.get(branch="topic").state == "resolved"


def test_a_pull_request_from_a_stale_branch_takes_its_recommendation_back_at_once(
    loop: Loop,
) -> None:
    loop.remote.push(loop.url, "topic", MemoryCommit(TOPIC, (HEAD_A,)))
    branch(loop, "topic", TOPIC)
    Branch.objects.filter(name="topic").update(last_activity_at=loop.now - 400 * DAY)
    sweep(loop)
    loop.drain()
    assert Finding.objects.get(branch="topic", check_kind="stale_branch").state == "open"

    announce_pull_request(loop, 7, head="topic", sha=TOPIC)
    for _ in range(3):
        loop.drain()

    assert Finding.objects.get(branch="topic", check_kind="stale_branch").state == "resolved"


def test_a_sweep_asks_about_so_many_and_the_next_one_about_the_rest(behind: Loop) -> None:
    Branch.objects.filter(name="topic").update(branch_class="governed")
    for name in ("a", "b", "c", "d"):
        branch(behind, name, TOPIC, branch_class="governed")

    seen = []
    for _ in range(4):
        seen.append([name for name, _ in planned(sweep(behind, limit=2))])
        behind.now += timedelta(minutes=5)

    assert seen == [["a", "b"], ["c", "d"], ["topic"], []]


def test_it_costs_two_statements_and_the_bound_however_many_there_are(behind: Loop) -> None:
    def looked(loop: Loop) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
        return left_behind_items(
            repository_ids=[loop.repository.pk],
            active_since=loop.now - 60 * DAY,
            limit=100,
            slot=loop.now,
            now=loop.now,
        )

    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            looked(behind)
        return len(queries)

    few = statements()
    for number in range(60):
        branch(behind, f"b{number}", TOPIC, branch_class="governed")

    assert statements() == few == 2
    items, ids = looked(behind)
    assert (len(items), ids) == (60, {("acme", "api"): behind.repository.pk})
