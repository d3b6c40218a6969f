"""The branch page after real evaluations: matrix, findings and class do not contradict."""

from datetime import datetime, timedelta
from random import Random

import pytest

from governance.models import Lease
from reconciliation.domain.coherence_values import CoherenceRow
from reconciliation.models import Finding
from reconciliation.selectors.branches import BranchPage, branch_page
from reconciliation.selectors.coherence import open_finding_of
from reconciliation.services.snapshots import accept_head
from reconciliation.services.sweeps import Budget, plan_sweep
from tests.coherence import contradictions
from tests.factories.governance import (
    CORRELATION_ID,
    HEAD_A,
    HEAD_B,
    HEAD_C,
    LeaseFactory,
    RunRecordFactory,
)
from tests.functional.loop.test_the_loop import ADMIN, Loop
from tests.functional.loop.test_the_loop import loop as loop_at_noon

__all__ = ["loop_at_noon"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def loop(loop_at_noon: Loop) -> Loop:
    """Deliveries are stamped with the real time, so leases must stand then."""
    loop_at_noon.now = datetime.now(loop_at_noon.now.tzinfo)
    return loop_at_noon


def page(loop: Loop) -> BranchPage:
    return branch_page(ADMIN, tenant="acme", repo="api", branch="main", now=loop.now)


def row(loop: Loop, source: str) -> CoherenceRow:
    return next(one for one in page(loop).matrix.rows if one.source == source)


def assert_nothing_contradicts(loop: Loop, history: list[str]) -> None:
    seen = page(loop)
    findings = [open_finding_of(one) for one in seen.findings]
    watch = seen.branch.repository.watch
    is_known = watch.failing_since is None and seen.branch.observed_at is not None
    told = contradictions(seen.matrix, findings, seen.drift, is_known=is_known)
    assert told == [], history


def lease(loop: Loop) -> Lease:
    return LeaseFactory.create(
        repository=loop.repository,
        branch="main",
        lease_id=f"lease-{Lease.objects.count()}",
        user_id="alice",
        acquired_at=datetime.now(loop.now.tzinfo) - timedelta(seconds=1),
        expires_at=loop.now + timedelta(days=1),
        max_expires_at=loop.now + timedelta(days=1),
        last_heartbeat_at=loop.now,
    )


def break_leases(loop: Loop) -> None:
    Lease.objects.filter(state="held").update(
        state="broken", ended_at=datetime.now(loop.now.tzinfo)
    )


def sweep(loop: Loop) -> None:
    plan_sweep(
        slot=loop.now,
        scope="",
        everything=True,
        trigger="manual",
        budget=Budget(repositories=10, per_tenant=10),
        correlation_id=CORRELATION_ID,
        now=loop.now,
    )


def test_a_signed_announcement_of_a_head_that_the_remote_lacks_is_not_coherent(loop: Loop) -> None:
    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    loop.settle()

    assert not Finding.objects.filter(state="open").exists()
    assert row(loop, "webhook").agrees is False
    assert page(loop).matrix.coherent is False


def test_a_push_by_no_known_pusher_under_a_lease_is_unknown(loop: Loop) -> None:
    lease(loop)
    loop.move("main", HEAD_B)
    sweep(loop)
    loop.settle()

    rules = {hit["rule"] for hit in Finding.objects.get(check_kind="head_drift").rule_hits}
    assert "drift.pusher_unknown_under_lease" in rules
    assert row(loop, "lease").agrees is None
    assert "nobody else" not in row(loop, "lease").explanation


def test_a_push_under_a_lease_that_was_broken_since_is_a_breach(loop: Loop) -> None:
    lease(loop)
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")
    loop.settle()
    break_leases(loop)

    assert row(loop, "lease").agrees is False
    assert "mallory pushed while alice held the lease" in row(loop, "lease").explanation


class History:
    """Things that happen to a branch, in an order that a seed decides."""

    events = ("push", "push", "silent_push", "lie", "lease", "unlease", "run", "accept", "sweep")

    def __init__(self, loop: Loop, seed: int) -> None:
        self.loop = loop
        self.dice = Random(seed)
        self.head = HEAD_A
        self.told: list[str] = []

    def go_on(self) -> None:
        event = self.dice.choice(self.events)
        after = self.dice.choice([HEAD_A, HEAD_B, HEAD_C])
        self.told.append(f"{event} {after[:1]}")
        getattr(self, event)(after)

    def push(self, after: str) -> None:
        before = self.head
        self.silent_push(after)
        self.loop.announce("main", before, after, pusher=self.dice.choice(["alice", "mallory"]))

    def silent_push(self, after: str) -> None:
        self.loop.move("main", after)
        self.head = after

    def lie(self, after: str) -> None:
        self.loop.announce("main", self.head, after, pusher="mallory")

    def lease(self, _: str) -> None:
        if not Lease.objects.filter(state="held").exists():
            lease(self.loop)

    def unlease(self, _: str) -> None:
        break_leases(self.loop)

    def run(self, after: str) -> None:
        RunRecordFactory.create(
            repository=self.loop.repository,
            branch="main",
            base_sha=HEAD_A,
            head_sha=after,
            actor="alice",
            status="succeeded",
            ended_at=self.loop.now,
        )

    def accept(self, _: str) -> None:
        branch = self.loop.branch()
        if branch.observed_head != branch.governed_head:
            accept_head(
                self.loop.repository.pk,
                "main",
                expected_head=branch.observed_head or "",
                caller=ADMIN,
                reason="Reviewed with the team.",
                correlation_id=CORRELATION_ID,
                now=self.loop.now,
            )

    def sweep(self, _: str) -> None:
        sweep(self.loop)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_history_nothing_on_the_page_contradicts_the_rest(loop: Loop, seed: int) -> None:
    history = History(loop, seed)

    for _ in range(14):
        history.go_on()
        assert_nothing_contradicts(loop, history.told)
        loop.drain()
        assert_nothing_contradicts(loop, history.told)
