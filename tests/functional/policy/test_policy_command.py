"""The `policy` command as a person and as a program meet it: lines, JSON, and exit codes."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError

from audit.models import AuditEntry
from governance.domain.policy_text import read_policy
from governance.models import Membership, PolicyVersion, Role
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.management.policy_output import key_table, rule_table
from tests.conftest import World
from tests.factories.governance import BranchFactory

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]
REASON = "agreed in the review of March"
FLOOR = "lease: {mode: alert}\nfloors: [lease.mode]\n"
MANIFEST = {
    "schema_version": "1.0",
    "git": {"remote": "origin", "required_pr_flow": True},
    "risk_zones": {"high_risk_paths": ["auth/**"]},
}


class Ran:
    """What one run of the command said, and its exit code."""

    def __init__(self, *arguments: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        self.code = 0
        self.error = ""
        try:
            call_command("policy", *arguments, stdout=out, stderr=err)
        except SystemExit as ended:
            self.code = int(ended.code or 0)
        except CommandError as failed:
            self.code, self.error = failed.returncode, str(failed)
        self.out, self.err = out.getvalue(), err.getvalue()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a file that is there under its bare name."""
    monkeypatch.chdir(tmp_path)

    def write(content: Any, name: str = "acme.yaml") -> str:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def publish(name: str, *more: str, layer: str = "tenant", target: str = "acme") -> Ran:
    return Ran("publish", name, "--layer", layer, "--target", target, "--reason", REASON, *more)


class TestValidate:
    def test_a_right_file(self, file: Any) -> None:
        ran = Ran("validate", file("lease: {mode: 'off'}"))

        assert (ran.code, ran.out, ran.err) == (0, "acme.yaml: valid\n", "")

    def test_a_wrong_file_is_told_line_by_line_and_ends_with_1(self, file: Any) -> None:
        ran = Ran("validate", file("lease:\n  mode: loud\n  mood: 1\n"))

        assert ran.code == 1
        assert ran.err.splitlines() == [
            "acme.yaml:2:3: error: lease.mode: must be one of off, observe, alert, not 'loud'"
            " [not_a_choice]",
            "acme.yaml:3:3: error: lease.mood: 'mood' is no key; did you mean mode? [unknown_key]",
        ]

    @pytest.mark.parametrize("place", [("--json", "validate"), ("validate", "--json")])
    def test_a_program_gets_the_problems_as_json(self, file: Any, place: tuple[str, ...]) -> None:
        ran = Ran(*place, file("lease:\n  mood: 1"))

        (problem,) = ran.json["problems"]
        assert ran.code == 1
        assert (problem["line"], problem["pointer"]) == (2, "/lease/mood")

    def test_a_rule_that_does_not_exist_is_an_error_at_its_line(self, file: Any) -> None:
        ran = Ran("validate", file("rules:\n  drift.unknwon: {weight: 5}\n  x.y: {weight: 5}"))

        assert ran.code == 1
        assert ran.err.splitlines() == [
            "acme.yaml:2:3: error: rules.drift.unknwon: there is no such rule;"
            " did you mean drift.unknown? [unknown_rule]",
            "acme.yaml:3:3: error: rules.x.y: there is no such rule;"
            " `policy rules` lists all [unknown_rule]",
        ]

    def test_with_a_target_floors_branches_and_changes_are_told_too(
        self, file: Any, tenant_world: World
    ) -> None:
        publish(file("lease: {mode: observe}"), layer="repository", target="acme/main/api")

        ran = Ran(
            "validate", file(FLOOR + "branches: {keep: [maim]}"), "--layer", "tenant",
            "--target", "acme",
        )  # fmt: skip

        assert ran.code == 0
        assert ran.out.splitlines() == [
            "tenant acme: no version in force",
            '  branches.keep: (not set) -> ["maim"]',
            '  floors: (not set) -> ["lease.mode"]',
            "  lease.mode: (not set) -> alert",
            "  overrules repository acme/main/api: lease.mode observe -> alert",
        ]
        assert "acme.yaml:3:19: warning: branches.keep.0: 'maim' matches no branch" in ran.err
        assert PolicyVersion.objects.count() == 1

    def test_a_file_that_is_not_there_ends_with_2(self, tmp_path: Path) -> None:
        ran = Ran("validate", str(tmp_path / "nothing.yaml"))

        assert ran.code == 2
        assert "cannot be read" in ran.error

    def test_a_policy_may_come_from_standard_input(self) -> None:
        ran = subprocess.run(
            [sys.executable, "manage.py", "policy", "validate", "-"],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "reconciler_site.settings.test"},
            input=b"lease:\n  mood: 1",
            capture_output=True,
            check=False,
        )

        assert ran.returncode == 1
        assert ran.stderr.startswith(b"<stdin>:2:3: error: lease.mood")


class TestPublish:
    def test_a_version_is_published_with_its_author_and_reason(
        self, file: Any, tenant_world: World
    ) -> None:
        ran = publish(file("stale_branch: {idle_days: 30}"), "--author", "ann")

        assert (ran.code, ran.out.splitlines()[-1]) == (0, "version 1 published")
        version = PolicyVersion.objects.get()
        assert (version.author, version.reason) == ("ann", REASON)
        assert AuditEntry.objects.get().correlation_id != ""

    def test_what_it_leads_to_is_told_before_the_version(
        self, file: Any, tenant_world: World
    ) -> None:
        BranchFactory.create(repository=tenant_world.repository, name="release/1")

        ran = publish(file("branches: {protected: [release/*]}"))

        assert ran.out.splitlines()[-3:] == [
            "1 branch has another class now",
            "1 check planned",
            "version 1 published",
        ]

    def test_the_same_document_again_is_in_force_already(
        self, file: Any, tenant_world: World
    ) -> None:
        publish(file("stale_branch: {idle_days: 30}"))

        ran = publish(file({"stale_branch": {"idle_days": 30}}, "acme.json"), "--json")

        assert (ran.code, ran.json["is_new"], ran.json["version"]["version"]) == (0, False, 1)

    def test_a_branch_pattern_has_its_own_layer(self, file: Any, tenant_world: World) -> None:
        ran = publish(
            file("lease: {mode: observe}"), "--branch-pattern", "main", layer="branch",
            target="acme/main/api",
        )  # fmt: skip

        assert ran.code == 0
        assert PolicyVersion.objects.get().branch_pattern == "main"

    def test_below_a_floor_it_is_refused_with_1(self, file: Any, tenant_world: World) -> None:
        publish(file(FLOOR), layer="site", target="")

        ran = publish(file("lease:\n  mode: observe"))

        assert ran.code == 1
        assert ran.err.startswith("acme.yaml:2:3: error: lease.mode: is looser than the floor")

    def test_loosening_a_floor_ends_with_3_until_an_admin_approves(
        self, file: Any, tenant_world: World
    ) -> None:
        bob = get_user_model().objects.create(username="bob")
        Membership.objects.create(user=bob, tenant=tenant_world.tenant, role=Role.ADMIN)
        publish(file(FLOOR), "--author", "ann")

        alone = publish(file("{}"), "--author", "ann")
        together = publish(file("{}"), "--author", "ann", "--approved-by", "bob")

        assert (alone.code, together.code) == (3, 0)
        assert "--approved-by" in alone.error

    @pytest.mark.parametrize(
        "more",
        [
            ("--approved-by", "nobody"),
            ("--target", "nobody"),
            ("--target", "acme/main"),
            ("--reason", "short"),
            ("--branch-pattern", "x"),
        ],
    )
    def test_what_cannot_be_done_ends_with_2(
        self, file: Any, tenant_world: World, more: tuple[str, ...]
    ) -> None:
        ran = publish(file("{}"), *more)

        assert (ran.code, ran.out) == (2, "")
        assert ran.error

    def test_over_another_version_than_expected_it_ends_with_4(
        self, file: Any, tenant_world: World
    ) -> None:
        publish(file("lease: {mode: observe}"))

        ran = publish(file("lease: {mode: alert}"), "--expected-version", "0")

        assert ran.code == 4


class TestExplain:
    def test_each_value_is_told_with_who_set_it(self, file: Any, tenant_world: World) -> None:
        publish(file("lease: {mode: observe}"), layer="repository", target="acme/main/api")
        publish(file(FLOOR), layer="site", target="")

        lines = Ran("explain", "acme/main/api@main").out.splitlines()

        assert lines[0].startswith("acme/main/api @main: policy ")
        assert lines[1] == "layers: site v1, repository acme/main/api v1"
        assert (
            "  lease.mode = alert  [site v1]; floor alert of site v1; overruled:"
            " repository acme/main/api v1 asked for observe"
        ) in lines
        assert "  stale_branch.idle_days = 60 days  [built in]" in lines

    def test_a_program_gets_the_same_as_json(self, tenant_world: World) -> None:
        told = Ran("explain", "acme/main/api@release/1", "--json").json

        assert (told["target"], told["branch"]) == ("acme/main/api", "release/1")
        assert len(told["digest"]) == 64

    @pytest.mark.parametrize("target", ["acme", "acme/main/nothing", "rival/main", ""])
    def test_what_is_not_there_ends_with_2(self, tenant_world: World, target: str) -> None:
        assert Ran("explain", target).code == 2


class TestImport:
    def test_what_it_prints_is_a_policy_that_may_be_published(self, file: Any) -> None:
        ran = Ran("import", file(MANIFEST, "reach.workspace.json"))

        text = read_policy(ran.out, file="out.yaml", layer="workspace", rules=RULE_WEIGHTS)
        assert text.problems == ()
        assert text.document == {
            "changes": {"required_pr_flow": True, "high_risk_paths": ["auth/**"]}
        }
        assert "not taken over: git.remote = origin" in ran.out

    def test_a_program_gets_what_was_taken_and_what_was_not(self, file: Any) -> None:
        told = Ran("import", file(MANIFEST, "reach.workspace.json"), "--json").json

        (one,) = told["files"]
        assert [taken["key"] for taken in one["taken"]] == [
            "changes.required_pr_flow",
            "changes.high_risk_paths",
        ]
        assert [left["path"] for left in one["not_understood"]] == ["git.remote"]

    def test_both_files_together_become_one_policy(self, file: Any) -> None:
        governance = {"highRiskZones": ["auth/**", "db/"], "escalation": {"ladder": ["owner"]}}

        told = Ran("import", file(MANIFEST, "a.json"), file(governance, "b.json"), "--json").json

        assert told["document"] == {
            "alerts": {"escalation": [{"role": "owner", "after_seconds": 900}]},
            "changes": {
                "required_pr_flow": True,
                "high_risk_paths": ["**/*db/**", "auth/**"],
            },
        }

    def test_files_that_disagree_end_with_2(self, file: Any) -> None:
        other = {"git": {"required_pr_flow": False}}

        ran = Ran("import", file(MANIFEST, "a.json"), file(other, "b.json"))

        assert ran.code == 2
        assert "changes.required_pr_flow" in ran.error

    def test_a_wrong_value_ends_with_1_at_its_line(self, file: Any) -> None:
        text = '{"git":\n  {"required_pr_flow": "yes"}}'

        ran = Ran("import", file(text, "reach.workspace.json"))

        assert ran.code == 1
        assert ran.err.startswith("reach.workspace.json:2:4: error: git.required_pr_flow")

    @pytest.mark.parametrize(
        ("content", "code"), [("{}", 2), ("{", 1), ('{"git": 1, "git": 2}', 1)]
    )
    def test_what_is_no_file_of_reach_is_told(self, file: Any, content: str, code: int) -> None:
        assert Ran("import", file(content, "x.json")).code == code

    def test_published_the_workspace_carries_the_manifest(
        self, file: Any, tenant_world: World
    ) -> None:
        name = file(MANIFEST, "reach.workspace.json")
        arguments = ("import", name, "--publish", "--target", "acme/main", "--reason", REASON)

        first, again = Ran(*arguments), Ran(*arguments)

        assert (first.code, again.code) == (0, 0)
        assert "in force already" in again.out
        tenant_world.workspace.refresh_from_db()
        assert tenant_world.workspace.manifest == MANIFEST
        assert PolicyVersion.objects.get().layer == "workspace"

    def test_what_is_not_understood_is_told_when_publishing_too(
        self, file: Any, tenant_world: World
    ) -> None:
        name = file(MANIFEST, "reach.workspace.json")

        ran = Ran("import", name, "--publish", "--target", "acme/main", "--reason", REASON)

        assert "not taken over: git.remote" in ran.out


class TestKeysAndRules:
    @pytest.mark.parametrize("table", [list(key_table()), list(rule_table())])
    def test_the_documentation_holds_the_tables_as_they_are(self, table: list[str]) -> None:
        documented = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8").splitlines()

        start = documented.index(table[0])
        assert documented[start : start + len(table)] == table

    def test_every_rule_is_listed_for_programs(self) -> None:
        rules = Ran("rules", "--json").json["rules"]

        assert len(rules) == len(RULE_WEIGHTS)
        assert rules[0] == {
            "rule": "drift.rewrite_protected",
            "check": "head_drift",
            "weight": 95,
        }

    def test_the_example_of_the_documentation_may_be_published(self) -> None:
        documented = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
        example = documented.partition("```yaml\n")[2].partition("```")[0]

        text = read_policy(example, file="acme.yaml", layer="tenant", rules=RULE_WEIGHTS)

        assert text.problems == ()
        assert text.document["rules"] == {"drift.created_other": {"mode": "off"}}

    def test_every_key_is_listed_for_programs(self) -> None:
        keys = Ran("keys", "--json").json["keys"]

        assert len(keys) == len(list(key_table())) - 2
        assert {"key": "lease.mode", "default": "alert"}.items() <= keys[
            [one["key"] for one in keys].index("lease.mode")
        ].items()
