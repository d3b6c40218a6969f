"""Drafts tried on the demonstration's own history: what they foretell is what publishing does."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from demo.story import POLICY
from reconciliation.models import Alert, AlertState, Finding, FindingState
from reconciliation.services.simulation import Simulation, simulate
from reconciliation.services.simulation_judging import Against
from tests.functional.demo.told import Story, told
from tests.integration.policy.acts import draft, publish

# Without `django_db` no database is set up when this file runs alone.
pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MONTH = timedelta(days=30)
DRAFTS = {
    "tighter, a repository": (
        "repository",
        "acme/main/portal",
        "",
        "rules: {drift.ungoverned_protected: {weight: 90}}",
    ),
    "looser, a repository": (
        "repository",
        "acme/main/payments",
        "",
        "rules: {drift.rewrite_protected: {weight: 20}}",
    ),
    "observed only, a tenant": ("tenant", "acme", "", "head_drift: {mode: observe}"),
    "off, a tenant": ("tenant", "acme", "", "head_drift: {mode: 'off'}"),
    "off, a branch pattern": (
        "branch",
        "acme/main/payments",
        "release/*",
        "head_drift: {mode: 'off'}",
    ),
    "idle for years, a repository": (
        "repository",
        "acme/main/payments",
        "",
        "stale_branch: {idle_days: 3650}",
    ),
    "every finding an alert, the site": ("site", "", "", "alerts: {from_severity: info}"),
    "only the worst an alert, the site": ("site", "", "", "alerts: {from_severity: critical}"),
    "more protected, a tenant": (
        "tenant",
        "acme",
        "",
        "branches: {protected: ['reach/**', 'feature/*']}",
    ),
    "less protected, a workspace": (
        "workspace",
        "acme/main",
        "",
        POLICY.replace('["develop", "release/*"]', "[]"),
    ),
    "no grace, a repository": (
        "repository",
        "acme/main/portal",
        "",
        "missing_run: {grace_seconds: 0}",
    ),
    "more paths, a repository": (
        "repository",
        "acme/main/portal",
        "",
        "changes: {high_risk_paths: ['web/**']}",
    ),
    "leases only, a tenant": ("tenant", "acme", "", "lease: {mode: 'off'}"),
    "nothing, a tenant": ("tenant", "acme", "", "{}"),
}


class Thing(NamedTuple):
    """What makes a finding the same finding, within the one tenant there is."""

    repo: str
    branch: str
    check: str
    stable_class: str


class Standing(NamedTuple):
    """How a finding stands: its severity, whether it may alert, and whether its alert is open."""

    severity: str
    alerting: bool
    has_alert: bool


@pytest.fixture(scope="module")
def told_story(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Story]:
    """Tell the story once, look at everything again, and take all of it back at the end."""
    with django_db_blocker.unblock(), rolled_back(), told(tmp_path_factory.mktemp("demo")) as story:
        # Leases go on running out for a while, and what they held back is found after them.
        settled: dict[Thing, Standing] = {}
        while settled != (settled := standings()):
            story.pass_over()
        yield story


@pytest.fixture
def story(told_story: Story, django_db_blocker: DjangoDbBlocker) -> Iterator[Story]:
    """Give a test the story, and take back what the test did to it."""
    ahead = told_story.ahead
    with django_db_blocker.unblock(), rolled_back():
        yield told_story
    told_story.ahead = ahead


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def standings() -> dict[Thing, Standing]:
    open_alerts = set(
        Alert.objects.exclude(state=AlertState.RESOLVED).values_list("finding_id", flat=True)
    )
    rows = Finding.objects.filter(state=FindingState.OPEN).values_list(
        "repository__slug", "branch", "check_kind", "stable_class", "severity", "alerting", "pk"
    )
    return {
        Thing(*thing): Standing(severity, alerting, pk in open_alerts)
        for *thing, severity, alerting, pk in rows
    }


def what_changed(
    before: dict[Thing, Standing], after: dict[Thing, Standing]
) -> set[tuple[str, Thing]]:
    found = set()
    for thing in {*before, *after}:
        old, new = before.get(thing), after.get(thing)
        if old is None or new is None:
            found.add(("finding_lost" if old else "finding_gained", thing))
        elif old.severity != new.severity:
            found.add(("severity_changed", thing))
        had, has = old is not None and old.has_alert, new is not None and new.has_alert
        if has != had:
            found.add(("alert_gained" if has else "alert_lost", thing))
        elif old and new and has and old.alerting and not new.alerting:
            found.add(("alert_quieted", thing))
    return found


def foretold(found: Simulation) -> set[tuple[str, Thing]]:
    return {
        (change, Thing(*one.key[1:])) for one in found.if_published.each for change in one.changes
    }


def test_the_story_left_findings_and_alerts_to_try_drafts_on(story: Story) -> None:
    found = standings()

    assert len(found) >= 9
    assert sum(one.has_alert for one in found.values()) == 3
    assert {thing.check for thing in found} == {"head_drift", "stale_branch", "lease_renewal"}


@pytest.mark.parametrize(("layer", "target", "pattern", "text"), DRAFTS.values(), ids=DRAFTS.keys())
def test_a_draft_foretells_what_publishing_it_does(
    story: Story, layer: str, target: str, pattern: str, text: str
) -> None:
    now, before = story.now, standings()
    found = simulate(
        draft(text, layer, target, pattern=pattern),
        since=now - MONTH,
        until=now,
        against=Against.STORED,
        most_evaluations=None,
    )

    publish(text, layer, target, pattern=pattern, now=now)
    story.pass_over()

    assert foretold(found) == what_changed(before, standings())
    # It would have been so before: nothing of this story came and went.
    assert {
        (one.change, Thing(one.place.repo, one.place.branch, one.check, one.stable_class))
        for one in found.examples
        if one.check != "lease_renewal"
    } <= {(change.replace("quieted", "lost"), thing) for change, thing in foretold(found)}


def test_between_them_the_drafts_change_everything_that_can_change(story: Story) -> None:
    now, seen = story.now, set()
    for layer, target, pattern, text in DRAFTS.values():
        found = simulate(
            draft(text, layer, target, pattern=pattern),
            since=now - MONTH,
            until=now,
            against=Against.STORED,
            most_evaluations=None,
        )
        seen |= {change for change, _ in foretold(found)}

    assert seen == {
        "alert_gained",
        "alert_lost",
        "alert_quieted",
        "finding_gained",
        "finding_lost",
        "severity_changed",
    }
