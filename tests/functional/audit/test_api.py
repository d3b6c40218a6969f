"""The audit API as a caller meets it: scoped, filtered, paged at constant cost, verifiable."""

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.conftest import World
from tests.factories.governance import NOON, api_client
from tests.integration.audit.trail import record, tamper

ENTRIES = "/api/v1/audit/entries"
VERIFY = "/api/v1/audit/verify"


@pytest.fixture
def auditor(tenant_world: World) -> APIClient:
    """A caller who may read the trail of acme, and of nobody else."""
    return api_client(["audit"], tenant=tenant_world.tenant)


@pytest.fixture
def overseer(db: None) -> APIClient:
    """A caller who may read every trail."""
    return api_client(["audit"])


def pages(client: APIClient, address: str) -> Iterator[list[dict[str, Any]]]:
    """Follow `next` to the end."""
    following: str | None = address
    while following:
        answer = client.get(following)
        assert answer.status_code == 200, answer.content
        yield answer.json()["results"]
        following = answer.json()["next"]


def test_an_entry_reads_as_it_was_appended_and_its_hash_can_be_recomputed(
    auditor: APIClient,
) -> None:
    link = record(1, reason="first sight", data={"heads": 3}, task_kind="observe_refs")[0]

    listed = auditor.get(ENTRIES).json()["results"]

    assert len(listed) == 1
    shown = auditor.get(f"{ENTRIES}/{listed[0]['id']}").json()
    assert shown == listed[0]
    assert (shown["tenant"], shown["seq"], shown["at"]) == (
        "acme",
        1,
        "2026-03-02T12:00:00.000000Z",
    )
    assert (shown["actor_kind"], shown["actor_name"]) == ("system", "reconciler")
    assert (shown["reason"], shown["data"]) == ("first sight", {"heads": 3})
    assert json.loads(shown["body"])["task_kind"] == shown["task_kind"] == "observe_refs"
    covered = f"{shown['prev_hash']}\n{shown['body']}".encode()
    assert hashlib.sha256(covered).hexdigest() == shown["hash"] == link.hash


def test_entries_of_another_tenant_do_not_exist_for_the_caller(auditor: APIClient) -> None:
    record(1, tenant="rival")
    record(1, tenant="")
    overseer = api_client(["audit"])
    foreign = [row["id"] for row in overseer.get(ENTRIES).json()["results"]]

    assert len(foreign) == 2
    assert auditor.get(ENTRIES).json()["results"] == []
    assert auditor.get(ENTRIES, {"tenant": "rival"}).json()["results"] == []
    answers = [auditor.get(f"{ENTRIES}/{pk}") for pk in foreign]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json()["code"] == "not_found"


@pytest.mark.parametrize("address", [ENTRIES, f"{ENTRIES}/1", VERIFY])
def test_reading_the_trail_needs_the_scope_audit(address: str, tenant_world: World) -> None:
    reader = api_client(["read", "tasks"], tenant=tenant_world.tenant)

    refused = reader.get(address)

    assert refused.status_code == 403
    assert refused.json()["code"] == "permission_denied"
    assert APIClient().get(address).status_code == 401


def test_the_trail_cannot_be_written_over_the_api(auditor: APIClient) -> None:
    admin = api_client(["admin"])

    answers = [
        getattr(admin, method)(ENTRIES, {}, format="json") for method in ("post", "put", "delete")
    ]

    assert [answer.status_code for answer in answers] == [405, 405, 405]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("correlation_id", "other-correlation"),
        ("object_kind", "lease"),
        ("object_id", "lease 1"),
        ("action", "lease.break"),
        ("outcome", "refused"),
        ("workspace", "edge"),
        ("repo", "web"),
        ("branch", "feature/ü"),
        ("task_kind", "head_drift"),
    ],
)
def test_each_filter_is_exact(auditor: APIClient, name: str, value: str) -> None:
    record(2)
    record(1, **{name: value})

    found = auditor.get(ENTRIES, {name: value}).json()["results"]

    assert [row[name] for row in found] == [value]
    assert auditor.get(ENTRIES, {name: value[:-1]}).json()["results"] == []


def test_a_span_of_time_includes_its_start_and_excludes_its_end(auditor: APIClient) -> None:
    for minutes in range(3):
        record(1, at=NOON + timedelta(minutes=minutes))

    span = {"since": "2026-03-02T12:01:00Z", "until": "2026-03-02T12:02:00Z"}

    assert [row["seq"] for row in auditor.get(ENTRIES, span).json()["results"]] == [2]


@pytest.mark.parametrize("query", ["since=yesterday", "actor_kind=robot"])
def test_a_filter_that_makes_no_sense_is_answered_with_its_name(
    auditor: APIClient, query: str
) -> None:
    answer = auditor.get(f"{ENTRIES}?{query}")

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_an_id_beyond_what_the_database_holds_is_simply_not_found(auditor: APIClient) -> None:
    assert auditor.get(f"{ENTRIES}/{10**30}").status_code == 404


@pytest.mark.parametrize(
    "query", ["", "tenant=acme", "repo=api", "tenant=acme&correlation_id=test-correlation-id"]
)
def test_pages_show_every_entry_once_newest_first(overseer: APIClient, query: str) -> None:
    record(7)

    found = [row for page in pages(overseer, f"{ENTRIES}?page_size=3&{query}") for row in page]

    assert [row["seq"] for row in found] == [7, 6, 5, 4, 3, 2, 1]


def test_entries_appended_while_paging_do_not_shift_pages(overseer: APIClient) -> None:
    record(4)
    through = pages(overseer, f"{ENTRIES}?page_size=2")
    first = next(through)

    record(3)

    rest = [row["seq"] for page in through for row in page]
    assert [row["seq"] for row in first] + rest == [4, 3, 2, 1]


@pytest.mark.parametrize(
    "position", ["p=abc", "p=%00", "p=1", "p=1e3", "o=-1", "\xff", "p=" + "9" * 40]
)
def test_a_cursor_that_somebody_made_up_is_refused(auditor: APIClient, position: str) -> None:
    record(1)
    cursor = base64.b64encode(position.encode("latin-1")).decode()

    answer = auditor.get(ENTRIES, {"cursor": cursor})

    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/cursor"]


def test_a_page_costs_the_same_number_of_statements_however_long_it_is(
    overseer: APIClient,
) -> None:
    record(60)
    counts = []
    for size in (2, 50):
        with CaptureQueriesContext(connection) as statements:
            assert len(overseer.get(ENTRIES, {"page_size": size}).json()["results"]) == size
        # Once a minute a token notes that it was used.
        counts.append(len([s for s in statements if "audit_auditentry" in s["sql"]]))

    assert counts == [1, 1]


def test_verification_reports_every_chain_the_caller_may_see(
    auditor: APIClient, overseer: APIClient
) -> None:
    links = record(3)
    record(2, tenant="rival")

    own = auditor.get(VERIFY).json()
    everything = overseer.get(VERIFY).json()

    assert own["status"] == everything["status"] == "intact"
    assert own["missing_triggers"] == own["not_reached"] == []
    assert own["chains"] == [
        {
            "tenant": "acme",
            "intact": True,
            "complete": True,
            "after": 0,
            "reached": 3,
            "head_seq": 3,
            "head_hash": links[-1].hash,
            "broken": None,
        }
    ]
    assert [chain["tenant"] for chain in everything["chains"]] == ["acme", "rival"]


@pytest.mark.django_db(transaction=True)
def test_verification_names_the_broken_entry(auditor: APIClient) -> None:
    record(4)
    tamper("DELETE FROM audit_auditentry WHERE tenant = 'acme' AND seq = 3")

    report = auditor.get(VERIFY).json()

    assert report["status"] == "broken"
    assert report["chains"][0]["intact"] is False
    assert report["chains"][0]["broken"] == {
        "seq": 3,
        "problem": "entry 3 is missing, next is 4",
    }


def test_a_long_chain_is_verified_in_several_calls(auditor: APIClient) -> None:
    record(5)

    first = auditor.get(VERIFY, {"tenant": "acme", "at_most": "3"}).json()
    second = auditor.get(VERIFY, {"tenant": "acme", "after": "3"}).json()

    assert (first["status"], first["chains"][0]["reached"]) == ("incomplete", 3)
    assert (second["status"], second["chains"][0]["reached"]) == ("intact", 5)


def test_chains_beyond_the_budget_are_named_for_the_next_call(overseer: APIClient) -> None:
    record(1)
    record(1, tenant="rival")

    report = overseer.get(VERIFY, {"at_most": 1}).json()

    assert (report["status"], report["not_reached"]) == ("incomplete", ["rival"])


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"tenant": "rival"}, 404),
        ({"after": 2}, 400),
        ({"tenant": "acme", "after": 9}, 400),
        ({"at_most": 0}, 400),
        ({"at_most": "all"}, 400),
    ],
)
def test_a_verification_that_cannot_be_is_refused_with_a_reason(
    auditor: APIClient, query: dict[str, Any], status: int
) -> None:
    record(1)
    record(1, tenant="rival")

    answer = auditor.get(VERIFY, query)

    assert answer.status_code == status
    assert answer.json()["detail"]
