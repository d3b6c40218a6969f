"""What holders and admins do with a held lease."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from audit.models import AuditEntry
from governance.models import Lease, Repository, RunRecord
from governance.services.leases import (
    LeaseEnded,
    LeaseNotFound,
    MayNotBreak,
    NotTheHolder,
    ReasonTooShort,
    break_lease,
    heartbeat_lease,
    release_lease,
)
from tests.conftest import World
from tests.factories.governance import CORRELATION_ID, NOON, LeaseFactory, RunRecordFactory
from tests.integration.governance.acts import (
    ADMIN,
    AGENT,
    RULES,
    acquire,
    token_of,
    trail,
)

pytestmark = pytest.mark.django_db
EXPIRY = NOON + timedelta(seconds=900)
TICK = timedelta(microseconds=1)
REASON = "agent runs wild"


@pytest.fixture
def repository(tenant_world: World) -> Repository:
    acquire(tenant_world.repository)
    return tenant_world.repository


def heartbeat(repository: Repository, *, now: datetime, token: str = "") -> Lease:
    return heartbeat_lease(
        repository,
        "lease-1",
        token=token or token_of("lease-1"),
        rules=RULES,
        caller=AGENT,
        correlation_id=CORRELATION_ID,
        now=now,
    )


def release(repository: Repository, *, now: datetime = NOON, **changes: Any) -> Lease:
    wanted: dict[str, Any] = {"token": token_of("lease-1"), "caller": AGENT}
    return release_lease(
        repository,
        "lease-1",
        correlation_id=CORRELATION_ID,
        now=now,
        **wanted | changes,
    )


def break_it(repository: Repository, *, now: datetime = NOON, **changes: Any) -> Lease:
    wanted: dict[str, Any] = {"reason": REASON, "caller": ADMIN}
    return break_lease(
        repository,
        "lease-1",
        correlation_id=CORRELATION_ID,
        now=now,
        **wanted | changes,
    )


@pytest.mark.parametrize(("after", "renewals"), [(0, 0), (599, 0), (600, 1), (601, 1), (899, 1)])
def test_a_heartbeat_extends_the_lease_and_counts_as_renewal_when_one_was_due(
    repository: Repository, after: int, renewals: int
) -> None:
    moment = NOON + timedelta(seconds=after)

    heartbeat(repository, now=moment)

    lease = Lease.objects.get()
    assert (lease.last_heartbeat_at, lease.expires_at) == (moment, moment + timedelta(seconds=900))
    assert (lease.renewals, lease.fencing_token) == (renewals, 1)
    assert trail() == ["lease.acquire lease-1"] + ["lease.renew lease-1"] * renewals


def test_heartbeats_never_go_beyond_the_life_cap(repository: Repository) -> None:
    cap = NOON + timedelta(hours=8)
    Lease.objects.update(expires_at=cap - timedelta(seconds=1))

    first = heartbeat(repository, now=cap - timedelta(seconds=2))
    second = heartbeat(repository, now=cap - timedelta(seconds=1))

    assert (first.expires_at, second.expires_at) == (cap, cap)
    assert second.renewals == 1
    with pytest.raises(LeaseEnded):
        heartbeat(repository, now=cap)


def test_a_heartbeat_that_was_overtaken_moves_nothing_back(repository: Repository) -> None:
    later, earlier = NOON + timedelta(seconds=20), NOON + timedelta(seconds=10)
    heartbeat(repository, now=later)

    lease = heartbeat(repository, now=earlier)

    assert (lease.last_heartbeat_at, lease.expires_at) == (later, later + timedelta(seconds=900))


def test_a_heartbeat_does_not_shorten_what_the_reconciler_gave(repository: Repository) -> None:
    given = NOON + timedelta(seconds=2000)
    Lease.objects.update(expires_at=given)

    assert heartbeat(repository, now=NOON).expires_at == given


@pytest.mark.parametrize(
    ("moment", "in_time"), [(EXPIRY - TICK, True), (EXPIRY, False), (EXPIRY + TICK, False)]
)
def test_a_lease_that_ran_out_cannot_be_revived(
    repository: Repository, moment: datetime, in_time: bool
) -> None:
    if in_time:
        assert heartbeat(repository, now=moment).expires_at > EXPIRY
    else:
        with pytest.raises(LeaseEnded, match="expired"):
            heartbeat(repository, now=moment)


def test_only_the_holder_keeps_a_lease_alive(repository: Repository) -> None:
    with pytest.raises(NotTheHolder):
        heartbeat(repository, now=NOON, token=token_of("lease-2"))


def test_a_lease_of_another_tenant_is_not_found(
    repository: Repository, tenant_world: World
) -> None:
    with pytest.raises(LeaseNotFound):
        heartbeat(tenant_world.strange_repository, now=NOON)


def test_a_holder_gives_its_lease_back(repository: Repository) -> None:
    lease = release(repository, now=NOON + TICK)

    stored = Lease.objects.get()
    assert stored == lease
    assert (stored.state, stored.ended_at) == ("released", NOON + TICK)
    assert trail() == ["lease.acquire lease-1", "lease.release lease-1"]


def test_giving_back_twice_is_giving_back_once(repository: Repository) -> None:
    release(repository)

    again = release(repository, now=NOON + TICK)

    assert again.ended_at == NOON
    assert trail() == ["lease.acquire lease-1", "lease.release lease-1"]


def test_a_lease_that_ran_out_can_still_be_given_back(repository: Repository) -> None:
    assert release(repository, now=EXPIRY).state == "released"


@pytest.mark.parametrize(
    "changes",
    [
        {"token": token_of("lease-2")},
        {"token": ""},
        {"token": token_of("lease-2"), "caller": ADMIN},
    ],
)
def test_a_stranger_cannot_give_a_lease_back(
    repository: Repository, changes: dict[str, Any]
) -> None:
    with pytest.raises(NotTheHolder):
        release(repository, **changes)

    assert Lease.objects.get().state == "held"


def test_an_admin_may_release_for_a_holder_who_lost_its_token(repository: Repository) -> None:
    lease = release(repository, token="", caller=ADMIN)

    assert (lease.state, lease.end_reason) == ("released", "released by an admin")


@pytest.mark.parametrize("state", ["expired", "broken"])
def test_what_ended_otherwise_cannot_be_given_back(repository: Repository, state: str) -> None:
    Lease.objects.update(state=state, ended_at=NOON)

    with pytest.raises(LeaseEnded, match=state):
        release(repository)


def test_an_admin_breaks_a_lease_and_its_runs_are_abandoned(repository: Repository) -> None:
    mine = RunRecordFactory.create(repository=repository, branch="topic", lease_id="lease-1")
    other = RunRecordFactory.create(repository=repository, branch="topic", lease_id="lease-2")

    lease = break_it(repository, now=NOON + TICK)

    assert (lease.state, lease.ended_at) == ("broken", NOON + TICK)
    assert lease.end_reason == f"broken by root: {REASON}"
    assert RunRecord.objects.get(pk=mine.pk).status == "abandoned"
    assert RunRecord.objects.get(pk=other.pk).status == "running"
    assert trail() == [
        "lease.acquire lease-1",
        "lease.break lease-1",
        f"run.abandon {mine.run_id}",
    ]
    entry = AuditEntry.objects.get(action="lease.break")
    assert REASON in entry.body


def test_a_holder_is_told_who_broke_its_lease_and_why(repository: Repository) -> None:
    break_it(repository)

    with pytest.raises(LeaseEnded, match=f"broken by root: {REASON}"):
        heartbeat(repository, now=NOON + TICK)


@pytest.mark.parametrize(
    ("reason", "enough"), [("123456789", False), ("1234567890", True), (" 123456789 ", False)]
)
def test_breaking_needs_a_reason_of_ten_characters(
    repository: Repository, reason: str, enough: bool
) -> None:
    if enough:
        assert break_it(repository, reason=reason).state == "broken"
    else:
        with pytest.raises(ReasonTooShort):
            break_it(repository, reason=reason)


def test_a_very_long_reason_is_kept_whole_in_the_trail(repository: Repository) -> None:
    reason = "because " * 100

    lease = break_it(repository, reason=reason)

    assert len(lease.end_reason) == 500
    assert reason.strip() in AuditEntry.objects.get(action="lease.break").body


def test_who_is_no_admin_cannot_break_a_lease(repository: Repository) -> None:
    with pytest.raises(MayNotBreak):
        break_it(repository, caller=AGENT)


def test_what_has_ended_cannot_be_broken(repository: Repository) -> None:
    release(repository)

    with pytest.raises(LeaseEnded, match="released"):
        break_it(repository)


def test_an_imported_lease_without_token_is_nobodys_to_keep(tenant_world: World) -> None:
    LeaseFactory.create(repository=tenant_world.repository, lease_id="lease-1", token_digest="")

    with pytest.raises(NotTheHolder):
        heartbeat(tenant_world.repository, now=NOON)
