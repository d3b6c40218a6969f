"""`reconcile` runs until its pass is done, or says what is not done and why."""

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from governance.models import Branch, Repository
from reconciliation.models import ReconciliationTask
from tests.functional.field.conftest import server
from tests.functional.field.shapes import Bare, connect, days_ago
from tests.git_server import GitServer

__all__ = ["server"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def bare(server: GitServer) -> Bare:
    """Serve and govern a repository with thirteen branches, twelve of them idle for a year."""
    made = Bare(server.root / "api.git")
    made.point("main", made.commit(date=days_ago(400)))
    for number in range(12):
        head = made.commit(made.head("main"), date=days_ago(365), text=f"{number}")
        made.point(f"topic-{number:02}", head)
    connect(server, "api")
    return made


def reconcile(**options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command("reconcile", "acme/main/api", json=True, **{"stdout": out, **options})
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def refused(**options: Any) -> tuple[dict[str, Any], CommandError]:
    out = io.StringIO()
    with pytest.raises(CommandError) as raised:
        reconcile(stdout=out, **options)
    return json.loads(out.getvalue()), raised.value


def decided(result: dict[str, Any], kind: str) -> set[str]:
    return {line["branch"] for line in result["decisions"] if line["task_kind"] == kind}


def test_a_pass_that_takes_more_than_one_drain_is_worked_to_its_end(
    bare: Bare, settings: Any
) -> None:
    settings.DRAIN_SECONDS, settings.CLAIM_BATCH = 0, 5

    result = reconcile()

    assert decided(result, "stale_branch") >= {f"topic-{number:02}" for number in range(12)}
    assert result["unfinished"] == []
    assert not ReconciliationTask.objects.filter(state="queued").exists()


def test_what_the_pass_itself_found_belongs_to_it(bare: Bare) -> None:
    bare.point("main", bare.commit(date=days_ago(1), text="another history"))

    result = reconcile()

    assert "main" in decided(result, "head_drift")
    assert result["unfinished"] == []
    assert {finding["branch"] for finding in result["findings"]} >= {"main"}


def test_a_pass_without_time_says_how_many_tasks_are_not_done(bare: Bare, settings: Any) -> None:
    settings.CLAIM_BATCH = 1

    result, error = refused(timeout=0)

    assert error.returncode == 3
    assert len(result["unfinished"]) > 10
    assert f"{len(result['unfinished'])} tasks of this pass not done" in str(error)
    assert {one["reason"] for one in result["unfinished"]} == {"due"}


def test_a_head_that_must_settle_is_not_done_and_says_until_when(bare: Bare) -> None:
    bare.point("main", bare.commit(bare.head("main"), date=days_ago(0), text="a push"))

    result, error = refused()

    waiting = [one for one in result["unfinished"] if one["reason"] == "waiting"]
    assert "main" in {one["branch"] for one in waiting}
    assert all(one["until"] for one in waiting)
    assert error.returncode == 3
    assert "settle" in str(error)


def test_a_host_that_is_down_is_named_with_the_exit_code_of_unfinished_work(
    bare: Bare,
) -> None:
    Repository.objects.update(clone_url="http://127.0.0.1:1/api.git")

    result, error = refused()

    assert error.returncode == 3
    assert {one["reason"] for one in result["unfinished"]} <= {"held", "retry"}
    assert any(one["branch"] == "" for one in result["unfinished"])
    assert all(one["detail"] for one in result["unfinished"])


def test_a_check_that_failed_for_good_is_exit_code_one(bare: Bare, server: GitServer) -> None:
    (server.root / "api.git").rename(server.root / "moved.git")

    result, error = refused()

    assert error.returncode == 1
    assert "dead" in {one["reason"] for one in result["unfinished"]}


def test_only_branches_that_the_shortest_policy_calls_idle_are_planned(bare: Bare) -> None:
    young = bare.commit(bare.head("main"), date=days_ago(20), text="young")
    bare.point("young", young)
    reconcile()
    Branch.objects.filter(name="young").update(governed_head=young, observed_head=young)
    ReconciliationTask.objects.all().delete()

    result = reconcile()

    assert "young" not in decided(result, "stale_branch")
    assert "topic-00" in decided(result, "stale_branch")


def test_drain_says_what_is_left(bare: Bare, settings: Any) -> None:
    settings.CLAIM_BATCH = 1
    refused(timeout=0)

    out = io.StringIO()
    call_command("drain", limit_seconds=0, json=True, stdout=out)
    left = json.loads(out.getvalue())["left"]
    assert left["due"] > 5

    out = io.StringIO()
    call_command("drain", limit_seconds=0, stdout=out)
    assert f"{left['due']} due" in out.getvalue()
