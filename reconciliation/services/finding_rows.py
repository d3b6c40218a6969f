"""The row of a finding and how it is opened again, for all who open findings; decides nothing.

It lies below both of them: findings about branches, and findings about whole repositories.
"""

from audit.setwise import Columns
from reconciliation.models import Finding

_TABLE = Finding._meta.db_table
FINDING_COLUMNS: Columns = {
    "repository_id": "bigint",
    "branch": "text",
    "fingerprint": "text",
    "check_kind": "text",
    "stable_class": "text",
    "state": "text",
    "severity": "text",
    "alerting": "boolean",
    "rule_hits": "jsonb",
    "expected": "jsonb",
    "actual": "jsonb",
    "summary": "text",
    "recommendation": "text",
    "command": "text",
    "run_id": "text",
    "lease_id": "text",
    "evaluation_id": "bigint",
    "correlation_id": "text",
    "clean_checks": "smallint",
    "reopened_count": "integer",
    "opened_at": "timestamptz",
    "last_seen_at": "timestamptz",
    "resolution": "text",
}
_WAS_RESOLVED = f"({_TABLE}.state = 'resolved')"
FINDING_UPSERT = f"""(fingerprint) DO UPDATE SET
    state = 'open',
    severity = excluded.severity,
    alerting = excluded.alerting,
    rule_hits = excluded.rule_hits,
    expected = excluded.expected,
    actual = excluded.actual,
    summary = excluded.summary,
    recommendation = excluded.recommendation,
    command = excluded.command,
    run_id = excluded.run_id,
    lease_id = excluded.lease_id,
    evaluation_id = excluded.evaluation_id,
    correlation_id = excluded.correlation_id,
    clean_checks = 0,
    reopened_count = {_TABLE}.reopened_count + CASE WHEN {_WAS_RESOLVED} THEN 1 ELSE 0 END,
    opened_at = CASE WHEN {_WAS_RESOLVED} THEN excluded.opened_at ELSE {_TABLE}.opened_at END,
    last_seen_at = excluded.last_seen_at,
    resolved_at = NULL,
    resolution = ''"""
