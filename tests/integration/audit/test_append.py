"""Appending: gap-free chains, in the transaction of the act, in a fixed number of statements."""

import threading
from dataclasses import replace

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit.models import AppendOnly, AuditEntry, ChainHead
from audit.services import NotInTransaction, append, append_one, verify
from tests.integration.audit.trail import ENTRY, record

TENANTS = ("acme", "globex", "initech")


def chain_of(tenant: str) -> list[int]:
    rows = AuditEntry.objects.filter(tenant=tenant).order_by("seq")
    return list(rows.values_list("seq", flat=True))


@pytest.mark.django_db
def test_links_come_back_in_the_order_given_whatever_the_tenants() -> None:
    given = [replace(ENTRY, tenant=tenant) for tenant in ("globex", "acme", "globex", "")]

    with transaction.atomic():
        links = append(given)

    assert [(link.entry.tenant, link.seq) for link in links] == [
        ("globex", 1),
        ("acme", 1),
        ("globex", 2),
        ("", 1),
    ]
    assert [verify(tenant) for tenant in ("", "acme", "globex")] == [None, None, None]


@pytest.mark.django_db
def test_two_appends_in_one_transaction_continue_each_other() -> None:
    with transaction.atomic():
        first = append_one(ENTRY)
        second = append_one(ENTRY)

    assert (second.seq, second.prev_hash) == (2, first.hash)
    assert verify("acme") is None


@pytest.mark.django_db
def test_columns_repeat_the_entry_for_searching() -> None:
    full = replace(ENTRY, workspace="main", task_kind="head_drift", policy_version="v7")

    with transaction.atomic():
        append_one(full)

    row = AuditEntry.objects.get()
    assert (row.at, row.actor_kind, row.actor_name) == (full.at, "system", "reconciler")
    assert (row.action, row.object_kind, row.object_id) == ("branch.observe", "branch", "api main")
    assert (row.workspace, row.repo, row.branch) == ("main", "api", "main")
    assert (row.task_kind, row.policy_version, row.outcome) == ("head_drift", "v7", "ok")


@pytest.mark.django_db
def test_long_names_from_outside_do_not_make_an_act_fail() -> None:
    long = replace(ENTRY, object_id="o" * 900, repo="r" * 900, branch="b" * 900)

    with transaction.atomic():
        append_one(replace(long, actor=replace(ENTRY.actor, name="n" * 900)))

    assert verify("acme") is None


@pytest.mark.django_db
@pytest.mark.parametrize("tenants", [TENANTS[:1], TENANTS])
@pytest.mark.parametrize("is_known", [True, False], ids=["known tenants", "new tenants"])
def test_a_batch_costs_the_same_few_statements_whatever_its_size(
    tenants: tuple[str, ...], is_known: bool
) -> None:
    if is_known:
        for tenant in tenants:
            record(1, tenant=tenant)
    batch = [replace(ENTRY, tenant=tenants[index % len(tenants)]) for index in range(100)]

    with transaction.atomic(), CaptureQueriesContext(connection) as statements:
        append(batch)

    # Lock the heads; insert and move them, which SQLite cannot do in one.
    assert len(statements) == (2 if connection.vendor == "postgresql" else 3)


@pytest.mark.django_db
def test_appending_nothing_asks_the_database_nothing() -> None:
    with transaction.atomic(), CaptureQueriesContext(connection) as statements:
        assert append([]) == []

    assert len(statements) == 0


@pytest.mark.django_db(transaction=True)
def test_an_entry_outside_of_a_transaction_is_refused() -> None:
    with pytest.raises(NotInTransaction):
        append_one(ENTRY)

    assert AuditEntry.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_an_act_that_is_rolled_back_leaves_no_trace() -> None:
    record(1)

    @transaction.atomic
    def act() -> None:
        append([ENTRY, replace(ENTRY, tenant="globex")])
        raise RuntimeError("the act failed")

    with pytest.raises(RuntimeError):
        act()

    assert chain_of("acme") == [1]
    assert list(ChainHead.objects.values_list("tenant", "seq")) == [("acme", 1)]
    record(1)
    assert verify("acme") is None


@pytest.mark.django_db
def test_data_that_cannot_be_hashed_is_refused_before_anything_is_written() -> None:
    with pytest.raises(TypeError, match="floats"), transaction.atomic():
        append_one(replace(ENTRY, data={"share": 0.5}))

    assert AuditEntry.objects.count() == 0


@pytest.mark.django_db
def test_the_model_has_no_other_way_in_or_out() -> None:
    record(1)
    row = AuditEntry.objects.get()

    with pytest.raises(AppendOnly):
        row.save()
    with pytest.raises(AppendOnly):
        row.delete()


@pytest.mark.django_db(transaction=True)
def test_two_threads_on_the_same_new_tenants_make_chains_without_gaps() -> None:
    errors: list[BaseException] = []
    ready = threading.Barrier(2)

    def append_often(tenants: tuple[str, ...]) -> None:
        try:
            ready.wait(timeout=10)
            for _ in range(15):
                with transaction.atomic():
                    append([replace(ENTRY, tenant=tenant) for tenant in tenants])
        except BaseException as error:  # noqa: BLE001 - a thread's error must reach the test
            errors.append(error)
        finally:
            connection.close()

    # Opposite orders: locks taken as given would deadlock.
    threads = [
        threading.Thread(target=append_often, args=(tenants,))
        for tenants in (TENANTS, tuple(reversed(TENANTS)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert errors == []
    assert {tenant: chain_of(tenant) for tenant in TENANTS} == {
        tenant: list(range(1, 31)) for tenant in TENANTS
    }
    assert [verify(tenant) for tenant in TENANTS] == [None, None, None]
