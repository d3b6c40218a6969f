"""What the reconciler finds due, renews, and ends; whoever is first wins."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit.models import AuditEntry
from governance.domain.leases import renew_after
from governance.models import Lease, Repository, RunRecord
from governance.selectors.leases import held_leases_over, leases_due
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
    RepositoryFactory,
    RunRecordFactory,
    TenantFactory,
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


@pytest.mark.parametrize(
    ("moment", "is_due"),
    [
        (NOON, False),
        (NOON + seconds(600) - TICK, False),
        (NOON + seconds(600), True),
        (NOON + seconds(600) + TICK, True),
        (EXPIRY, True),
        (EXPIRY + timedelta(days=1), True),
    ],
)
def test_a_lease_is_due_from_the_last_third_of_its_ttl_on(
    lease: Lease, moment: datetime, is_due: bool
) -> None:
    due = leases_due(now=moment, limit=10)

    assert [one.lease_id for one in due] == (["lease-1"] if is_due else [])


@pytest.mark.parametrize("ttl", [60, 61, 899, 3600])
def test_the_database_and_the_rule_agree_on_what_is_due_for_every_ttl(
    tenant_world: World, ttl: int
) -> None:
    row = LeaseFactory.create(repository=tenant_world.repository, ttl_seconds=ttl)
    due_at = renew_after(row.expires_at, ttl_seconds=ttl, renew_at_ttl_fraction=3)

    assert len(leases_due(now=due_at + TICK, limit=10)) == 1
    assert leases_due(now=due_at - TICK, limit=10) == []


def test_another_policy_makes_leases_due_earlier(lease: Lease) -> None:
    half = NOON + seconds(450)

    assert leases_due(now=half, limit=10) == []
    assert len(leases_due(now=half, limit=10, renew_at_ttl_fraction=2)) == 1


@pytest.mark.parametrize("state", ["released", "expired", "broken"])
def test_an_ended_lease_is_never_due(lease: Lease, state: str) -> None:
    Lease.objects.update(state=state, ended_at=NOON)

    assert leases_due(now=EXPIRY, limit=10) == []


def test_due_leases_come_in_canonical_order_whatever_the_order_of_their_birth() -> None:
    places = [("b", "api", "main"), ("a", "web", "Z"), ("a", "web", "é"), ("a", "web", "a")]
    for tenant, repo, branch in places:
        row = TenantFactory.create(slug=tenant)
        repository = Repository.objects.filter(tenant=row, slug=repo).first()
        LeaseFactory.create(
            repository=repository or RepositoryFactory.create(tenant=row, slug=repo), branch=branch
        )

    due = leases_due(now=EXPIRY, limit=10)

    assert [(one.tenant, one.repo, one.branch) for one in due] == sorted(places)


def test_when_more_are_due_than_asked_for_the_most_urgent_come(tenant_world: World) -> None:
    for number in (3, 1, 2):
        LeaseFactory.create(
            repository=tenant_world.repository,
            lease_id=f"lease-{number}",
            acquired_at=NOON + seconds(number),
        )

    due = leases_due(now=EXPIRY, limit=2)

    assert {one.lease_id for one in due} == {"lease-1", "lease-2"}


@pytest.mark.parametrize(
    ("run", "status", "is_seen"),
    [
        ({"run_id": "run-1"}, "running", True),
        ({"run_id": "run-9", "lease_id": "lease-1"}, "running", True),
        ({"run_id": "run-1", "status": "failed"}, "failed", False),
        ({"run_id": "run-9", "lease_id": "lease-1", "status": "failed"}, "", False),
        ({"run_id": "run-1", "branch": "elsewhere"}, "", False),
        ({"run_id": "run-9"}, "", False),
    ],
)
def test_a_due_lease_comes_with_the_sign_of_life_of_its_run(
    lease: Lease, run: dict[str, str], status: str, is_seen: bool
) -> None:
    heard_at = NOON + seconds(5)
    RunRecordFactory.create(
        **{"repository": lease.repository, "branch": "topic", "last_heartbeat_at": heard_at} | run
    )

    (due,) = leases_due(now=EXPIRY, limit=10)

    assert (due.run_status, due.run_heartbeat_at) == (status, heard_at if is_seen else None)


def test_the_newest_heartbeat_of_several_runs_counts(lease: Lease) -> None:
    for age, run_id in ((30, "run-1"), (10, "run-2"), (20, "run-3")):
        RunRecordFactory.create(
            repository=lease.repository,
            branch="topic",
            run_id=run_id,
            lease_id="lease-1",
            last_heartbeat_at=NOON - seconds(age),
        )

    (due,) = leases_due(now=EXPIRY, limit=10)

    assert due.run_heartbeat_at == NOON - seconds(10)


@pytest.mark.parametrize("count", [1, 20])
def test_looking_for_due_leases_takes_three_statements_whatever_their_number(
    tenant_world: World, count: int
) -> None:
    LeaseFactory.create_batch(count, repository=tenant_world.repository)

    with CaptureQueriesContext(connection) as queries:
        due = leases_due(now=EXPIRY, limit=100)

    assert (len(due), len(queries)) == (count, 3)


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


def test_the_held_leases_over_a_branch_include_repo_wide_ones(tenant_world: World) -> None:
    repository = tenant_world.repository
    leases: dict[str, dict[str, Any]] = {
        "c": {"branch": "topic"},
        "b": {"branch": "", "scope": "repo-wide"},
        "a": {"branch": "topic", "scope": "path-prefix", "paths": ["src"]},
        "elsewhere": {"branch": "other"},
        "ended": {"branch": "topic", "state": "released"},
    }
    for lease_id, fields in leases.items():
        LeaseFactory.create(repository=repository, lease_id=lease_id, **fields)

    held = held_leases_over(repository, branch="topic")

    assert [lease.lease_id for lease in held] == ["a", "b", "c"]
