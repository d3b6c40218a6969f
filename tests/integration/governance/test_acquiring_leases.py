"""Leases are granted exclusively, with rising fencing tokens, and once per request."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.services import verify
from governance.domain.lease_scopes import InvalidLease, LeaseClaim
from governance.models import Lease, LeaseState, Repository, RunRecord
from governance.services.leases import (
    LeaseAlreadyHeld,
    LeaseEnded,
    LeaseIdTaken,
    LockDelayed,
    acquire_lease,
    break_lease,
    release_lease,
)
from tests.conftest import World
from tests.factories.governance import CORRELATION_ID, NOON, LeaseFactory, RunRecordFactory
from tests.integration.governance.acts import (
    ADMIN,
    AGENT,
    ALICE,
    BOB,
    RULES,
    WHOLE,
    acquire,
    on_paths,
    token_of,
    topic,
    trail,
)

pytestmark = pytest.mark.django_db
TICK = timedelta(microseconds=1)
EXPIRY = NOON + timedelta(seconds=900)
FREE = EXPIRY + timedelta(seconds=15)


@pytest.fixture
def repository(tenant_world: World) -> Repository:
    return tenant_world.repository


def test_a_free_branch_is_granted_with_everything_that_its_holder_needs(
    repository: Repository,
) -> None:
    lease = acquire(repository)

    stored = Lease.objects.get()
    assert stored == lease
    assert (stored.state, stored.branch, stored.fencing_token) == ("held", "topic", 1)
    assert (stored.expires_at, stored.max_expires_at) == (EXPIRY, NOON + timedelta(hours=8))
    assert token_of("lease-1") not in str(vars(stored))
    assert trail() == ["lease.acquire lease-1"]


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (topic(), topic()),
        (topic(), WHOLE),
        (WHOLE, topic()),
        (WHOLE, WHOLE),
        (WHOLE, on_paths("src")),
        (topic(), on_paths("src")),
        (on_paths("src"), topic()),
        (on_paths("src"), on_paths("src/a")),
        (on_paths("src/a"), WHOLE),
    ],
)
def test_what_collides_with_a_live_lease_is_refused_and_leaves_nothing_behind(
    repository: Repository, held: LeaseClaim, wanted: LeaseClaim
) -> None:
    acquire(repository, claim=held)

    with pytest.raises(LeaseAlreadyHeld) as refused:
        acquire(repository, "lease-2", claim=wanted, owner=BOB, now=EXPIRY - TICK)

    assert (refused.value.owner, refused.value.held_until) == (ALICE, EXPIRY)
    assert refused.value.retry_after_seconds == 1
    assert Lease.objects.count() == 1
    assert trail() == ["lease.acquire lease-1"]
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 1


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (topic(), topic("other")),
        (topic(), on_paths("src", branch="other")),
        (on_paths("src/a"), on_paths("src/ab", "docs")),
    ],
)
def test_what_does_not_collide_is_granted_with_a_higher_fencing_token(
    repository: Repository, held: LeaseClaim, wanted: LeaseClaim
) -> None:
    first = acquire(repository, claim=held)

    second = acquire(repository, "lease-2", claim=wanted, owner=BOB)

    assert (first.fencing_token, second.fencing_token) == (1, 2)


def test_another_tenants_lease_is_in_nobodys_way(tenant_world: World) -> None:
    LeaseFactory.create(repository=tenant_world.strange_repository, branch="topic")

    assert acquire(tenant_world.repository).fencing_token == 1


def test_a_released_branch_is_free_at_once(repository: Repository) -> None:
    acquire(repository)
    release_lease(
        repository,
        "lease-1",
        token=token_of("lease-1"),
        caller=AGENT,
        correlation_id=CORRELATION_ID,
        now=NOON,
    )

    assert acquire(repository, "lease-2", owner=BOB).fencing_token == 2


@pytest.mark.parametrize(
    ("moment", "retry_after_seconds"),
    [(EXPIRY, 15), (EXPIRY + timedelta(seconds=14.5), 1), (FREE - TICK, 1)],
)
def test_after_an_expiry_another_holder_waits_for_the_lock_delay(
    repository: Repository, moment: datetime, retry_after_seconds: int
) -> None:
    acquire(repository)

    with pytest.raises(LockDelayed) as refused:
        acquire(repository, "lease-2", owner=BOB, now=moment)

    assert refused.value.retry_after_seconds == retry_after_seconds
    assert Lease.objects.get().state == LeaseState.HELD


def test_when_the_lock_delay_is_over_the_expired_lease_gives_way(repository: Repository) -> None:
    acquire(repository)

    lease = acquire(repository, "lease-2", owner=BOB, now=FREE)

    old = Lease.objects.get(lease_id="lease-1")
    assert (lease.fencing_token, old.state, old.ended_at) == (2, "expired", FREE)
    assert trail() == ["lease.acquire lease-1", "lease.expire lease-1", "lease.acquire lease-2"]
    assert verify("acme") is None


def test_the_lock_delay_counts_from_the_expiry_however_late_it_was_written_down(
    repository: Repository,
) -> None:
    LeaseFactory.create(
        repository=repository, branch="topic", state="expired", ended_at=FREE - TICK
    )

    assert acquire(repository, "lease-b", owner=BOB, now=FREE).fencing_token == 1


def test_the_same_owner_need_not_wait_for_its_own_expired_lease(repository: Repository) -> None:
    acquire(repository)

    assert acquire(repository, "lease-2", now=EXPIRY).fencing_token == 2


def test_after_a_break_nobody_gets_the_place_for_the_lock_delay(repository: Repository) -> None:
    acquire(repository)
    break_lease(
        repository,
        "lease-1",
        reason="agent runs wild",
        caller=ADMIN,
        correlation_id=CORRELATION_ID,
        now=NOON,
    )

    with pytest.raises(LockDelayed) as refused:
        acquire(repository, "lease-2", owner=ALICE, now=NOON + timedelta(seconds=1))

    assert refused.value.retry_after_seconds == 14
    later = NOON + timedelta(seconds=15)
    assert acquire(repository, "lease-2", owner=BOB, now=later).fencing_token == 2


def test_a_lock_delay_elsewhere_does_not_matter(repository: Repository) -> None:
    acquire(repository)

    lease = acquire(repository, "lease-2", claim=topic("other"), owner=BOB, now=EXPIRY)

    assert lease.fencing_token == 2


@pytest.mark.parametrize(
    ("heartbeat_age", "status"), [(299, "running"), (300, "abandoned"), (301, "abandoned")]
)
def test_a_lease_that_gives_way_abandons_its_run_unless_that_shows_life(
    repository: Repository, heartbeat_age: int, status: str
) -> None:
    acquire(repository, run_id="run-1")
    RunRecordFactory.create(
        repository=repository,
        branch="topic",
        run_id="run-1",
        last_heartbeat_at=FREE - timedelta(seconds=heartbeat_age),
    )

    acquire(repository, "lease-2", owner=BOB, now=FREE)

    assert RunRecord.objects.get().status == status


def test_a_repeated_request_gets_the_same_lease_and_no_new_fencing_token(
    repository: Repository,
) -> None:
    first = acquire(repository)

    again = acquire_lease(
        repository,
        claim=topic(),
        owner=ALICE,
        lease_id="lease-1",
        token=token_of("lease-1"),
        ttl_seconds=None,
        rules=RULES,
        caller=AGENT,
        correlation_id="another-correlation-id",
        now=EXPIRY - TICK,
    )

    assert (again.is_new, again.lease) == (False, first)
    assert again.lease.expires_at == EXPIRY
    assert trail() == ["lease.acquire lease-1"]


@pytest.mark.parametrize("change", [{"token": "x" * 32}, {"claim": topic("other")}, {"owner": BOB}])
def test_a_lease_id_serves_one_request_only(repository: Repository, change: dict[str, Any]) -> None:
    acquire(repository)

    with pytest.raises(LeaseIdTaken):
        acquire(repository, **change)


def test_a_request_repeated_after_its_lease_ended_is_told_so(repository: Repository) -> None:
    acquire(repository)

    with pytest.raises(LeaseEnded, match="expired"):
        acquire(repository, now=EXPIRY)


@pytest.mark.parametrize(
    "change", [{"ttl_seconds": 59}, {"token": "short"}, {"lease_id": "no good"}]
)
def test_a_request_that_makes_no_sense_is_refused(
    repository: Repository, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidLease):
        acquire(repository, **change)

    assert Lease.objects.count() == 0


def test_a_ttl_longer_than_the_life_cap_ends_at_the_cap(repository: Repository) -> None:
    lease = acquire(repository, rules=replace(RULES, max_life_seconds=600))

    assert lease.expires_at == NOON + timedelta(seconds=600)
