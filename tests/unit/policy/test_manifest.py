"""What Reach's own files become as policy, and that nothing in them is lost without a word."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.domain.manifest import (
    Imported,
    NotAManifest,
    import_manifest,
    ladder_of_roles,
    patterns_of_zones,
)
from governance.domain.policy import matching
from governance.domain.policy_check import check_document
from tests.unit.policy.documents import UNHURRIED

SAMPLES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "reach"

WORKSPACE: dict[str, Any] = {
    "schema_version": "1.0",
    "git": {
        "remote": "origin",
        "required_pr_flow": True,
        "stale_base_threshold_commits": 12,
        "branch_naming": "reach/<task>/<timestamp>",
    },
    "gates": {"required": ["tests", "dgl"]},
    "risk_zones": {"high_risk_paths": ["auth/**"]},
    "identity": {"git_host": "github"},
}
GOVERNANCE: dict[str, Any] = {
    "version": "1.0.0",
    "gateBypass": {"enabled": True, "rules": []},
    "escalation": {"ladder": ["maintainer", "security-reviewer"]},
    "highRiskZones": ["auth/", "webhook"],
}


def not_understood(imported: Imported) -> dict[str, str]:
    return {".".join(map(str, one.path)): one.why for one in imported.not_understood}


def test_a_workspace_manifest_becomes_a_policy() -> None:
    imported = import_manifest(WORKSPACE)

    assert imported.faults == ()
    assert imported.document == {
        "branches": {"naming": "reach/<task>/<timestamp>"},
        "changes": {
            "required_pr_flow": True,
            "required_gates": ["dgl", "tests"],
            "high_risk_paths": ["auth/**"],
        },
        "stale_branch": {"stale_base_commits": 12},
    }
    assert set(not_understood(imported)) == {"git.remote", "identity.git_host"}


def test_a_governance_policy_becomes_a_policy() -> None:
    imported = import_manifest(GOVERNANCE)

    assert imported.faults == ()
    assert imported.document == {
        "alerts": {
            "escalation": [
                {"role": "maintainer", "after_seconds": 900},
                {"role": "security-reviewer", "after_seconds": 3600},
            ]
        },
        "changes": {"high_risk_paths": ["**/*auth/**", "**/*webhook*/**"]},
    }
    assert set(not_understood(imported)) == {"gateBypass"}


@pytest.mark.parametrize("manifest", [WORKSPACE, GOVERNANCE])
def test_what_is_imported_may_be_published(manifest: dict[str, Any]) -> None:
    document = import_manifest(manifest).document

    assert check_document(document, layer="workspace", rules=()) == (document, [])


@pytest.mark.parametrize(
    ("zone", "hit", "missed"),
    [
        ("auth/", ["auth/a.py", "src/auth/x/y.py", "oauth/z"], ["auth.py", "authors/a"]),
        ("webhook", ["webhook", "api/webhooks.ts", "my-webhook/x"], ["hooks/web"]),
        (
            "services/policy-engine",
            ["services/policy-engine/a.go", "x/services/policy-engine-2/b"],
            ["policy-engine/a.go"],
        ),
        ("/abs/", ["abs/x"], ["other/x"]),
        ("auth/**", ["auth/a"], ["src/auth/a"]),
    ],
)
def test_a_zone_marks_paths_wherever_its_text_occurs(
    zone: str, hit: list[str], missed: list[str]
) -> None:
    patterns = tuple(patterns_of_zones([zone]))

    assert [path for path in hit + missed if matching(patterns, path)] == hit


def test_a_longer_ladder_waits_four_times_longer_per_step_up_to_thirty_days() -> None:
    times = [step["after_seconds"] for step in ladder_of_roles([str(n) for n in range(8)])]

    assert times == [900, 3600, 14400, 57600, 230400, 921600, 2592000, 2592000]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("git", "required_pr_flow"), "yes", ("git", "required_pr_flow")),
        (("git", "stale_base_threshold_commits"), 0, ("git", "stale_base_threshold_commits")),
        (("gates", "required"), "tests", ("gates", "required")),
        (("gates", "required"), ["tests", 5], ("gates", "required", 1)),
        (("risk_zones", "high_risk_paths"), ["refs/heads/x"], ("risk_zones", "high_risk_paths", 0)),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_fault_at_its_place_in_the_file(
    path: tuple[str, str], value: Any, fault: tuple[str | int, ...]
) -> None:
    manifest = copy.deepcopy(WORKSPACE)
    manifest[path[0]][path[1]] = value

    imported = import_manifest(manifest)

    assert [one.path for one in imported.faults] == [fault]


@pytest.mark.parametrize("zones", ["auth/", [5], [""], ["/"]])
def test_zones_of_the_wrong_kind_are_faults(zones: Any) -> None:
    imported = import_manifest({**GOVERNANCE, "highRiskZones": zones})

    assert imported.faults
    assert "changes" not in imported.document


def test_another_version_of_the_file_is_told() -> None:
    imported = import_manifest({**WORKSPACE, "schema_version": "2.1"})

    assert "files of version 1 are known" in not_understood(imported)["schema_version"]


@pytest.mark.parametrize("value", [None, [], "git", {}, {"lease": {"mode": "off"}}])
def test_other_values_are_no_manifests(value: Any) -> None:
    with pytest.raises(NotAManifest):
        import_manifest(value)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    if isinstance(value, dict) and value:
        return {leaf for name, item in value.items() for leaf in _leaves(item, (*path, name))}
    return {path}


junk = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@UNHURRIED
@given(
    st.sampled_from([WORKSPACE, GOVERNANCE]),
    st.dictionaries(st.sampled_from(["git", "gates", "escalation", "x", "version"]), junk),
)
def test_every_key_of_a_file_is_taken_over_named_as_not_understood_or_a_fault(
    manifest: dict[str, Any], more: dict[str, Any]
) -> None:
    value = {"identity": {}, **manifest, **more}

    imported = import_manifest(value)

    accounted: set[tuple[str | int, ...]] = {("schema_version",), ("version",)}
    accounted |= {one.path for one in imported.taken} | {one.path for one in imported.faults}
    accounted |= {one.path for one in imported.not_understood}
    silent = [
        leaf
        for leaf in _leaves(value)
        if not any(leaf[: len(path)] == path or path[: len(leaf)] == leaf for path in accounted)
    ]
    assert silent == []


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample files of Reach are not beside us")
class TestRealFiles:
    def test_the_workspace_manifest_of_reach(self) -> None:
        imported = import_manifest(json.loads((SAMPLES / "reach.workspace.json").read_text()))

        assert imported.faults == ()
        assert {one.key for one in imported.taken} == {
            "branches.naming",
            "changes.high_risk_paths",
            "changes.required_gates",
            "changes.required_pr_flow",
            "stale_branch.stale_base_commits",
        }
        assert imported.document["stale_branch"] == {"stale_base_commits": 8}
        assert len(imported.not_understood) == 7

    def test_the_governance_policy_of_reach(self) -> None:
        path = SAMPLES / "config" / "governance-policy.json"
        imported = import_manifest(json.loads(path.read_text()))

        assert imported.faults == ()
        assert [step["role"] for step in imported.document["alerts"]["escalation"]] == [
            "maintainer",
            "security-reviewer",
            "release-manager",
        ]
        assert set(not_understood(imported)) == {
            "gateBypass",
            "requiredHumanSignoff",
            "autoMergeEligibility",
        }
