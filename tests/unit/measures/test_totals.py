"""How attempts and deliveries add up, and into which bucket a detection falls."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciliation.domain.measures import (
    EndedAttempt,
    added,
    bucket_of,
    totals_of_attempts,
    totals_of_deliveries,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DRIFT = EndedAttempt(
    task_kind="head_drift",
    tenant="acme",
    repo="api",
    subject=f"{'a' * 40}..{'b' * 40}@3",
    first_origin="webhook",
    outcome="completed",
    announced_at=NOON,
    ended_at=NOON + timedelta(seconds=4),
)


def test_a_decided_drift_counts_as_attempt_as_reconciliation_and_with_its_time() -> None:
    assert totals_of_attempts([DRIFT]) == {
        ("attempts", ("head_drift", "completed")): 1,
        ("reconciliations_of_tenant", ("acme",)): 1,
        ("reconciliations", ("acme", "api")): 1,
        ("drift_seconds_bucket", ("webhook", "5.0")): 1,
        ("drift_seconds_sum", ("webhook",)): 4,
    }


def test_an_attempt_that_did_not_complete_counts_as_attempt_only() -> None:
    retried = replace(DRIFT, outcome="retry")

    assert totals_of_attempts([retried, retried]) == {("attempts", ("head_drift", "retry")): 2}


@pytest.mark.parametrize(
    ("origin", "via"), [("webhook", "webhook"), ("sweep", "sweep"), ("api", "other")]
)
def test_a_detection_is_told_apart_by_what_announced_the_head(origin: str, via: str) -> None:
    totals = totals_of_attempts([replace(DRIFT, first_origin=origin)])

    assert ("drift_seconds_bucket", (via, "5.0")) in totals


@pytest.mark.parametrize("subject", ["after push main:a..b", "attributed abc", "accepted abc c-1"])
def test_a_second_look_at_a_head_is_no_detection(subject: str) -> None:
    totals = totals_of_attempts([replace(DRIFT, subject=subject)])

    assert not [measure for measure, _ in totals if measure.startswith("drift")]
    assert totals["reconciliations", ("acme", "api")] == 1


def test_a_head_announced_again_after_its_end_has_taken_no_time_rather_than_negative_time() -> None:
    late = replace(DRIFT, announced_at=DRIFT.ended_at + timedelta(hours=1))

    totals = totals_of_attempts([late])

    assert totals["drift_seconds_sum", ("webhook",)] == 0
    assert totals["drift_seconds_bucket", ("webhook", "0.5")] == 1


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0, "0.5"),
        (0.5, "0.5"),
        (0.501, "1.0"),
        (15, "15.0"),
        (15.001, "30.0"),
        (21600, "21600.0"),
        (21600.001, "+Inf"),
    ],
)
def test_a_bucket_includes_its_bound(seconds: float, bucket: str) -> None:
    assert bucket_of(seconds) == bucket


def test_deliveries_count_by_host_and_outcome() -> None:
    seen = [("github", "accepted"), ("gitlab", "ignored"), ("github", "accepted")]

    assert totals_of_deliveries(seen) == {
        ("deliveries", ("github", "accepted")): 2,
        ("deliveries", ("gitlab", "ignored")): 1,
    }


def test_totals_add_up_whatever_their_order() -> None:
    first = totals_of_attempts([DRIFT])
    second = totals_of_attempts([replace(DRIFT, tenant="rival")])

    together = totals_of_attempts([DRIFT, replace(DRIFT, tenant="rival")])
    assert added(first, second) == added(second, first) == together
