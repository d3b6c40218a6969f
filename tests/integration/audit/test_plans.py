"""Reading a page of a long trail touches about a page of rows, on both databases."""

import json
import re
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories.governance import api_client

pytestmark = pytest.mark.django_db

ROWS = 20_000


@pytest.fixture(autouse=True)
def a_long_trail(db: None) -> None:
    """20,000 entries: half of them acme's, 20 of each trace, 200 of each repository."""
    series = (
        f"generate_series(1, {ROWS}) AS g(n)"
        if connection.vendor == "postgresql"
        else "(WITH RECURSIVE g(n) AS"  # noqa: S608 - a constant
        f" (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {ROWS}) SELECT n FROM g)"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_auditentry (tenant, seq, at, actor_kind, actor_name, action,"  # noqa: S608 - constants
            " object_kind, object_id, outcome, workspace, repo, branch, task_kind,"
            " correlation_id, policy_version, body, prev_hash, hash)"
            " SELECT CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'tenant-' || (n % 11) END, n,"
            " '2026-03-02 12:00:00', 'system', 'reconciler', 'branch.observe',"
            " 'branch', 'thing ' || (n % 5000), 'ok', 'main', 'repo-' || (n % 100), 'main', '',"
            " 'trace-' || (n / 20), '', '{\"format\":\"v1\",\"reason\":\"\",\"data\":{}}', '', ''"
            f" FROM {series}"
        )
        cursor.execute("ANALYZE")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"tenant": "acme"},
        {"tenant": "tenant-3"},
        {"correlation_id": "trace-500"},
        {"tenant": "acme", "correlation_id": "trace-500"},
        {"object_kind": "branch", "object_id": "thing 77"},
        {"repo": "repo-7", "branch": "main"},
        {"tenant": "acme", "repo": "repo-8"},
    ],
    ids=str,
)
def test_a_page_of_a_long_trail_reads_about_a_page(query: dict[str, str]) -> None:
    client = api_client(["audit"])

    with CaptureQueriesContext(connection) as statements:
        assert client.get("/api/v1/audit/entries", query).json()["results"]

    read = [s["sql"] for s in statements if "audit_auditentry" in s["sql"]]
    assert len(read) == 1
    assert_reads_little(read[0])


def assert_reads_little(sql: str) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
            plan = cursor.fetchone()[0]
            plan = json.loads(plan) if isinstance(plan, str) else plan
            assert most_rows(plan[0]["Plan"]) <= 500, plan
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            steps = " / ".join(row[3] for row in cursor.fetchall())
            assert "TEMP B-TREE" not in steps
            # A scan along the primary key that stops at the page's end is fine.
            assert re.search(r"USING (INDEX|INTEGER PRIMARY KEY)", steps) or steps.startswith(
                "SCAN"
            )


def most_rows(node: dict[str, Any]) -> int:
    """Return the most rows that any step of a plan touched, the discarded ones included."""
    own = int(node["Actual Rows"]) + int(node.get("Rows Removed by Filter", 0))
    return max([own, *(most_rows(child) for child in node.get("Plans", []))])
