"""What a simulation foretells is what publishing the draft then really does."""

from datetime import timedelta

import pytest

from reconciliation.models import Alert, Finding
from reconciliation.services.simulation import simulate
from reconciliation.services.simulation_judging import Against
from tests.factories.governance import HEAD_A, HEAD_B, HEAD_C, BranchFactory
from tests.functional.loop.test_the_loop import Loop, loop
from tests.integration.policy.acts import draft, publish

__all__ = ["loop"]

pytestmark = pytest.mark.django_db

DRAFT = "branches: {protected: [topic]}\nrules: {drift.ungoverned_protected: {weight: 10}}\n"


def test_a_draft_foretells_the_alert_that_publishing_it_opens(loop: Loop) -> None:
    BranchFactory.create(repository=loop.repository, name="topic")
    loop.remote.reset(loop.url, "topic", HEAD_A)
    loop.move("main", HEAD_B)
    loop.announce("main", HEAD_A, HEAD_B)
    loop.settle()
    loop.move("topic", HEAD_C)
    loop.announce("topic", HEAD_A, HEAD_C)
    loop.settle()
    severities = {row.branch: row.severity for row in Finding.objects.all()}
    assert severities == {"main": "medium", "topic": "low"}
    assert not Alert.objects.exists()

    foretold = simulate(
        draft(DRAFT),
        since=loop.now - timedelta(days=30),
        until=loop.now,
        against=Against.STORED,
        most_evaluations=None,
    )
    publish(DRAFT, now=loop.now)
    loop.drain()

    alert = Alert.objects.get()
    severities = {row.branch: row.severity for row in Finding.objects.all()}
    assert severities == {"main": "info", "topic": "critical"}
    assert loop.branch("topic").branch_class == "protected"
    assert foretold.differences.total == {
        "finding_gained": 0,
        "finding_lost": 0,
        "alert_gained": 1,
        "alert_lost": 0,
        "severity_changed": 2,
    }
    told = {
        (one.change, one.place.branch): one.would_be.severity
        for one in foretold.examples
        if one.would_be
    }
    assert told == {
        ("alert_gained", alert.branch): alert.severity,
        ("severity_changed", "main"): severities["main"],
        ("severity_changed", "topic"): severities["topic"],
    }
