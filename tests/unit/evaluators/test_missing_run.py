"""When a head under governance lacks its run record: what shows governance, how long to wait."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from governance.domain.policy import Policy
from reconciliation.domain.facts import GateFact, MissingRunFacts, PullRequestFact
from reconciliation.domain.findings import Decision, FindingDraft
from reconciliation.evaluators.missing_run import evaluate_missing_run, governance_activity
from tests.unit.evaluators.facts import (
    DEFAULTS,
    INSTANT,
    NOON,
    NULL_IDS,
    A,
    B,
    C,
    D,
    gate,
    lease,
    missing_run_facts,
    place,
    policy,
    request,
    run,
    running,
    seconds,
)

GATED = policy(changes={"required_gates": ["ci", "review"]})
NAMED = policy(branches={"naming": "reach/<task>/<timestamp>"})


def decide(facts: MissingRunFacts, rules: Policy = DEFAULTS) -> Decision:
    return evaluate_missing_run(facts, rules, NOON)


def finding_of(facts: MissingRunFacts, rules: Policy = DEFAULTS) -> FindingDraft:
    decision = decide(facts, rules)
    assert (decision.decision, decision.clean) == ("missing", False)
    (finding,) = decision.findings
    return finding


def rules_of(finding: FindingDraft) -> list[str]:
    return [hit.rule for hit in finding.rule_hits]


# --- what shows governance ------------------------------------------------------------------------

QUIET = missing_run_facts(leases=())


@pytest.mark.parametrize(
    ("change", "rules", "sign"),
    [
        ({"leases": (lease(),)}, DEFAULTS, ("lease", "lease-1")),
        ({"leases": (lease(scope="repo-wide"),)}, DEFAULTS, ("lease", "lease-1")),
        ({"gates": (gate("ci"),)}, GATED, ("gate", "ci")),
        ({"gates": (gate("ci", state="failure"),)}, GATED, ("gate", "ci")),
        (
            {"place": place("reach/login/20260301")},
            NAMED,
            ("branch_naming", "reach/<task>/<timestamp>"),
        ),
        (
            {"pull_requests": (request(base_branch="x", labels=("governed",)),)},
            DEFAULTS,
            ("label", "governed"),
        ),
        ({"pull_requests": (request(),)}, DEFAULTS, ("pull_request", "#7 onto main")),
        (
            {
                "pull_requests": (request(base_branch="rel"),),
                "base_classes": (("rel", "governed"),),
            },
            DEFAULTS,
            ("pull_request", "#7 onto rel"),
        ),
        (
            {
                "pull_requests": (request(base_branch="rel"),),
                "base_classes": (("rel", "protected"),),
            },
            DEFAULTS,
            ("pull_request", "#7 onto rel"),
        ),
    ],
)
def test_each_kind_of_activity_puts_a_head_under_governance(
    change: dict[str, Any], rules: Policy, sign: tuple[str, str]
) -> None:
    facts = replace(QUIET, **change)

    assert governance_activity(facts, rules) == (sign,)
    finding = finding_of(facts, rules)
    assert f"{sign[0]} {sign[1]}" in finding.summary
    assert decide(QUIET, rules).decision == "not_governed"


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"gates": (gate("ci"),)}, DEFAULTS),  # no gate is required
        ({"gates": (gate("lint"),)}, GATED),  # not a governed context
        ({"gates": (gate("ci", sha=A),)}, GATED),  # at another head
        ({"place": place("reach/login")}, NAMED),
        ({"place": place("reach//20260301")}, NAMED),
        ({"place": place("reach/login/20260301")}, DEFAULTS),
        ({"pull_requests": (request(base_branch="x", labels=("Governed",)),)}, DEFAULTS),
        (
            {"pull_requests": (request(base_branch="x"),), "base_classes": (("x", "other"),)},
            DEFAULTS,
        ),
        ({"pull_requests": (request(state="closed", labels=("governed",)),)}, DEFAULTS),
        ({"pull_requests": (request(from_fork=True, labels=("governed",)),)}, DEFAULTS),
    ],
)
def test_what_is_no_governance_activity(change: dict[str, Any], rules: Policy) -> None:
    facts = replace(QUIET, **change)

    assert governance_activity(facts, rules) == ()
    assert decide(facts, rules) == Decision("not_governed", "not_governed", clean=True)


@pytest.mark.parametrize("labels", [(), ("governed",)])
def test_a_pull_request_onto_the_branch_says_nothing_of_its_own_commits(
    labels: tuple[str, ...],
) -> None:
    main = replace(
        QUIET, place=place("main"), branch_class="default", pull_requests=(request(labels=labels),)
    )

    assert decide(main).decision == "not_governed"


def test_the_labels_are_the_policys() -> None:
    facts = replace(QUIET, pull_requests=(request(base_branch="x", labels=("reach",)),))

    rules = policy(changes={"governance_labels": ["reach"]})

    assert governance_activity(facts, rules) == (("label", "reach"),)


def test_every_sign_is_told_sorted() -> None:
    facts = replace(
        QUIET,
        place=place("reach/a/1"),
        leases=(lease("lease-2"), lease("lease-1")),
        gates=(gate("review"), gate("ci")),
        pull_requests=(request(head_branch="reach/a/1", labels=("governed",)),),
    )
    rules = policy(
        branches={"naming": "reach/<a>/<b>"}, changes={"required_gates": ["ci", "review"]}
    )

    assert governance_activity(facts, rules) == (
        ("branch_naming", "reach/<a>/<b>"),
        ("gate", "ci"),
        ("gate", "review"),
        ("label", "governed"),
        ("lease", "lease-1"),
        ("lease", "lease-2"),
        ("pull_request", "#7 onto main"),
    )


# --- a head and its record ------------------------------------------------------------------------


def test_a_head_without_its_record_is_missing_one_and_no_run_is_named() -> None:
    finding = finding_of(missing_run_facts())

    assert finding.stable_class == "missing_for_head"
    assert (finding.run_id, finding.lease_id) == (None, "lease-1")
    assert rules_of(finding) == ["run.missing_under_lease"]
    assert (finding.severity, finding.alerting) == ("medium", False)
    assert finding.expected == (("run_record", "one that ends at this head"),)
    assert finding.actual == (("observed_head", B), ("activity", "lease lease-1"))


def test_without_a_lease_it_weighs_less() -> None:
    finding = finding_of(replace(QUIET, pull_requests=(request(),)))

    assert rules_of(finding) == ["run.missing_for_head"]
    assert finding.rule_hits[0].weight == 50
    assert finding.lease_id is None


@pytest.mark.parametrize("base", [A, C, D])
def test_any_run_that_ended_there_and_succeeded_is_its_record(base: str) -> None:
    facts = missing_run_facts(runs=(run(base, B),))

    assert decide(facts) == Decision("recorded", "recorded", clean=True)


@pytest.mark.parametrize(
    "other",
    [
        run(A, C),
        run(B, A),
        run(A, B, status="failed"),
        run(A, B, status="abandoned"),
    ],
)
def test_a_run_that_failed_or_ended_elsewhere_is_no_record(other: Any) -> None:
    assert decide(missing_run_facts(runs=(other,))).decision == "missing"


@pytest.mark.parametrize("gone", [None, *NULL_IDS])
def test_a_branch_that_is_gone_has_no_head_to_record(gone: str | None) -> None:
    assert decide(missing_run_facts(observed_head=gone)).decision == "recorded"


# --- grace ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "decision"),
    [
        (seconds(0), "grace"),
        (seconds(600) - INSTANT, "grace"),
        (seconds(600), "missing"),
        (seconds(600) + INSTANT, "missing"),
    ],
)
def test_the_record_may_be_in_flight_for_ten_minutes(age: timedelta, decision: str) -> None:
    assert decide(missing_run_facts(head_changed_at=NOON - age)).decision == decision


def test_grace_comes_back_when_it_is_over_and_is_no_evidence() -> None:
    assert decide(missing_run_facts(head_changed_at=NOON - seconds(60))) == Decision(
        "grace", "grace", clean=False, defer_until=NOON + seconds(540)
    )


def test_the_grace_is_the_policys() -> None:
    facts = missing_run_facts(head_changed_at=NOON - seconds(60))

    assert decide(facts, policy(missing_run={"grace_seconds": 60})).decision == "missing"
    assert decide(facts, policy(missing_run={"grace_seconds": 61})).decision == "grace"


# --- a run that still runs ------------------------------------------------------------------------


def test_a_living_run_may_still_record_the_head() -> None:
    facts = missing_run_facts(runs=(running(heartbeat=NOON - seconds(10)),))

    assert decide(facts) == Decision(
        "running",
        "grace",
        clean=False,
        defer_until=NOON + seconds(290),
        reason="run run-9 is still running",
    )


@pytest.mark.parametrize(
    ("age", "decision"),
    [(seconds(300) - INSTANT, "running"), (seconds(300), "missing"), (seconds(9000), "missing")],
)
def test_a_run_that_lost_its_life_hides_nothing(age: timedelta, decision: str) -> None:
    assert decide(missing_run_facts(runs=(running(heartbeat=NOON - age),))).decision == decision


def test_of_several_runs_the_one_heard_of_last_counts() -> None:
    runs = (
        running("run-1", heartbeat=NOON - seconds(200)),
        running("run-2", heartbeat=NOON - seconds(100)),
        running("run-3", heartbeat=NOON - seconds(400)),
    )

    assert decide(missing_run_facts(runs=runs)).defer_until == NOON + seconds(200)


# --- merged without a run -------------------------------------------------------------------------


def merged(number: int = 7, **values: Any) -> PullRequestFact:
    return request(number, **({"state": "merged", "merge_sha": C} | values))


MERGED = missing_run_facts(leases=(), pull_requests=(merged(),))


@pytest.mark.parametrize("kind", ["default", "protected", "governed"])
def test_a_merge_onto_a_governed_branch_without_a_run_is_a_high_risk(kind: str) -> None:
    finding = finding_of(replace(MERGED, base_classes=(("main", kind),)))

    assert (finding.stable_class, finding.run_id) == ("merged_without_run", None)
    assert rules_of(finding) == ["run.missing_for_merge"]
    assert finding.rule_hits[0].inputs == (("pull_request", "#7"), ("onto", "main"))
    assert (finding.severity, finding.alerting) == ("high", True)
    assert finding.summary == "#7 was merged onto main without a run record."
    assert finding.actual == (("merge_sha", C), ("head_sha", B))


def test_a_merge_onto_an_ordinary_branch_is_nobodys_business() -> None:
    assert decide(replace(MERGED, base_classes=(("main", "other"),))).decision == "not_governed"


@pytest.mark.parametrize("recorded", [B, C])
def test_a_run_for_the_head_or_for_the_merge_is_enough(recorded: str) -> None:
    facts = replace(MERGED, runs=(run(A, recorded),))

    assert decide(facts).clean


def test_a_merge_stays_without_its_run_when_the_branch_is_gone() -> None:
    gone = replace(MERGED, observed_head=None)

    assert finding_of(gone).stable_class == "merged_without_run"


def test_a_merge_waits_for_its_grace_but_for_no_run() -> None:
    in_grace = replace(MERGED, head_changed_at=NOON - seconds(599))

    assert decide(in_grace).decision == "grace"
    assert decide(replace(MERGED, runs=(running(),))).decision == "missing"


@pytest.mark.parametrize(
    "change",
    [
        {"state": "closed"},
        {"from_fork": True},
        {"head_branch": "elsewhere"},
    ],
)
def test_what_was_not_merged_from_this_branch_is_not_its_merge(change: dict[str, Any]) -> None:
    facts = replace(MERGED, pull_requests=(merged(**change),))

    assert decide(facts).clean


def test_several_merges_are_told_in_one_finding() -> None:
    facts = replace(MERGED, pull_requests=(merged(9, merge_sha=D), merged(7)))

    finding = finding_of(facts)

    assert finding.summary == "#7, #9 were merged onto main without a run record."
    assert finding.actual == (("merge_sha", f"{C}, {D}"), ("head_sha", f"{B}, {B}"))


def test_a_missing_head_and_a_missing_merge_are_two_findings() -> None:
    facts = replace(MERGED, observed_head=D, leases=(lease(),))

    decision = decide(facts)

    assert [draft.stable_class for draft in decision.findings] == [
        "missing_for_head",
        "merged_without_run",
    ]
    assert decision.stable_class == "missing_for_head"


# --- gates ----------------------------------------------------------------------------------------

MERGED_AND_GONE = replace(MERGED, observed_head=None)


@pytest.mark.parametrize(
    ("gates", "lacking"),
    [
        ((), "ci, review"),
        ((gate("ci"),), "review"),
        ((gate("ci"), gate("review", state="failure")), "review"),
        ((gate("ci"), gate("review", state="pending")), "review"),
        ((gate("ci"), gate("review", sha=D)), "review"),  # passed at another head
        ((gate("ci"), gate("lint")), "review"),
    ],
)
def test_required_gates_that_did_not_pass_at_what_was_merged(
    gates: tuple[Any, ...], lacking: str
) -> None:
    finding = finding_of(replace(MERGED_AND_GONE, gates=gates), GATED)

    assert rules_of(finding) == ["run.missing_for_merge", "run.gates_missing"]
    assert finding.rule_hits[1].inputs == (("gates", lacking),)


@pytest.mark.parametrize("at", [B, C])
def test_gates_may_have_passed_at_the_head_or_at_the_merge(at: str) -> None:
    facts = replace(MERGED_AND_GONE, gates=(gate("ci"), gate("review", sha=at)))

    assert rules_of(finding_of(facts, GATED)) == ["run.missing_for_merge"]


# --- a merge with its run, past its gates ---------------------------------------------------------

RECORDED = replace(MERGED_AND_GONE, runs=(run(A, B),))


@pytest.mark.parametrize(
    ("gates", "lacking"),
    [
        ((), "ci, review"),
        ((gate("ci"),), "review"),
        ((gate("ci"), gate("review", state="failure")), "review"),
        ((gate("ci"), gate("review", state="pending")), "review"),
        ((gate("ci"), gate("review", sha=D)), "review"),
    ],
)
def test_a_recorded_merge_that_passed_a_required_gate_by_is_a_high_risk(
    gates: tuple[GateFact, ...], lacking: str
) -> None:
    finding = finding_of(replace(RECORDED, gates=gates), GATED)

    assert (finding.stable_class, finding.severity, finding.alerting) == (
        "merged_without_gates",
        "high",
        True,
    )
    assert rules_of(finding) == ["run.gates_missing"]
    assert finding.rule_hits[0].inputs == (
        ("gates", lacking),
        ("pull_request", "#7"),
        ("onto", "main"),
    )
    assert finding.expected == (("gates", f"a success of {lacking}"),)
    assert finding.actual == (("merge_sha", C), ("head_sha", B))
    assert finding.run_id is None


@pytest.mark.parametrize("state", ["success", "passed"])
@pytest.mark.parametrize("at", [B, C])
def test_a_gate_counts_in_the_words_of_hosts_and_of_run_records(at: str, state: str) -> None:
    passed = (gate("ci", sha=at, state=state), gate("review", sha=at, state=state))

    assert decide(replace(RECORDED, gates=passed), GATED).clean


def test_without_required_gates_a_recorded_merge_is_fine() -> None:
    assert decide(RECORDED).clean


def test_unrecorded_and_ungated_merges_are_two_findings() -> None:
    facts = replace(
        RECORDED, pull_requests=(merged(), merged(8, head_sha=D, merge_sha="e" * 40)), gates=()
    )

    decision = decide(facts, GATED)

    assert [draft.stable_class for draft in decision.findings] == [
        "merged_without_run",
        "merged_without_gates",
    ]
    assert [draft.summary[:2] for draft in decision.findings] == ["#8", "#7"]


def test_a_gate_that_is_passed_by_waits_for_its_grace_but_for_no_run() -> None:
    in_grace = replace(RECORDED, head_changed_at=NOON - seconds(599))

    assert decide(in_grace, GATED).decision == "grace"
    assert decide(replace(RECORDED, runs=(run(A, B), running())), GATED).decision == "missing"


# --- when a merge was made ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "decision"),
    [
        (seconds(600) - INSTANT, "grace"),
        (seconds(600), "missing"),
        (seconds(0), "grace"),
        # A host's clock that is ahead is not waited for.
        (-INSTANT, "missing"),
        (-timedelta(days=365), "missing"),
    ],
)
def test_the_record_of_a_merge_may_be_in_flight_since_the_merge(
    age: timedelta, decision: str
) -> None:
    just_merged = replace(MERGED, pull_requests=(merged(merged_at=NOON - age),))

    assert decide(just_merged).decision == decision


def test_a_merge_that_has_its_record_delays_no_other() -> None:
    recorded = merged(8, head_sha=D, merged_at=NOON - seconds(1))

    facts = replace(MERGED, pull_requests=(merged(), recorded), runs=(run(A, D),))

    assert decide(facts).decision == "missing"


# --- merges from forks ----------------------------------------------------------------------------

FROM_FORK = missing_run_facts(
    place=place("main"),
    branch_class="default",
    leases=(),
    pull_requests=(merged(from_fork=True),),
)


def test_the_branch_that_a_fork_was_merged_onto_answers_for_the_merge() -> None:
    finding = finding_of(FROM_FORK)

    assert (finding.stable_class, rules_of(finding)) == (
        "merged_without_run",
        ["run.missing_for_merge"],
    )
    assert decide(replace(FROM_FORK, runs=(run(A, C),))).clean


@pytest.mark.parametrize(
    "change",
    [
        {"base_classes": (("main", "other"),)},
        {"place": place("topic"), "branch_class": "other"},
        {"pull_requests": (merged(),)},
        {"pull_requests": (request(from_fork=True),)},
    ],
)
def test_a_branch_answers_for_no_other_merge(change: dict[str, Any]) -> None:
    assert decide(replace(FROM_FORK, **change)).clean


# --- a branch where the default branch is ---------------------------------------------------------


def test_a_branch_without_a_change_of_its_own_needs_no_record() -> None:
    """A branch just made from main, with its lease: nothing was done there yet."""
    fresh = missing_run_facts(same_as="main")

    assert decide(fresh) == Decision("recorded", "recorded", clean=True)
    assert decide(replace(fresh, same_as="")).decision == "missing"


def test_its_merges_need_theirs_all_the_same() -> None:
    assert finding_of(replace(MERGED, same_as="main")).stable_class == "merged_without_run"


# --- modes ----------------------------------------------------------------------------------------


def test_a_check_that_is_off_asks_nothing() -> None:
    assert decide(missing_run_facts(), policy(missing_run={"mode": "off"})) == Decision(
        "off", "off", clean=True, reason="missing_run is off"
    )


def test_a_check_that_observes_raises_no_alert() -> None:
    rules = policy(missing_run={"mode": "observe"})

    assert (finding_of(MERGED, rules).severity, finding_of(MERGED, rules).alerting) == (
        "high",
        False,
    )


def test_rules_that_are_off_find_nothing() -> None:
    rules = policy({"run.missing_under_lease": {"mode": "off"}})

    assert decide(missing_run_facts(), rules) == Decision(
        "off", "missing", clean=True, reason="every rule that applies is off"
    )


def test_a_policy_may_weigh_a_missing_run_anew() -> None:
    finding = finding_of(missing_run_facts(), policy({"run.missing_under_lease": {"weight": 90}}))

    assert (finding.severity, finding.alerting) == ("critical", True)
