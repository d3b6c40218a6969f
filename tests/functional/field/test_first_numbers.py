"""The numbers are right from the moment a repository was connected, wherever they are shown."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.domain.caller import Caller
from audit.domain.entries import Actor, ActorKind
from audit.models import AuditEntry
from governance.models import Repository
from reconciliation.models import ReconciliationTask, RepositoryWatch
from reconciliation.selectors.gauges import read_gauges
from reconciliation.selectors.overview import overview
from reconciliation.selectors.status import status_of
from reconciliation.services.installation import tick_here
from tests.factories.governance import api_client
from tests.factories.reconciliation import FindingFactory
from tests.functional.field.shapes import Bare, connect, days_ago
from tests.git_server import GitServer

pytestmark = pytest.mark.django_db

EVERYBODY = Caller(Actor(ActorKind.USER, "ada"), None, frozenset({"admin"}))


@pytest.fixture
def five(server: GitServer) -> Bare:
    """Serve a repository of five branches, three of them idle for a year, and connect it."""
    bare = Bare(server.root / "five.git")
    bare.point("main", bare.commit(date=days_ago(0)))
    for name in ("a", "b", "c"):
        bare.point(name, bare.commit(bare.head("main"), date=days_ago(365), text=name))
    bare.point("d", bare.commit(bare.head("main"), date=days_ago(1), text="d"))
    assert connect(server, "five")["heads"] == 5
    return bare


def test_five_branches_are_five_everywhere(five: Bare) -> None:
    now = timezone.now()

    api = api_client().get("/api/v1/repositories").json()["results"]
    status = status_of(EVERYBODY, now=now).parts["repositories"].figures

    assert [row["heads_count"] for row in api] == [5]
    assert status is not None
    assert (status["branches"], status["unknown_branches"]) == (5, 0)
    seen = overview(EVERYBODY, now=now)
    assert (seen.branches, seen.branches_unknown) == (5, 0)
    assert read_gauges(now=now).branches.branches == 5
    entry = AuditEntry.objects.get(action="repository.connect")
    assert json.loads(entry.body)["data"]["heads"] == 5


def test_never_more_branches_disagree_than_there_are(five: Bare) -> None:
    row = Repository.objects.get(slug="five")
    now = timezone.now()
    for branch in ("a", "b", "gone"):
        FindingFactory.create(repository=row, branch=branch)
    FindingFactory.create(repository=row, branch="a", check_kind="missing_run")

    seen = overview(EVERYBODY, now=now)
    status = status_of(EVERYBODY, now=now).parts["repositories"].figures

    assert status is not None
    assert (seen.branches_with_findings, seen.branches) == (3, 6), "one that is gone counts in both"
    assert (status["branches_with_findings"], status["branches"]) == (3, 6)
    assert read_gauges(now=now).branches.with_findings == 3

    Repository.objects.update(is_active=False)
    seen = overview(EVERYBODY, now=now)
    assert (seen.branches_with_findings, seen.branches) == (0, 0)


def test_the_first_check_comes_with_the_next_tick(five: Bare, settings: Any) -> None:
    settings.SCHEDULED_SWEEPS = True
    now = timezone.now()

    assert RepositoryWatch.objects.get().next_due_at <= now
    tick_here(correlation_id="tick", now=now + timedelta(seconds=1))

    kinds = set(ReconciliationTask.objects.values_list("task_kind", "branch"))
    assert ("observe_refs", "") in kinds
    assert {branch for kind, branch in kinds if kind == "stale_branch"} >= {"a", "b", "c"}
