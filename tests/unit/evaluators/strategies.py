"""Arbitrary valid facts and policies for properties of the rules."""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from governance.domain.policy import Policy
from reconciliation.domain.facts import (
    AlertFact,
    AlertFacts,
    ChangedPaths,
    FindingFact,
    GateFact,
    HeadFacts,
    LeaseFact,
    LeaseRenewalFacts,
    MergeFact,
    MissingRunFacts,
    Place,
    PullRequestFact,
    Push,
    RunFact,
    StaleFacts,
    UpdateFact,
)
from reconciliation.domain.observation import AnnouncedMove, HeadMove, ObservationFacts
from reconciliation.domain.risk import RULE_WEIGHTS
from tests.unit.evaluators.facts import NOON, NULL_IDS, A, B, C, D, policy

PATIENT = settings(deadline=None)
"""A busy machine is no reason to fail."""

SHAS = st.sampled_from([A, B, C, D, "1" * 64])
ANY_SHAS = st.one_of(SHAS, st.sampled_from(NULL_IDS), st.just(""))
HEADS = st.none() | SHAS | st.sampled_from(NULL_IDS)
BRANCHES = st.sampled_from(
    ["main", "topic", "release/2.1", "reach/a/1", "gh-readonly-queue/main/1", "fête/ß", "a\\xff"]
)
NAMES = st.sampled_from(["", "alice", "bob", "reach-cli", "Ünïcode ☃", "a b;c'd\"e`f$(g)"])
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
MOMENTS = st.integers(-(10**14), 10**14).map(lambda n: NOON + timedelta(microseconds=n))
IDS = st.sampled_from(["run-1", "run-2", "run-3", "lease-1", "lease-2", ""])
COUNTS = st.integers(0, 10**6)
CLASSES = st.sampled_from(["default", "protected", "governed", "other"])
STATUSES = st.sampled_from(["running", "succeeded", "failed", "abandoned"])


def tuples(items: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return tuples of a few items."""
    return st.lists(items, max_size=most).map(tuple)


def named(items: st.SearchStrategy[Any], name: str) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return tuples of a few items that all differ in one field, as rows of a table do."""
    return st.lists(items, max_size=4, unique_by=lambda one: getattr(one, name)).map(tuple)


PLACES = st.builds(
    Place,
    tenant=st.sampled_from(["acme", "borealis"]),
    workspace=st.just("main"),
    repo=st.sampled_from(["api", "web"]),
    branch=BRANCHES,
)
RUNS = st.builds(
    RunFact,
    run_id=IDS,
    base_sha=ANY_SHAS,
    head_sha=ANY_SHAS,
    status=STATUSES,
    actor=NAMES,
    lease_id=IDS,
    last_heartbeat_at=MOMENTS,
    gates=st.sampled_from([(), (("ci", "passed"),), (("ci", "failed"), ("lint", "pending"))]),
)
GATES = st.builds(
    GateFact,
    context=st.sampled_from(["ci", "lint"]),
    sha=ANY_SHAS,
    state=st.sampled_from(["success", "failure", "pending"]),
)
ALIASES = st.sampled_from([(), (("alice", "bob"),), (("reach-cli", "alice"),)])
LEASES = st.builds(
    LeaseFact,
    lease_id=st.sampled_from(["lease-1", "lease-2", "lease-3"]),
    scope=st.sampled_from(["repo-wide", "branch-level", "path-prefix"]),
    paths=tuples(st.sampled_from(["auth", "web", "web/css"])),
    user_id=NAMES,
    agent_id=NAMES,
    run_id=IDS,
    expires_at=MOMENTS,
    acquired_at=st.none() | MOMENTS,
    ended_at=st.none() | MOMENTS,
)
PUSHES = st.builds(Push, pusher=NAMES, before=HEADS, after=HEADS, at=MOMENTS)
REQUESTS = st.builds(
    PullRequestFact,
    number=st.integers(1, 9),
    state=st.sampled_from(["open", "closed", "merged"]),
    head_branch=BRANCHES,
    head_sha=ANY_SHAS,
    base_branch=BRANCHES,
    merge_sha=ANY_SHAS,
    from_fork=st.booleans(),
    labels=tuples(st.sampled_from(["governed", "wip"])),
    merged_at=st.none() | MOMENTS,
)
UPDATES = st.builds(
    UpdateFact,
    source=BRANCHES,
    before=SHAS,
    after=SHAS,
    change=st.sampled_from(["same", "differs", "unknown"]),
    reason=TEXT,
)
MERGES = st.builds(
    MergeFact,
    number=st.integers(1, 9),
    method=st.sampled_from(["merge", "squash", "rebase", "fast_forward"]),
    before=SHAS,
    after=SHAS,
    change=st.sampled_from(["same", "differs", "unknown"]),
    reason=TEXT,
    source_branch=BRANCHES,
    source_bases=tuples(SHAS, 2),
    source_head=SHAS,
    from_fork=st.booleans(),
    runs=named(RUNS, "run_id"),
    updates=tuples(UPDATES, 2),
    pushes=tuples(PUSHES, 2),
    leases=named(LEASES, "lease_id"),
    gates=tuples(GATES, 2),
)
CHANGED = st.builds(
    ChangedPaths,
    known=st.booleans(),
    paths=tuples(st.sampled_from(["auth/a", "auth/b", "web/css/x", "README"])),
    truncated=st.booleans(),
)


def head_drift_facts() -> st.SearchStrategy[HeadFacts]:
    """Return facts of head drift."""
    return st.builds(
        HeadFacts,
        place=PLACES,
        branch_class=CLASSES,
        governed_head=HEADS,
        observed_head=HEADS,
        head_changed_at=MOMENTS,
        was_gone=st.booleans(),
        announced_by=st.sampled_from(["webhook", "sweep", "manual", ""]),
        pusher=NAMES,
        relation=st.sampled_from(
            ["", "same", "ancestor", "descendant", "diverged", "unrelated", "unknown", "sideways"]
        ),
        relation_reason=TEXT,
        ahead=st.none() | COUNTS,
        behind=st.none() | COUNTS,
        changed=CHANGED,
        committer=TEXT,
        runs=named(RUNS, "run_id"),
        leases=named(LEASES, "lease_id"),
        merged_pull_requests=named(REQUESTS, "number"),
        open_pull_requests=named(REQUESTS, "number"),
        previous_head=HEADS,
        pushes=tuples(PUSHES),
        merged_from=named(REQUESTS, "number"),
        open_onto=named(REQUESTS, "number"),
        gates=tuples(GATES),
        aliases=ALIASES,
        merges=named(MERGES, "number"),
        updates=tuples(UPDATES, 2),
        inside_runs=st.sampled_from([(), ("run-1",)]),
    )


def stale_branch_facts() -> st.SearchStrategy[StaleFacts]:
    """Return facts of a branch that may be stale."""
    return st.builds(
        StaleFacts,
        place=PLACES,
        branch_class=CLASSES,
        default_branch=BRANCHES | st.just(""),
        observed_head=HEADS,
        last_activity_at=st.none() | MOMENTS,
        merged_by=st.sampled_from(["", "pull_request", "ancestry", "equivalence"]),
        merge_unknown=st.sampled_from(["", "12 older commits there were not compared"]),
        behind_default=st.none() | COUNTS,
        pull_requests_from=named(REQUESTS, "number"),
        pull_requests_onto=named(REQUESTS, "number"),
        leases=named(LEASES, "lease_id"),
        running_runs=named(RUNS, "run_id"),
    )


def missing_run_facts() -> st.SearchStrategy[MissingRunFacts]:
    """Return facts of a branch that may lack a run record."""
    gates = st.builds(
        GateFact,
        context=st.sampled_from(["ci", "review", "lint"]),
        sha=ANY_SHAS,
        state=st.sampled_from(["success", "passed", "failure", "pending"]),
    )
    bases = st.dictionaries(BRANCHES, CLASSES, max_size=4)
    return st.builds(
        MissingRunFacts,
        place=PLACES,
        branch_class=CLASSES,
        observed_head=HEADS,
        governed_head=HEADS,
        head_changed_at=MOMENTS,
        runs=named(RUNS, "run_id"),
        leases=named(LEASES, "lease_id"),
        gates=tuples(gates),
        pull_requests=named(REQUESTS, "number"),
        base_classes=bases.map(lambda found: tuple(found.items())),
        same_as=st.sampled_from(["", "main"]),
        head_push=st.none() | PUSHES,
        push_leases=named(LEASES, "lease_id"),
        aliases=ALIASES,
        base_gates=st.sampled_from([(), (("main", ("ci",)),)]),
    )


def lease_renewal_facts() -> st.SearchStrategy[LeaseRenewalFacts]:
    """Return facts of a lease."""
    return st.builds(
        LeaseRenewalFacts,
        place=PLACES,
        lease_id=IDS,
        state=st.sampled_from(["held", "released", "expired", "broken"]),
        holder=NAMES,
        acquired_at=MOMENTS,
        expires_at=MOMENTS,
        max_expires_at=MOMENTS,
        ttl_seconds=st.integers(30, 86_400),
        last_heartbeat_at=MOMENTS,
        run_id=IDS,
        run_status=STATUSES | st.just(""),
        run_last_heartbeat_at=st.none() | MOMENTS,
        other_runs=named(RUNS, "run_id"),
    )


FINGERPRINTS = st.sampled_from(["1" * 64, "2" * 64, "3" * 64])
SEVERITIES = st.sampled_from(["info", "low", "medium", "high", "critical"])


def divergence_alert_facts() -> st.SearchStrategy[AlertFacts]:
    """Return findings and alerts of a branch."""
    findings = st.builds(
        FindingFact,
        finding_id=COUNTS,
        fingerprint=FINGERPRINTS,
        check_kind=st.sampled_from(["head_drift", "missing_run"]),
        stable_class=TEXT,
        state=st.sampled_from(["open", "resolved"]),
        severity=SEVERITIES,
        alerting=st.booleans(),
        rule_ids=tuples(st.sampled_from(sorted(RULE_WEIGHTS))),
        reopened_count=st.integers(0, 3),
    )
    alerts = st.builds(
        AlertFact,
        fingerprint=FINGERPRINTS,
        state=st.sampled_from(["open", "acknowledged", "snoozed", "resolved"]),
        severity=SEVERITIES,
        state_digest=st.sampled_from(["", "d" * 64]),
        acknowledged_state_digest=st.sampled_from(["", "d" * 64]),
        acknowledge_expires_at=st.none() | MOMENTS,
        snoozed_until=st.none() | MOMENTS,
        opened_at=MOMENTS,
        escalation_step=st.integers(0, 5),
        next_escalation_at=st.none() | MOMENTS,
        ladder=tuples(st.tuples(NAMES, st.integers(0, 2_592_000))),
        snoozed_state_digest=st.sampled_from(["", "d" * 64]),
        answered_moves=st.none() | st.integers(0, 3),
        reopened_count=st.integers(0, 3),
        reopenings=tuples(MOMENTS),
        flapping_until=st.none() | MOMENTS,
        resolved_at=st.none() | MOMENTS,
    )
    return st.builds(
        AlertFacts,
        place=PLACES,
        governed_head=HEADS,
        observed_head=HEADS,
        findings=named(findings, "fingerprint"),
        alerts=named(alerts, "fingerprint"),
        head_changes=st.integers(0, 3),
    )


def observation_facts() -> st.SearchStrategy[ObservationFacts]:
    """Return what one reading of a repository brought."""
    moves = st.builds(
        HeadMove,
        branch=BRANCHES,
        before=HEADS,
        after=HEADS,
        ordinal=COUNTS,
        announced_by=st.sampled_from(["webhook", "sweep", "manual"]),
        pusher=NAMES,
        announced_at=st.none() | MOMENTS,
        pushes=tuples(PUSHES),
    )
    calls = st.builds(
        AnnouncedMove,
        branch=BRANCHES,
        before=HEADS,
        after=HEADS,
        pusher=NAMES,
        announced_at=MOMENTS,
    )
    return st.builds(
        ObservationFacts,
        place=PLACES,
        default_branch=BRANCHES,
        heads_count=COUNTS,
        heads_digest=TEXT,
        previous_digest=TEXT,
        moves=named(moves, "branch"),
        late_announcements=named(calls, "branch"),
        late_pushes=tuples(calls),
    )


FACTS: dict[str, st.SearchStrategy[Any]] = {
    "divergence_alert": divergence_alert_facts(),
    "head_drift": head_drift_facts(),
    "lease_renewal": lease_renewal_facts(),
    "missing_run": missing_run_facts(),
    "observe_refs": observation_facts(),
    "stale_branch": stale_branch_facts(),
}
"""Arbitrary valid facts by task kind."""

_MODES = ("alert", "observe", "off")
_WINDOW = {
    "branch": "**",
    "actor": "*",
    "starts_at": "2026-01-01T00:00:00.000000Z",
    "ends_at": "2026-03-02T12:00:00.000000Z",
}
_LADDER = [{"role": f"role-{step}", "after_seconds": step * 900} for step in range(3)]


def _policy_number(number: int) -> Policy:
    """Return one of many policies: each setting cycles at a pace of its own."""
    mode = _MODES[number % 3]
    rules = sorted(RULE_WEIGHTS)[number % 5 :: 7]
    return policy(
        {
            rule: {"mode": _MODES[(number + place) % 3]} | ({"weight": number} if place % 2 else {})
            for place, rule in enumerate(rules)
            if number % 4
        },
        branches={
            "keep": [["re[x"], [], ["topic", "release/*"]][number % 3],
            "naming": ["", "reach/<task>/<timestamp>"][number % 2],
        },
        changes={
            "high_risk_paths": [[], ["auth/**", "web/*"], ["**"]][number % 3],
            "required_pr_flow": number % 2 == 0,
            "required_gates": [[], ["ci", "review"]][number % 2],
        },
        head_drift={
            "mode": mode,
            "settle_seconds": number * 5,
            "expected_rewrites": [_WINDOW] * (number % 2),
        },
        stale_branch={"mode": mode, "idle_days": 1 + number, "notice_days": number % 8},
        missing_run={"mode": mode, "grace_seconds": number * 60},
        lease={"mode": mode, "renew_at_ttl_fraction": 2 + number % 9},
        alerts={
            "from_severity": ["info", "low", "medium", "high", "critical"][number % 5],
            "escalation": _LADDER[: number % 4],
        },
    )


_POLICIES = [_policy_number(number) for number in range(60)]


def policies() -> st.SearchStrategy[Policy]:
    """Return policies with other modes, weights, thresholds and lists than the default's."""
    return st.sampled_from(_POLICIES)
