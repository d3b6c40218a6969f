"""Pushes below a leased path are seen, and a branch that comes back as it was is forgiven."""

from datetime import timedelta

import pytest

from governance.models import Lease, RunRecord
from reconciliation.models import Finding
from tests.factories.governance import HEAD_A, HEAD_B, LeaseFactory, RunRecordFactory
from tests.factories.webhooks import ZERO
from tests.functional.loop.test_the_loop import Loop, at_present, lease_in, loop, sweep_leases

__all__ = ["at_present", "loop"]

pytestmark = pytest.mark.django_db


def test_a_push_that_touches_paths_leased_to_another_is_told(loop: Loop) -> None:
    LeaseFactory.create(
        repository=loop.repository,
        branch="main",
        scope="path-prefix",
        paths=["README"],
        acquired_at=loop.now,
        expires_at=loop.now + timedelta(days=3650),
        max_expires_at=loop.now + timedelta(days=3650),
    )
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B, pusher="mallory")

    loop.settle()

    finding = Finding.objects.get(check_kind="head_drift")
    assert "drift.not_lease_holder" in {hit["rule"] for hit in finding.rule_hits}


def test_a_deletion_is_forgotten_when_the_governed_head_is_back(loop: Loop) -> None:
    loop.remote.delete_branch(loop.url, "main")
    loop.announce("main", HEAD_A, ZERO)
    loop.settle()
    assert loop.branch().gone_at is not None
    loop.remote.reset(loop.url, "main", HEAD_A)
    loop.announce("main", ZERO, HEAD_A)

    loop.settle()

    assert loop.branch().gone_at is None


@pytest.mark.parametrize(
    ("run", "state"),
    [
        ({"lease_id": "the-lease", "actor": "engine"}, "held"),
        ({"actor": "alice"}, "held"),
        ({"actor": "somebody"}, "expired"),
        ({"actor": "alice", "lease_id": "another-lease"}, "expired"),
        ({"actor": "alice", "branch": "elsewhere"}, "expired"),
        ({"actor": "alice", "status": "failed"}, "expired"),
    ],
    ids=["names it", "of its holder", "a stranger's", "another's", "another branch", "ended"],
)
def test_any_running_run_of_the_operation_keeps_its_lease_alive(
    at_present: Loop, run: dict[str, str], state: str
) -> None:
    lease = lease_in(at_present, seconds_left=-1, heartbeat=timedelta(hours=1), run=True)
    Lease.objects.filter(pk=lease.pk).update(lease_id="the-lease", user_id="alice", agent_id="")
    alive = {"branch": "main", "status": "running", "run_id": "run-2"} | run
    RunRecordFactory.create(
        repository=at_present.repository,
        last_heartbeat_at=at_present.now,
        ended_at=at_present.now if alive["status"] == "failed" else None,
        **alive,
    )

    sweep_leases(at_present)

    lease.refresh_from_db()
    assert lease.state == state
    assert RunRecord.objects.get(run_id="run-2").status == alive["status"]
