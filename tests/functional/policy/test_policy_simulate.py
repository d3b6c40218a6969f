"""Simulating a draft as a person at a shell and a caller of the API meet it."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from rest_framework.test import APIClient

from governance.models import PolicyVersion, Tenant
from reconciliation.models import Evaluation
from tests.conftest import World
from tests.factories.governance import api_client
from tests.integration.policy.history import Occasion, decide_and_store
from tests.unit.evaluators.facts import head_facts, place

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.functional.policy.urls")]

SIMULATE = "/api/v1/policies/simulate"
TEXT = "branches: {protected: [topic]}"


@pytest.fixture
def history(tenant_world: World) -> None:
    """Store what was decided yesterday about acme's topic, main and old, and the rival's topic."""
    now = datetime.now(UTC)
    for repository, branch, days in (
        (tenant_world.repository, "topic", 1),
        (tenant_world.repository, "main", 1),
        (tenant_world.repository, "old", 40),
        (tenant_world.strange_repository, "topic", 1),
    ):
        at = now - timedelta(days=days)
        facts = head_facts("diverged", place=place(branch), head_changed_at=at - timedelta(hours=1))
        decide_and_store([Occasion(repository, "head_drift", facts, at)])


class Ran:
    """What one run of the command said, and its exit code."""

    def __init__(self, *arguments: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        self.code, self.error = 0, ""
        try:
            call_command("policy_simulate", *arguments, stdout=out, stderr=err)
        except SystemExit as ended:
            self.code = int(ended.code or 0)
        except CommandError as failed:
            self.code, self.error = failed.returncode, str(failed)
        self.out, self.err = out.getvalue(), err.getvalue()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> str:
        (tmp_path / "draft.yaml").write_text(text, encoding="utf-8")
        return "draft.yaml"

    return write


class TestCommand:
    ACME = ("--layer", "tenant", "--target", "acme")

    def test_it_tells_what_would_change_by_kind_by_repository_and_by_example(
        self, history: None, file: Any
    ) -> None:
        ran = Ran(file(TEXT), *self.ACME)

        assert ran.code == 0
        lines = ran.out.splitlines()
        assert lines[:2] == [
            "tenant acme: no version in force",
            '  branches.protected: (not set) -> ["topic"]',
        ]
        assert lines[2:4] == [
            "published now: 1 alert gained, 1 severity changed",
            "  alert gained, severity changed: acme/api@topic head_drift rewritten"
            " (low -> critical)",
        ]
        assert lines[4].startswith("2 evaluations since ")
        assert lines[4].endswith(", 1 of them decided otherwise than was stored")
        evaluation = Evaluation.objects.order_by("pk")[0]
        assert lines[5:] == [
            "in all: 1 alert gained, 1 severity changed",
            "by kind:",
            "  head_drift rewritten critical: 1 alert gained, 1 severity changed",
            "by repository:",
            "  acme/api: 1 alert gained, 1 severity changed",
            "decisions:",
            "  head_drift: drift -> drift: 1",
            "examples:",
            "  alert gained: acme/api@topic head_drift rewritten",
            "    drift (low) -> drift (critical, alert)",
            "    + drift.rewrite_protected 95, - drift.rewrite_other 20",
            f"    evaluation {evaluation.pk} of task {evaluation.task_id},"
            f" {evaluation.evaluated_at:%Y-%m-%d %H:%M} UTC",
            "  severity changed: acme/api@topic head_drift rewritten",
            *lines[-3:],
        ]
        assert not PolicyVersion.objects.exists()

    def test_a_program_gets_the_same_as_json(self, history: None, file: Any) -> None:
        told = json.loads(Ran(file(TEXT), *self.ACME, "--json").out)

        assert told["total"] == {
            "finding_gained": 0,
            "finding_lost": 0,
            "alert_gained": 1,
            "alert_lost": 0,
            "severity_changed": 1,
        }
        assert told["if_published"]["total"] == {**told["total"], "alert_quieted": 0}
        assert [
            (one["changes"], one["branch"]) for one in told["if_published"]["consequences"]
        ] == [(["alert_gained", "severity_changed"], "topic")]
        assert told["plan"]["changes"][0]["key"] == "branches.protected"

    @pytest.mark.parametrize(
        ("more", "evaluations"),
        [((), 2), (("--days", "60"), 3), (("--most", "1"), 1), (("--against", "in_force"), 2)],
    )
    def test_how_much_is_looked_at_is_for_the_caller_to_say(
        self, history: None, file: Any, more: tuple[str, ...], evaluations: int
    ) -> None:
        told = json.loads(Ran(file(TEXT), *self.ACME, "--json", *more).out)

        assert told["evaluations"] == evaluations
        assert told["is_complete"] is (more != ("--most", "1"))

    def test_a_bound_that_was_reached_is_told(self, history: None, file: Any) -> None:
        assert (
            "incomplete: a bound was reached at 20"
            in Ran(file(TEXT), *self.ACME, "--most", "1").out
        )

    def test_nothing_that_changes_is_said_in_one_line(self, history: None, file: Any) -> None:
        ran = Ran(file("lease: {mode: observe}"), *self.ACME)

        assert ran.out.splitlines()[-1] == "in all: no finding and no alert changes"

    def test_a_wrong_draft_ends_with_1_at_its_line(self, history: None, file: Any) -> None:
        ran = Ran(file("rules:\n  drift.nothing: {weight: 1}"), *self.ACME)

        assert ran.code == 1
        assert ran.err.startswith("draft.yaml:2:3: error: rules.drift.nothing: there is no such")

    def test_what_is_not_there_ends_with_2(self, history: None, file: Any) -> None:
        assert Ran(file(TEXT), "--layer", "tenant", "--target", "nobody").code == 2
        assert Ran("nothing.yaml", *self.ACME).code == 2

    @pytest.mark.parametrize("days", ["0", "3651", "x", "-1"])
    def test_days_are_a_number_that_makes_sense(self, file: Any, days: str) -> None:
        with pytest.raises(CommandError, match="is no number from 1 to 3650"):
            call_command("policy_simulate", file(TEXT), *self.ACME, "--days", days)


class TestApi:
    def post(
        self, client: APIClient, layer: str = "tenant", target: str = "acme", **more: Any
    ) -> Any:
        body = {"layer": layer, "target": target, "text": TEXT, **more}
        return client.post(SIMULATE, body, format="json")

    def test_a_reader_may_simulate_and_gets_the_differences(
        self, history: None, tenant_world: World
    ) -> None:
        answer = self.post(api_client(["read"], tenant=tenant_world.tenant))

        assert answer.status_code == 200
        told = answer.json()
        assert (told["evaluations"], told["differing"], told["is_complete"]) == (2, 1, True)
        assert told["repositories"] == [{"tenant": "acme", "repo": "api", **told["total"]}]
        assert told["groups"] == [
            {
                "check": "head_drift",
                "stable_class": "rewritten",
                "severity": "critical",
                **told["total"],
            }
        ]
        assert told["decisions"] == [
            {"check": "head_drift", "before": "drift", "after": "drift", "evaluations": 1}
        ]
        example = told["examples"][0]
        assert (example["branch"], example["severity_before"], example["severity_after"]) == (
            "topic",
            "low",
            "critical",
        )
        assert (example["alerting_before"], example["alerting_after"]) == (False, True)
        assert example["rules_gained"] == [{"rule": "drift.rewrite_protected", "weight": 95}]
        assert example["rules_lost"] == [{"rule": "drift.rewrite_other", "weight": 20}]
        assert told["gaps"] == {"unreadable": 0, "without_paths": 0, "without_merges": 0}
        assert told["plan"]["current_version"] == 0
        assert not PolicyVersion.objects.exists()

    @pytest.mark.parametrize(
        ("layer", "target"),
        [("site", ""), ("tenant", "rival"), ("repository", "rival/main/api"), ("tenant", "x")],
    )
    def test_of_others_nothing_can_be_simulated(
        self, history: None, tenant_world: World, layer: str, target: str
    ) -> None:
        client = api_client(["read"], tenant=tenant_world.tenant)

        assert self.post(client, layer, target).status_code == 404

    def test_the_site_is_for_those_who_see_every_tenant(self, history: None) -> None:
        told = self.post(api_client(["read"]), "site", "").json()

        assert {one["tenant"] for one in told["repositories"]} == {"acme", "rival"}

    def test_it_needs_a_token_with_the_scope_read(self, history: None, tenant_world: World) -> None:
        tenant: Tenant = tenant_world.tenant

        assert self.post(APIClient()).status_code == 401
        assert self.post(api_client(["leases"], tenant=tenant)).status_code == 403

    def test_what_is_wrong_is_told_as_when_publishing(
        self, history: None, tenant_world: World
    ) -> None:
        answer = self.post(api_client(["read"]), text="lease:\n  mood: 1")

        assert (answer.status_code, answer.json()["code"]) == (400, "policy_invalid")
        assert answer.json()["errors"][0]["line"] == 2

    @pytest.mark.parametrize(
        ("more", "pointer"),
        [
            ({"days": 0}, "/days"),
            ({"days": 367}, "/days"),
            ({"most_evaluations": 50_001}, "/most_evaluations"),
            ({"against": "tomorrow"}, "/against"),
            ({"document": {}}, "/text"),
        ],
    )
    def test_a_request_that_makes_no_sense_is_told(
        self, history: None, more: dict[str, Any], pointer: str
    ) -> None:
        answer = self.post(api_client(["read"]), **more)

        assert answer.status_code == 400
        assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]

    def test_a_bound_is_kept_and_told(self, history: None) -> None:
        told = self.post(api_client(["read"]), most_evaluations=1).json()

        assert (told["evaluations"], told["is_complete"]) == (1, False)
