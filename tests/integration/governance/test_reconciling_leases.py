"""What the reconciler renews and ends; whoever is first wins."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.models import AuditEntry
from governance.models import Lease, RunRecord
from governance.services.leases import (
    ExpiredLease,
    LeaseMoved,
    expire_lease,
    renew_lease_by_reconciler,
)
from tests.conftest import World
from tests.factories.governance import (
    CORRELATION_ID,
    NOON,
    LeaseFactory,
    RunRecordFactory,
)
from tests.integration.governance.acts import trail

pytestmark = pytest.mark.django_db
EXPIRY = NOON + timedelta(seconds=900)
TICK = timedelta(microseconds=1)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.fixture
def lease(tenant_world: World) -> Lease:
    return LeaseFactory.create(
        repository=tenant_world.repository, lease_id="lease-1", branch="topic", run_id="run-1"
    )


def renew(lease: Lease, **changes: Any) -> Lease:
    wanted: dict[str, Any] = {
        "expected_expires_at": EXPIRY,
        "new_expires_at": EXPIRY + seconds(600),
        "reason": "running_run",
        "correlation_id": CORRELATION_ID,
        "policy_version": "digest",
        "now": NOON + seconds(600),
    }
    return renew_lease_by_reconciler(lease.pk, **wanted | changes)


def expire(lease: Lease, **changes: Any) -> ExpiredLease:
    wanted: dict[str, Any] = {
        "expected_expires_at": EXPIRY,
        "abandon_run": True,
        "reason": "no proof of life",
        "correlation_id": CORRELATION_ID,
        "policy_version": "digest",
        "now": EXPIRY,
    }
    return expire_lease(lease.pk, **wanted | changes)


def test_a_living_operations_lease_is_renewed_with_the_same_fencing_token(lease: Lease) -> None:
    renew(lease)

    stored = Lease.objects.get()
    assert (stored.expires_at, stored.renewals) == (EXPIRY + seconds(600), 1)
    assert stored.fencing_token == lease.fencing_token
    assert stored.last_heartbeat_at == NOON
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.task_kind) == ("lease.renew", "lease_renewal")
    assert (entry.actor_kind, entry.policy_version) == ("system", "digest")


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"expires_at": EXPIRY + TICK},
        {"state": "released", "ended_at": NOON},
        {"state": "broken", "ended_at": NOON},
        {"state": "expired", "ended_at": NOON},
    ],
)
def test_a_lease_that_changed_since_the_decision_is_left_alone(
    lease: Lease, meanwhile: dict[str, Any]
) -> None:
    Lease.objects.update(**meanwhile)
    before = Lease.objects.values().get()

    with pytest.raises(LeaseMoved):
        renew(lease)
    with pytest.raises(LeaseMoved):
        expire(lease)

    assert Lease.objects.values().get() == before
    assert trail() == []


@pytest.mark.parametrize(
    ("until", "is_fine"),
    [
        (EXPIRY, False),
        (EXPIRY + TICK, True),
        (NOON + timedelta(hours=8), True),
        (NOON + timedelta(hours=8) + TICK, False),
    ],
)
def test_a_renewal_moves_forward_and_not_beyond_the_life_cap(
    lease: Lease, until: datetime, is_fine: bool
) -> None:
    if is_fine:
        assert renew(lease, new_expires_at=until).expires_at == until
    else:
        with pytest.raises(ValueError, match=r"lease|renewal"):
            renew(lease, new_expires_at=until)


def test_a_lease_without_life_expires_and_its_run_is_abandoned(lease: Lease) -> None:
    RunRecordFactory.create(repository=lease.repository, branch="topic", run_id="run-1")

    outcome = expire(lease, now=EXPIRY + seconds(1))

    stored, run = Lease.objects.get(), RunRecord.objects.get()
    assert outcome.abandoned_run_ids == ("run-1",)
    assert (stored.state, stored.ended_at) == ("expired", EXPIRY + seconds(1))
    assert (run.status, run.ended_at) == ("abandoned", EXPIRY + seconds(1))
    assert trail() == ["lease.expire lease-1", "run.abandon run-1"]


def test_a_run_that_still_lives_at_the_cap_is_not_abandoned(lease: Lease) -> None:
    RunRecordFactory.create(repository=lease.repository, branch="topic", run_id="run-1")

    outcome = expire(lease, abandon_run=False)

    assert outcome.abandoned_run_ids == ()
    assert RunRecord.objects.get().status == "running"


@pytest.mark.parametrize(
    ("run", "status"),
    [
        ({"status": "succeeded"}, "succeeded"),
        ({"branch": "elsewhere"}, "running"),
        ({"run_id": "run-9"}, "running"),
    ],
)
def test_ended_runs_and_other_runs_are_left_alone(
    lease: Lease, run: dict[str, str], status: str
) -> None:
    RunRecordFactory.create(
        **{"repository": lease.repository, "branch": "topic", "run_id": "run-1"} | run
    )

    expire(lease)

    assert RunRecord.objects.get().status == status


def test_a_repo_wide_lease_takes_its_runs_on_any_branch_with_it(tenant_world: World) -> None:
    lease = LeaseFactory.create(
        repository=tenant_world.repository, scope="repo-wide", branch="", lease_id="lease-1"
    )
    RunRecordFactory.create(repository=lease.repository, run_id="run-1", lease_id="lease-1")

    assert expire(lease).abandoned_run_ids == ("run-1",)


def test_a_promise_is_kept_until_its_last_moment(lease: Lease) -> None:
    with pytest.raises(ValueError, match="cannot expire"):
        expire(lease, now=EXPIRY - TICK)

    assert Lease.objects.get().state == "held"
