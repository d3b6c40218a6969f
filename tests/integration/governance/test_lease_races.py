"""Many at once: exactly one gets a place, and no two grants share a fencing token."""

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection, transaction

from audit.domain.entries import Entry
from audit.services import append
from governance.models import Lease, Repository
from governance.services.leases import (
    LeaseAlreadyHeld,
    LeaseMoved,
    expire_lease,
    heartbeat_lease,
    lock_leases,
    renew_lease_by_reconciler,
)
from tests.conftest import World
from tests.factories.governance import CORRELATION_ID, NOON, LeaseFactory
from tests.integration.governance.acts import (
    AGENT,
    BOB,
    RULES,
    WHOLE,
    acquire,
    on_paths,
    token_of,
    topic,
    trail,
)

pytestmark = pytest.mark.django_db(transaction=True)
EXPIRY = NOON + timedelta(seconds=900)
DUE = NOON + timedelta(seconds=600)


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Run every act in a thread of its own, all let go together; return results and errors."""
    barrier = threading.Barrier(len(acts))
    results: list[object] = [None] * len(acts)

    def run(index: int, act: Callable[[], object]) -> None:
        close_old_connections()
        try:
            barrier.wait(timeout=20)
            results[index] = act()
        except Exception as error:  # noqa: BLE001 - handed to the test, which looks at each
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index, act)) for index, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


def counts(results: list[object]) -> tuple[int, int]:
    """Return how many got a lease and how many were told that it is held."""
    unexpected = [one for one in results if not isinstance(one, Lease | LeaseAlreadyHeld)]
    assert unexpected == []
    return (
        sum(isinstance(one, Lease) for one in results),
        sum(isinstance(one, LeaseAlreadyHeld) for one in results),
    )


def test_of_many_that_want_one_branch_exactly_one_gets_it(tenant_world: World) -> None:
    repository = tenant_world.repository

    results = at_once(*(lambda n=n: acquire(repository, f"lease-{n}") for n in range(6)))

    assert counts(results) == (1, 5)
    assert Lease.objects.filter(state="held").count() == 1
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 1


def test_of_a_branch_and_the_whole_repository_one_gets_it(tenant_world: World) -> None:
    repository = tenant_world.repository

    for turn in range(5):
        results = at_once(
            lambda turn=turn: acquire(repository, f"branch-{turn}"),  # type: ignore[misc]
            lambda turn=turn: acquire(repository, f"whole-{turn}", claim=WHOLE),  # type: ignore[misc]
        )

        assert counts(results) == (1, 1)
        Lease.objects.all().delete()


def test_of_overlapping_paths_one_gets_them(tenant_world: World) -> None:
    repository = tenant_world.repository

    results = at_once(
        lambda: acquire(repository, "outer", claim=on_paths("src")),
        lambda: acquire(repository, "inner", claim=on_paths("src/a")),
        lambda: acquire(repository, "beside", claim=on_paths("docs")),
    )

    assert counts(results) == (2, 1)
    assert Lease.objects.filter(lease_id="beside").exists()


def test_fencing_tokens_rise_strictly_with_every_grant(tenant_world: World) -> None:
    repository = tenant_world.repository

    results = at_once(
        *(
            lambda n=n: acquire(repository, f"lease-{n}", claim=topic(f"topic-{n}"))
            for n in range(8)
        )
    )

    tokens = sorted(one.fencing_token for one in results if isinstance(one, Lease))
    assert tokens == list(range(1, 9))
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 8


def test_the_same_request_sent_twice_at_once_is_granted_once(tenant_world: World) -> None:
    repository = tenant_world.repository

    results = at_once(lambda: acquire(repository), lambda: acquire(repository))

    assert counts(results) == (2, 0)
    assert Lease.objects.count() == 1
    assert trail() == ["lease.acquire lease-1"]


def test_of_many_that_want_an_expired_leases_place_one_gets_it(tenant_world: World) -> None:
    repository = tenant_world.repository
    acquire(repository)
    free = EXPIRY + timedelta(seconds=15)

    results = at_once(
        *(lambda n=n: acquire(repository, f"next-{n}", owner=BOB, now=free) for n in range(4))
    )

    assert counts(results) == (1, 3)
    assert trail()[:2] == ["lease.acquire lease-1", "lease.expire lease-1"]
    assert len(trail()) == 3


def test_a_heartbeat_and_the_reconciler_do_not_overwrite_one_another(tenant_world: World) -> None:
    repository = tenant_world.repository
    lease = acquire(repository)
    given = EXPIRY + timedelta(seconds=500)
    until = DUE + timedelta(seconds=900)

    heartbeat, renewal = at_once(
        lambda: heartbeat_lease(
            repository,
            "lease-1",
            token=token_of("lease-1"),
            rules=RULES,
            caller=AGENT,
            correlation_id=CORRELATION_ID,
            now=DUE,
        ),
        lambda: renew_lease_by_reconciler(
            lease.pk,
            expected_expires_at=EXPIRY,
            new_expires_at=given,
            reason="heartbeat",
            correlation_id=CORRELATION_ID,
            now=DUE,
        ),
    )

    stored = Lease.objects.get()
    assert isinstance(heartbeat, Lease)
    assert isinstance(renewal, Lease | LeaseMoved)
    assert stored.expires_at == until
    # Whoever came second saw what the first had done: the heartbeat found nothing due any more.
    assert stored.renewals == 1
    assert trail() == ["lease.acquire lease-1", "lease.renew lease-1"]


def test_only_one_worker_ends_a_lease(tenant_world: World) -> None:
    lease = LeaseFactory.create(repository=tenant_world.repository, branch="topic")

    def end() -> object:
        return expire_lease(
            lease.pk,
            expected_expires_at=EXPIRY,
            abandon_run=True,
            reason="no proof of life",
            correlation_id=CORRELATION_ID,
            now=EXPIRY,
        )

    results = at_once(end, end, end)

    assert sum(isinstance(one, LeaseMoved) for one in results) == 2
    assert len(trail()) == 1


def test_a_batch_of_the_reconciler_and_a_holder_do_not_deadlock(tenant_world: World) -> None:
    repository = tenant_world.repository
    leases = [acquire(repository, f"lease-{n}", claim=topic(f"topic-{n}")) for n in range(2)]
    later = DUE + timedelta(seconds=10)
    batch_holds_the_first, holder_is_at_work = threading.Event(), threading.Event()

    def batch() -> object:
        entries: list[Entry] = []
        with transaction.atomic():
            lock_leases(lease.pk for lease in leases)
            for lease in leases:
                renew_lease_by_reconciler(
                    lease.pk,
                    expected_expires_at=EXPIRY,
                    new_expires_at=EXPIRY + timedelta(seconds=1),
                    reason="running_run",
                    correlation_id=CORRELATION_ID,
                    entries=entries,
                    now=DUE,
                )
                batch_holds_the_first.set()
                # On PostgreSQL the holder now waits for its row; on SQLite for the whole database.
                holder_is_at_work.wait(timeout=0.5)
            append(entries)
        return entries

    def holder() -> object:
        assert batch_holds_the_first.wait(timeout=20)
        return heartbeat_lease(
            repository,
            "lease-1",
            token=token_of("lease-1"),
            rules=RULES,
            caller=AGENT,
            correlation_id=CORRELATION_ID,
            now=later,
        )

    entries, kept = at_once(batch, holder)

    assert isinstance(entries, list)
    assert isinstance(kept, Lease)
    assert kept.expires_at == later + timedelta(seconds=900)
    # The heartbeat waited, found a lease that was due again, and renewed it once more.
    assert trail()[2:] == ["lease.renew lease-0", "lease.renew lease-1", "lease.renew lease-1"]


@pytest.mark.postgres
@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_the_database_refuses_a_second_lease_even_from_who_ignores_the_lock(
    tenant_world: World,
) -> None:
    repository = tenant_world.repository
    inserted, asked = threading.Event(), threading.Event()

    def insert_without_asking() -> object:
        with transaction.atomic():
            row = LeaseFactory.create(repository=repository, lease_id="rogue", branch="topic")
            inserted.set()
            # Long enough for the other to find no rival, and to wait at the unique index.
            asked.wait(timeout=1)
        return row

    def acquire_as_usual() -> object:
        assert inserted.wait(timeout=20)
        return acquire(repository)

    rogue, refused = at_once(insert_without_asking, acquire_as_usual)

    assert isinstance(rogue, Lease)
    assert isinstance(refused, LeaseAlreadyHeld)
    assert refused.lease_id == "rogue"
    assert Repository.objects.get(pk=repository.pk).last_fencing_token == 0
