"""Which branches may be recommended for retirement, and which never, whatever else is true."""

import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from governance.domain.policy import Policy
from reconciliation.domain.facts import StaleFacts
from reconciliation.domain.findings import Decision, Evidence, FindingDraft, StackedRequest
from reconciliation.evaluators.stale_branch import evaluate_stale_branch
from tests.unit.evaluators.facts import (
    DEFAULTS,
    INSTANT,
    NOON,
    NULL_IDS,
    A,
    B,
    C,
    lease,
    place,
    policy,
    request,
    running,
    stale_facts,
)
from tests.unit.evaluators.strategies import PATIENT, policies, stale_branch_facts

DAY = timedelta(days=1)


def decide(facts: StaleFacts, rules: Policy = DEFAULTS) -> Decision:
    return evaluate_stale_branch(facts, rules, NOON)


def finding_of(facts: StaleFacts, rules: Policy = DEFAULTS) -> FindingDraft:
    (finding,) = decide(facts, rules).findings
    return finding


# --- exemptions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"observed_head": None}, "gone"),
        ({"observed_head": NULL_IDS[0]}, "gone"),
        ({"observed_head": NULL_IDS[1]}, "gone"),
        ({"default_branch": "topic"}, "default_branch"),
        ({"branch_class": "default"}, "default_branch"),
        ({"default_branch": ""}, "default_branch_unknown"),
        ({"branch_class": "protected"}, "protected_branch"),
        ({"place": place("gh-readonly-queue/main/pr-7")}, "kept_by_convention"),
        ({"pull_requests_from": (request(),)}, "open_pull_request_from"),
        (
            {"pull_requests_onto": (request(head_branch="other", base_branch="topic"),)},
            "open_pull_request_onto: deleting it would close #7",
        ),
        ({"leases": (lease(),)}, "live_lease"),
        ({"leases": (lease(scope="repo-wide"),)}, "live_lease"),
        ({"leases": (lease(scope="path-prefix", paths=("a",)),)}, "live_lease"),
        ({"running_runs": (running(),)}, "running_run"),
        ({"last_activity_at": None}, "activity_unknown"),
    ],
)
def test_one_reason_is_enough_to_keep_a_branch(change: dict[str, Any], reason: str) -> None:
    long_merged = stale_facts(merged_by="pull_request")
    assert decide(long_merged).decision == "recommend_retirement"

    decision = decide(replace(long_merged, **change))

    assert replace(decision, evidence=None) == Decision(
        "exempt", "active", clean=True, reason=reason
    )


@pytest.mark.parametrize("pattern", ["topic", "t*", "**", "[t]opic"])
def test_the_keep_list_is_kept(pattern: str) -> None:
    rules = policy(branches={"keep": [pattern]})

    assert decide(stale_facts(), rules).reason == "keep_list"


@pytest.mark.parametrize("pattern", ["other", "topic/*", "TOPIC", "topic/**/x"])
def test_a_keep_list_for_others_keeps_others(pattern: str) -> None:
    rules = policy(branches={"keep": [pattern]})

    assert decide(stale_facts(), rules).decision == "recommend_retirement"


@pytest.mark.parametrize("state", ["closed", "merged"])
def test_a_pull_request_that_ended_keeps_nothing(state: str) -> None:
    facts = stale_facts(
        pull_requests_from=(request(state=state),),
        pull_requests_onto=(request(8, state=state, base_branch="topic"),),
    )

    assert decide(facts).decision == "recommend_retirement"


@pytest.mark.parametrize("branch_class", ["governed", "other"])
def test_governed_and_ordinary_branches_may_go(branch_class: str) -> None:
    facts = stale_facts(branch_class=branch_class)

    assert decide(facts).decision == "recommend_retirement"


@PATIENT
@given(stale_branch_facts(), policies())
def test_the_default_branch_is_never_proposed_whatever_else_is_true(
    facts: StaleFacts, rules: Policy
) -> None:
    by_name = replace(facts, default_branch=facts.place.branch)
    by_class = replace(facts, branch_class="default")
    unknown = replace(facts, default_branch="")

    for one in (by_name, by_class, unknown):
        decision = evaluate_stale_branch(one, rules, NOON)
        assert decision.decision in {"exempt", "off"}
        assert decision.findings == ()


@PATIENT
@given(stale_branch_facts(), policies())
def test_a_recommendation_is_only_ever_made_when_nothing_speaks_for_the_branch(
    facts: StaleFacts, rules: Policy
) -> None:
    decision = evaluate_stale_branch(facts, rules, NOON)

    if decision.decision in {"recommend_retirement", "notice"}:
        assert facts.observed_head not in {None, "", *NULL_IDS}
        assert facts.place.branch != facts.default_branch
        assert facts.branch_class in {"governed", "other"}
        assert not facts.leases
        assert not facts.running_runs
        assert "open" not in {one.state for one in facts.pull_requests_from}
        assert "open" not in {one.state for one in facts.pull_requests_onto}
        assert facts.last_activity_at is not None
        assert NOON - facts.last_activity_at >= rules.stale_branch.idle_days * DAY


# --- thresholds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("idle", "decision"),
    [
        (-100 * DAY, "exempt"),  # a commit dated in the future: nothing is known
        (-1 * DAY - INSTANT, "exempt"),
        (-1 * DAY, "active"),  # as far ahead as another clock may be
        (0 * DAY, "active"),
        (60 * DAY - INSTANT, "active"),
        (60 * DAY, "notice"),
        (60 * DAY + INSTANT, "notice"),
        (67 * DAY - INSTANT, "notice"),
        (67 * DAY, "recommend_retirement"),
        (67 * DAY + INSTANT, "recommend_retirement"),
    ],
)
def test_idle_then_noticed_then_recommended(idle: timedelta, decision: str) -> None:
    assert decide(stale_facts(idle=idle)).decision == decision


@pytest.mark.parametrize(
    ("idle_days", "notice_days", "idle", "decision"),
    [
        (1, 0, DAY - INSTANT, "active"),
        (1, 0, DAY, "recommend_retirement"),
        (10, 3, 12 * DAY, "notice"),
        (10, 3, 13 * DAY, "recommend_retirement"),
        (200, 7, 100 * DAY, "active"),
    ],
)
def test_the_days_are_the_policys(
    idle_days: int, notice_days: int, idle: timedelta, decision: str
) -> None:
    rules = policy(stale_branch={"idle_days": idle_days, "notice_days": notice_days})

    assert decide(stale_facts(idle=idle), rules).decision == decision


# --- sub-classes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("merged_by", "stable_class", "rule"),
    [
        ("pull_request", "merged", "stale.idle_merged"),
        ("ancestry", "merged", "stale.idle_merged"),
        ("equivalence", "merged", "stale.idle_merged"),
        ("", "unmerged", "stale.idle_unmerged"),
    ],
)
def test_how_it_was_merged_is_told(merged_by: str, stable_class: str, rule: str) -> None:
    finding = finding_of(stale_facts(merged_by=merged_by))

    assert (finding.stable_class, finding.rule_hits[0].rule) == (stable_class, rule)
    assert finding.rule_hits[0].inputs == (("merged_by", merged_by),)
    assert (finding.severity, finding.alerting) == ("low", False)


def test_a_branch_of_which_no_merge_can_be_told_is_not_called_unmerged() -> None:
    unknown = "12 older commits there were not compared"
    finding = finding_of(stale_facts(merge_unknown=unknown))

    assert finding.stable_class == "merge_unknown"
    assert finding.rule_hits[0].rule == "stale.idle_merge_unknown"
    assert ("merge_unknown", unknown) in finding.actual
    assert f"whether it is merged cannot be told: {unknown}" in finding.summary


def test_a_merge_that_is_known_leaves_nothing_unknown() -> None:
    finding = finding_of(stale_facts(merged_by="pull_request", merge_unknown="too large"))

    assert finding.stable_class == "merged"
    assert "cannot be told" not in finding.summary


def test_a_notice_and_its_recommendation_are_one_finding() -> None:
    notice = finding_of(stale_facts(idle=61 * DAY, merged_by="ancestry"))
    recommended = finding_of(stale_facts(idle=68 * DAY, merged_by="ancestry"))

    assert notice.stable_class == recommended.stable_class == "merged"
    assert (notice.severity, recommended.severity) == ("info", "low")


def test_a_notice_says_how_long_there_is_and_gives_no_command_to_delete_with() -> None:
    six_left = finding_of(stale_facts(idle=61 * DAY))
    one_left = finding_of(stale_facts(idle=66 * DAY))

    assert six_left.command == ""
    assert "in 6 days its retirement will be recommended" in six_left.recommendation
    assert "in 1 day its retirement will be recommended" in one_left.recommendation
    assert "delete" not in six_left.recommendation.lower()


def test_a_recommendation_carries_the_evidence_the_head_and_the_way_back() -> None:
    merged = request(7, state="merged", head_sha=A)
    finding = finding_of(stale_facts(merged_by="pull_request", pull_requests_from=(merged,)))

    assert dict(finding.actual) == {
        "head_sha": A,
        "merged_by": "pull_request",
        "merged_pull_requests": "#7",
        "behind_default": "3",
        "idle_days": "100",
        "restore": f"git push origin {A}:refs/heads/topic",
    }
    assert finding.expected == (("activity_within_days", "60"),)
    assert f"git push origin {A}:refs/heads/topic" in finding.recommendation
    assert shlex.split(finding.command) == [
        "git",
        "push",
        f"--force-with-lease=refs/heads/topic:{A}",
        "origin",
        "--delete",
        "refs/heads/topic",
    ]


def test_what_is_not_known_to_be_merged_is_not_said_to_be_nowhere_else() -> None:
    finding = finding_of(stale_facts(behind_default=None))

    assert finding.summary == "topic has been idle for 100 days and no merge of it is known."
    assert "Ask its author" in finding.recommendation
    assert dict(finding.actual)["behind_default"] == ""


# --- the evidence ---------------------------------------------------------------------------------

STACKED = (
    request(9, head_branch="child", head_sha=B, base_branch="topic"),
    request(8, head_branch="fork", head_sha=C, base_branch="topic", from_fork=True),
    request(7, state="closed", base_branch="topic"),
)
WOULD_CLOSE = (StackedRequest(8, "fork", C, True), StackedRequest(9, "child", B, False))


@pytest.mark.parametrize("idle", [61 * DAY, 100 * DAY])
def test_notice_and_recommendation_carry_the_evidence_in_parts(idle: timedelta) -> None:
    merged = (request(5, state="merged", head_sha=A), request(3, state="merged", head_sha=A))

    decision = decide(stale_facts(idle=idle, merged_by="pull_request", pull_requests_from=merged))

    assert decision.evidence == Evidence(
        head_sha=A,
        restore_command=f"git push origin {A}:refs/heads/topic",
        merged_by="pull_request",
        merged_pull_requests=(3, 5),
        would_close=(),
    )


@pytest.mark.parametrize("idle", [DAY, 100 * DAY])
def test_the_pull_requests_that_a_deletion_would_close_are_listed(idle: timedelta) -> None:
    decision = decide(stale_facts(idle=idle, pull_requests_onto=STACKED))

    assert decision.reason == "open_pull_request_onto: deleting it would close #8, #9"
    assert decision.evidence is not None
    assert decision.evidence.would_close == WOULD_CLOSE


def test_they_are_listed_whatever_else_keeps_the_branch() -> None:
    facts = stale_facts(
        pull_requests_from=(request(),), pull_requests_onto=STACKED, behind_default=9
    )

    decision = decide(facts)

    assert (decision.decision, decision.reason) == ("sync_base", "open_pull_request_from")
    assert decision.evidence is not None
    assert decision.evidence.would_close == WOULD_CLOSE
    assert ("stacked_on_it", "#8, #9") in decision.findings[0].actual


@pytest.mark.parametrize(
    "change",
    [
        {"observed_head": None},
        {"default_branch": "topic"},
        {"default_branch": ""},
        {"branch_class": "default"},
        {"branch_class": "protected"},
        {"place": place("gh-readonly-queue/main/pr-7")},
    ],
)
def test_nothing_is_said_about_retiring_what_never_may_be(change: dict[str, Any]) -> None:
    stacked = stale_facts(pull_requests_onto=STACKED)

    assert decide(replace(stacked, **change)).evidence is None


# --- a base that is left behind -------------------------------------------------------------------

IN_USE = stale_facts(idle=DAY, leases=(lease(),), behind_default=9)


@pytest.mark.parametrize(
    ("behind", "decision"), [(None, "exempt"), (7, "exempt"), (8, "exempt"), (9, "sync_base")]
)
def test_a_branch_in_use_may_be_so_many_commits_behind(behind: int | None, decision: str) -> None:
    assert decide(replace(IN_USE, behind_default=behind)).decision == decision


def test_how_many_is_the_policys() -> None:
    assert decide(IN_USE, policy(stale_branch={"stale_base_commits": 9})).decision == "exempt"
    assert decide(IN_USE, policy(stale_branch={"stale_base_commits": 1})).decision == "sync_base"


@pytest.mark.parametrize(
    "use",
    [
        {"leases": (lease(),)},
        {"running_runs": (running(),)},
        {"pull_requests_from": (request(),)},
        {"branch_class": "governed"},
    ],
)
def test_what_counts_as_use(use: dict[str, Any]) -> None:
    finding = finding_of(stale_facts(idle=DAY, behind_default=20, **use))

    assert finding.stable_class == "stale_base"
    assert finding.rule_hits[0].inputs == (("behind", "20"), ("limit", "8"))
    assert (finding.severity, finding.alerting) == ("low", False)


def test_an_ordinary_branch_that_nobody_uses_may_stay_behind() -> None:
    assert decide(stale_facts(idle=DAY, behind_default=500)).decision == "active"


def test_a_governed_branch_that_is_merged_is_done_with() -> None:
    merged = stale_facts(idle=DAY, branch_class="governed", behind_default=20, merged_by="ancestry")

    assert decide(merged).decision == "active"
    assert decide(replace(merged, leases=(lease(),))).decision == "sync_base"


@pytest.mark.parametrize(
    "change",
    [
        {"observed_head": None},
        {"default_branch": "topic"},
        {"default_branch": ""},
        {"branch_class": "default"},
        {"branch_class": "protected"},
        {"place": place("gh-readonly-queue/main/pr-7")},
    ],
)
def test_some_branches_never_follow_the_default_branch(change: dict[str, Any]) -> None:
    assert decide(replace(IN_USE, **change)).decision == "exempt"


def test_the_command_to_sync_quotes_the_default_branch_for_the_shell() -> None:
    hostile = replace(IN_USE, default_branch="main;reboot")

    assert finding_of(hostile).command == ("git fetch origin && git rebase 'origin/main;reboot'")
    assert finding_of(IN_USE).command == "git fetch origin && git rebase origin/main"


# --- modes ----------------------------------------------------------------------------------------


def test_a_check_that_is_off_asks_nothing() -> None:
    assert decide(stale_facts(), policy(stale_branch={"mode": "off"})) == Decision(
        "off", "active", clean=True, reason="stale_branch is off"
    )


@pytest.mark.parametrize(
    ("facts", "rule", "decision"),
    [
        (stale_facts(), "stale.idle_unmerged", "off"),
        (stale_facts(merged_by="ancestry"), "stale.idle_merged", "off"),
        (stale_facts(idle=61 * DAY), "stale.notice", "off"),
        (IN_USE, "stale.base_behind", "exempt"),
    ],
)
def test_a_rule_that_is_off_finds_nothing(facts: StaleFacts, rule: str, decision: str) -> None:
    answer = decide(facts, policy({rule: {"mode": "off"}}))

    assert (answer.decision, answer.findings, answer.clean) == (decision, (), True)


def test_a_heavy_stale_branch_may_alert_unless_it_is_only_observed() -> None:
    heavy = {"stale.idle_unmerged": {"weight": 70}}

    assert finding_of(stale_facts(), policy(heavy)).alerting
    assert not finding_of(stale_facts(), policy(heavy, stale_branch={"mode": "observe"})).alerting


def test_the_observed_head_is_named_not_the_one_of_a_pull_request() -> None:
    merged = request(7, state="merged", head_sha=B)

    finding = finding_of(stale_facts(pull_requests_from=(merged,)))

    assert dict(finding.actual)["head_sha"] == A
    assert B not in finding.recommendation + finding.command
