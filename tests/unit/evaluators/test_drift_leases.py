"""Who wrote while somebody else held the branch: holders, strangers, unknown pushers, paths."""

from dataclasses import replace
from typing import Any

import pytest

from reconciliation.domain.facts import ChangedPaths, HeadFacts, LeaseFact, RunFact
from reconciliation.domain.findings import Decision, FindingDraft
from reconciliation.evaluators.head_drift import evaluate_head_drift
from tests.unit.evaluators.facts import (
    DEFAULTS,
    NOON,
    A,
    B,
    C,
    head_facts,
    lease,
    policy,
    run,
)


def decide(facts: HeadFacts) -> Decision:
    return evaluate_head_drift(facts, DEFAULTS, NOON)


def rules_of(facts: HeadFacts) -> list[str]:
    return [hit.rule for draft in decide(facts).findings for hit in draft.rule_hits]


def finding_of(facts: HeadFacts) -> FindingDraft:
    (finding,) = decide(facts).findings
    return finding


def touched(*paths: str, known: bool = True, truncated: bool = False) -> ChangedPaths:
    return ChangedPaths(known, paths, truncated)


HELD = head_facts(branch_class="governed", leases=(lease(),))


# --- holder and stranger --------------------------------------------------------------------------


@pytest.mark.parametrize("pusher", ["alice", "reach-cli"])
def test_the_holder_is_the_person_or_the_agent_that_works_for_them(pusher: str) -> None:
    assert rules_of(replace(HELD, pusher=pusher)) == ["drift.ungoverned_governed"]


@pytest.mark.parametrize("pusher", ["bob", "Alice", "alice2", "laptop", "lease-1"])
def test_a_push_by_someone_who_does_not_hold_the_lease_is_a_high_risk(pusher: str) -> None:
    finding = finding_of(replace(HELD, pusher=pusher))

    assert finding.rule_hits[0].rule == "drift.not_lease_holder"
    assert finding.rule_hits[0].inputs == (
        ("pusher", pusher),
        ("holder", "alice"),
        ("lease", "lease-1"),
    )
    assert (finding.severity, finding.alerting) == ("high", True)


@pytest.mark.parametrize("scope", ["branch-level", "repo-wide"])
@pytest.mark.parametrize("relation", ["ancestor", "descendant", "diverged", "unrelated", "unknown"])
def test_a_stranger_is_a_stranger_whatever_became_of_the_history(relation: str, scope: str) -> None:
    facts = head_facts(relation, leases=(lease(scope=scope),))

    assert "drift.not_lease_holder" in rules_of(facts)


def test_a_stranger_who_deletes_the_branch() -> None:
    assert "drift.not_lease_holder" in rules_of(replace(HELD, observed_head=None))


def test_a_lease_without_an_agent_is_not_held_by_nobody() -> None:
    held = replace(HELD, leases=(lease(agent_id=""),), pusher="")

    assert "drift.pusher_unknown_under_lease" in rules_of(held)


# --- a pusher that nobody named -------------------------------------------------------------------


def test_a_push_that_a_sweep_found_under_a_lease_is_never_silently_fine() -> None:
    finding = finding_of(replace(HELD, pusher="", announced_by="sweep", branch_class="other"))

    assert finding.rule_hits[0].rule == "drift.pusher_unknown_under_lease"
    assert finding.rule_hits[0].inputs == (("holder", "alice"), ("lease", "lease-1"))
    assert (finding.severity, finding.alerting) == ("medium", False)


def test_without_a_lease_an_unknown_pusher_is_nobodys_business() -> None:
    assert rules_of(head_facts(pusher="")) == ["drift.ungoverned_other"]


# --- a first head under a lease -------------------------------------------------------------------

CREATED = head_facts("", governed_head=None, leases=(lease(),))


@pytest.mark.parametrize(
    ("pusher", "decision", "rules"),
    [
        ("alice", "record_snapshot", []),
        ("reach-cli", "record_snapshot", []),
        ("bob", "drift", ["drift.not_lease_holder", "drift.created_other"]),
        ("", "drift", ["drift.pusher_unknown_under_lease", "drift.created_other"]),
    ],
)
def test_a_new_ordinary_branch_under_a_lease_is_recorded_for_its_holder_only(
    pusher: str, decision: str, rules: list[str]
) -> None:
    facts = replace(CREATED, pusher=pusher)

    assert (decide(facts).decision, rules_of(facts)) == (decision, rules)


# --- covered changes ------------------------------------------------------------------------------

COVERED = replace(HELD, runs=(run(A, B, actor="bob"),))


def test_a_record_of_the_strangers_own_does_not_excuse_pushing_against_a_lease() -> None:
    decision = decide(COVERED)

    (finding,) = decision.findings
    assert (decision.decision, decision.advance_to) == ("drift", None)
    assert [hit.rule for hit in finding.rule_hits] == ["drift.not_lease_holder"]
    assert "as run records say, but a lease stood against it" in finding.summary


@pytest.mark.parametrize(
    "its_run",
    [
        run(A, B, actor="alice"),
        run(A, B, actor="reach-cli"),
    ],
)
@pytest.mark.parametrize("pusher", ["bob", "deploy-bot", ""])
def test_a_run_under_the_lease_is_the_holders_whoever_pushed_it(
    pusher: str, its_run: RunFact
) -> None:
    held = replace(COVERED, pusher=pusher)

    assert decide(replace(held, runs=(its_run,))).decision == "advance_snapshot"


@pytest.mark.parametrize(
    "its_run",
    [
        run(A, B, actor="bob", lease_id="lease-1"),
        run(A, B, "run-of-lease", actor="engine"),
    ],
)
@pytest.mark.parametrize("pusher", ["bob", "deploy-bot", ""])
def test_an_id_written_down_makes_no_run_the_holders(pusher: str, its_run: RunFact) -> None:
    held = replace(COVERED, leases=(lease(run_id="run-of-lease"),), pusher=pusher)

    assert decide(replace(held, runs=(its_run,))).decision == "drift"


def test_every_run_of_a_chain_must_be_the_holders() -> None:
    mine, foreign = run(A, C, lease_id="lease-1"), run(C, B, "run-2", actor="bob")

    assert decide(replace(HELD, runs=(mine, foreign))).decision == "drift"


def test_an_unnamed_pusher_with_a_foreign_record_is_for_review() -> None:
    facts = replace(COVERED, pusher="")

    assert rules_of(facts) == [
        "drift.pusher_unknown_under_lease",
        "drift.run_owner_unknown",
        "drift.ungoverned_governed",
    ]


@pytest.mark.parametrize("pusher", ["alice", "reach-cli"])
def test_a_covered_push_by_the_holder_advances(pusher: str) -> None:
    its_run = run(A, B, actor="alice")

    assert decide(replace(COVERED, pusher=pusher, runs=(its_run,))).decision == "advance_snapshot"


def test_a_policy_that_silences_the_rule_lets_the_record_count() -> None:
    silenced = policy({"drift.not_lease_holder": {"mode": "off"}})

    assert evaluate_head_drift(COVERED, silenced, NOON).decision == "advance_snapshot"


# --- two leases -----------------------------------------------------------------------------------


def pair(one: dict[str, Any], other: dict[str, Any]) -> tuple[LeaseFact, LeaseFact]:
    return lease("lease-1", **one), lease("lease-2", **other)


@pytest.mark.parametrize(
    ("one", "other", "collide"),
    [
        ({"scope": "branch-level"}, {"scope": "branch-level"}, True),
        ({"scope": "repo-wide"}, {"scope": "branch-level"}, True),
        ({"scope": "repo-wide"}, {"scope": "path-prefix", "paths": ("web",)}, True),
        ({"scope": "branch-level"}, {"scope": "path-prefix", "paths": ("web",)}, True),
        (
            {"scope": "path-prefix", "paths": ("web",)},
            {"scope": "path-prefix", "paths": ("web/css",)},
            True,
        ),
        (
            {"scope": "path-prefix", "paths": ("web",)},
            {"scope": "path-prefix", "paths": ("website",)},
            False,
        ),
    ],
)
def test_two_live_leases_over_one_place_are_a_high_risk_even_for_a_holder(
    one: dict[str, Any], other: dict[str, Any], collide: bool
) -> None:
    facts = head_facts(pusher="alice", leases=pair(one, other))

    assert ("drift.two_leases" in rules_of(facts)) is collide
    if collide:
        finding = finding_of(facts)
        assert finding.rule_hits[0].inputs == (("leases", "lease-1, lease-2"),)
        assert (finding.severity, finding.alerting) == ("high", True)


def test_no_run_record_excuses_two_leases() -> None:
    facts = head_facts(pusher="alice", leases=pair({}, {}), runs=(run(A, B, actor="alice"),))

    assert rules_of(facts) == ["drift.two_leases"]


def test_a_stranger_to_two_leases_is_told_of_both() -> None:
    facts = head_facts(leases=pair({}, {"user_id": "carol"}))

    assert rules_of(facts).count("drift.not_lease_holder") == 2


# --- leases of paths ------------------------------------------------------------------------------

PATHS = head_facts(leases=(lease(scope="path-prefix", paths=("auth", "web/css")),))


@pytest.mark.parametrize(
    ("changed", "rules"),
    [
        (touched("auth/session.py"), ["drift.not_lease_holder", "drift.ungoverned_other"]),
        (touched("auth"), ["drift.not_lease_holder", "drift.ungoverned_other"]),
        (touched("web/css/a/b.css", "x"), ["drift.not_lease_holder", "drift.ungoverned_other"]),
        (touched("authors.txt", "web/cssx"), ["drift.ungoverned_other"]),
        (touched(), ["drift.ungoverned_other"]),
        (touched("x", truncated=True), ["drift.paths_unknown", "drift.ungoverned_other"]),
        (touched(known=False), ["drift.paths_unknown", "drift.ungoverned_other"]),
        (
            touched("auth/a", truncated=True),
            ["drift.not_lease_holder", "drift.ungoverned_other"],
        ),
    ],
)
def test_a_lease_of_paths_stands_against_changes_of_those_paths(
    changed: ChangedPaths, rules: list[str]
) -> None:
    assert rules_of(replace(PATHS, changed=changed)) == rules


def test_the_paths_that_a_stranger_touched_are_told() -> None:
    finding = finding_of(replace(PATHS, changed=touched("auth/b", "auth/a", "README")))

    assert ("paths", "auth/a, auth/b") in finding.rule_hits[0].inputs


@pytest.mark.parametrize("pusher", ["alice", "reach-cli"])
def test_the_holder_of_the_paths_may_change_them(pusher: str) -> None:
    facts = replace(PATHS, pusher=pusher, changed=touched("auth/session.py", "elsewhere"))

    assert rules_of(facts) == ["drift.ungoverned_other"]


def test_an_unknown_pusher_who_touched_leased_paths() -> None:
    facts = replace(PATHS, pusher="", changed=touched("auth/session.py"))

    assert rules_of(facts) == ["drift.pusher_unknown_under_lease", "drift.ungoverned_other"]


def test_a_deletion_takes_the_leased_paths_with_it() -> None:
    assert rules_of(replace(PATHS, observed_head=None)) == [
        "drift.not_lease_holder",
        "drift.delete_other",
    ]


def test_what_a_first_head_touches_cannot_be_told() -> None:
    facts = replace(PATHS, governed_head=None, relation="")

    assert rules_of(facts) == ["drift.paths_unknown", "drift.created_other"]


def test_a_covered_change_beside_the_leased_paths_advances() -> None:
    facts = replace(PATHS, runs=(run(A, B, actor="bob"),))

    assert decide(replace(facts, changed=touched("README"))).decision == "advance_snapshot"
    assert decide(replace(facts, changed=touched("auth/a"))).decision == "drift"


# --- high-risk paths ------------------------------------------------------------------------------

RISKY = policy(changes={"high_risk_paths": ["auth/**", "billing/**"]})


@pytest.mark.parametrize(
    ("changed", "first_rule", "severity"),
    [
        (touched("auth/session.py"), "drift.high_risk_path", "high"),
        (touched("README", "billing/a/b"), "drift.high_risk_path", "high"),
        (touched("auth/a", truncated=True), "drift.high_risk_path", "high"),
        (touched("auth/a", known=False), "drift.high_risk_path", "high"),
        (touched("README", truncated=True), "drift.paths_unknown", "medium"),
        (touched(known=False), "drift.paths_unknown", "medium"),
        (touched("README", "authors", "docs/auth/x"), "drift.ungoverned_other", "info"),
        (touched(), "drift.ungoverned_other", "info"),
    ],
)
def test_a_high_risk_path_without_a_run_record(
    changed: ChangedPaths, first_rule: str, severity: str
) -> None:
    decision = evaluate_head_drift(head_facts(changed=changed), RISKY, NOON)

    (finding,) = decision.findings
    assert (finding.rule_hits[0].rule, finding.severity) == (first_rule, severity)
    assert finding.alerting == (severity == "high")


def test_with_a_run_record_a_high_risk_path_is_governed() -> None:
    facts = head_facts(changed=touched("auth/session.py"), runs=(run(A, B),))

    assert evaluate_head_drift(facts, RISKY, NOON).decision == "advance_snapshot"


def test_many_high_risk_paths_are_told_in_short() -> None:
    many = touched(*(f"auth/{number}" for number in range(9)))

    (finding,) = evaluate_head_drift(head_facts(changed=many), RISKY, NOON).findings

    assert finding.rule_hits[0].inputs == (
        ("paths", "auth/0, auth/1, auth/2, auth/3, auth/4 and 4 more"),
    )


def test_without_patterns_unknown_paths_are_nobodys_business() -> None:
    assert rules_of(head_facts(changed=touched(known=False))) == ["drift.ungoverned_other"]


@pytest.mark.parametrize(("governed", "observed"), [(None, B), (A, None)])
def test_a_head_that_is_missing_changes_no_paths(
    governed: str | None, observed: str | None
) -> None:
    facts = head_facts(
        "", changed=touched(known=False), governed_head=governed, observed_head=observed
    )

    rules = [
        hit.rule
        for draft in evaluate_head_drift(facts, RISKY, NOON).findings
        for hit in draft.rule_hits
    ]
    assert "drift.paths_unknown" not in rules
