"""Decides how a branch's remote head stands to its governed snapshot; reads facts only.

Source: specification, "Detect drift between remote branch heads and local governed snapshots".
"""

from datetime import datetime, timedelta

from governance.domain.policy import Mode, Policy, matching
from reconciliation.domain.coverage import covering_runs
from reconciliation.domain.facts import HeadFacts, LeaseFact
from reconciliation.domain.findings import Decision, FindingDraft, RuleHit
from reconciliation.domain.risk import heard, hit, is_alerting, severity_of
from reconciliation.evaluators.wording import head_drift_wording

CLASS_OF_RELATION = {
    "same": "in_sync",
    "ancestor": "fast_forward",
    "descendant": "rewound",
    "diverged": "rewritten",
    "unrelated": "unrelated",
    "unknown": "unknown",
}
REWRITES = frozenset({"rewound", "rewritten", "unrelated"})
GUARDED = frozenset({"default", "protected"})


def classify(facts: HeadFacts) -> str:
    """Return the drift class; what cannot be told is `unknown`, never `in_sync`."""
    if facts.observed_head is None:
        return "in_sync" if facts.governed_head is None else "deleted"
    if facts.governed_head is None:
        return "created"
    if facts.governed_head == facts.observed_head:
        return "in_sync"
    if facts.was_gone:
        return "recreated"
    return CLASS_OF_RELATION.get(facts.relation, "unknown")


def evaluate_head_drift(facts: HeadFacts, policy: Policy, now: datetime) -> Decision:
    """Return the decision about one branch.

    `in_sync`; `advance_snapshot` when run records cover every step from the governed head;
    `record_snapshot` for the first head of a branch that is not governed; `settle` while a head
    that moved less than `settle_seconds` ago may still be on the move; `expected` inside a planned
    rewrite window; `drift` with a finding otherwise. A rewrite or deletion of a default or
    protected branch is never left to settle.
    """
    drift_class = classify(facts)
    if drift_class == "in_sync":
        return Decision("in_sync", drift_class, clean=True)
    if policy.head_drift.mode is Mode.OFF:
        return Decision("off", drift_class, clean=True, reason="head_drift is off")
    runs = _covering(facts, drift_class)
    if runs:
        return Decision(
            "advance_snapshot",
            drift_class,
            clean=True,
            advance_to=facts.observed_head,
            advance_run_ids=runs,
        )
    if drift_class == "created" and facts.branch_class == "other":
        return Decision("record_snapshot", drift_class, clean=True, advance_to=facts.observed_head)
    if _is_expected(facts, drift_class, policy):
        return Decision("expected", drift_class, clean=True, reason="planned rewrite window")
    until = _settles_at(facts, drift_class, policy)
    if now < until:
        return Decision("settle", drift_class, clean=False, defer_until=until)
    hits = _hits(facts, drift_class, policy)
    live = heard(hits, policy, policy.head_drift.mode)
    if not live:
        return Decision("off", drift_class, clean=True, reason="every rule that applies is off")
    return Decision(
        "drift", drift_class, clean=False, findings=(_finding(facts, drift_class, live, policy),)
    )


def _covering(facts: HeadFacts, drift_class: str) -> tuple[str, ...]:
    if facts.observed_head is None:
        return ()
    if drift_class in {"fast_forward", "created"}:
        return covering_runs(facts.runs, base=facts.governed_head, head=facts.observed_head)
    return ()


def _is_expected(facts: HeadFacts, drift_class: str, policy: Policy) -> bool:
    if drift_class not in REWRITES:
        return False
    moved = facts.head_changed_at
    return any(
        window.branch == facts.place.branch
        and window.actor in {facts.pusher, "*"}
        and datetime.fromisoformat(window.starts_at)
        <= moved
        <= datetime.fromisoformat(window.ends_at)
        for window in policy.head_drift.expected_rewrites
    )


def _settles_at(facts: HeadFacts, drift_class: str, policy: Policy) -> datetime:
    at_once = drift_class in REWRITES | {"deleted"} and facts.branch_class in GUARDED
    settle = timedelta(seconds=0 if at_once else policy.head_drift.settle_seconds)
    return facts.head_changed_at + settle


def _hits(facts: HeadFacts, drift_class: str, policy: Policy) -> list[RuleHit]:
    level = _level(facts.branch_class)
    hits: list[RuleHit] = []
    if drift_class in REWRITES:
        hits.append(hit(f"drift.rewrite_{level}", policy, inputs=(("class", drift_class),)))
    elif drift_class in {"unknown", "recreated"}:
        inputs = (("reason", facts.relation_reason),) if facts.relation_reason else ()
        hits.append(hit(f"drift.{drift_class}", policy, inputs=inputs))
    elif drift_class == "deleted":
        hits.append(hit(f"drift.delete_{level}", policy))
    elif drift_class == "created":
        hits.append(hit(f"drift.created_{level}", policy))
    elif drift_class == "fast_forward":
        hits.append(hit(f"drift.ungoverned_{level}", policy, inputs=(_ahead(facts),)))
    hits += _path_hits(facts, policy)
    hits += _lease_hits(facts, policy)
    hits += _flow_hits(facts, drift_class, policy)
    return hits or [hit("review.unmapped", policy, inputs=(("class", drift_class),))]


def _path_hits(facts: HeadFacts, policy: Policy) -> list[RuleHit]:
    patterns = policy.changes.high_risk_paths
    if not patterns or facts.observed_head is None or facts.governed_head is None:
        return []
    touched = [path for path in facts.changed.paths if matching(patterns, path)]
    if touched:
        shown = ", ".join(touched[:5]) + (f" and {len(touched) - 5} more" if touched[5:] else "")
        return [hit("drift.high_risk_path", policy, inputs=(("paths", shown),))]
    if not facts.changed.known or facts.changed.truncated:
        return [hit("drift.paths_unknown", policy)]
    return []


def _lease_hits(facts: HeadFacts, policy: Policy) -> list[RuleHit]:
    covering = [lease for lease in facts.leases if lease.scope != "path-prefix"]
    hits = []
    if len(covering) > 1:
        ids = ", ".join(lease.lease_id for lease in covering)
        hits.append(hit("drift.two_leases", policy, inputs=(("leases", ids),)))
    strangers = [lease for lease in covering if facts.pusher and not _is_holder(lease, facts)]
    hits += [
        hit(
            "drift.not_lease_holder",
            policy,
            inputs=(
                ("pusher", facts.pusher),
                ("holder", lease.user_id),
                ("lease", lease.lease_id),
            ),
        )
        for lease in strangers
    ]
    return hits


def _is_holder(lease: LeaseFact, facts: HeadFacts) -> bool:
    return facts.pusher in {lease.user_id, lease.agent_id} - {""}


def _flow_hits(facts: HeadFacts, drift_class: str, policy: Policy) -> list[RuleHit]:
    hits = []
    if (
        drift_class == "fast_forward"
        and facts.branch_class == "default"
        and policy.changes.required_pr_flow
        and not facts.merged_pull_requests
    ):
        hits.append(hit("drift.direct_push", policy))
    approved = [
        run.run_id
        for run in facts.runs
        if run.status == "succeeded" and run.head_sha == facts.governed_head
    ]
    # On the default branch every change has a run of its own; elsewhere the run approved a head.
    if approved and facts.branch_class not in GUARDED and facts.observed_head is not None:
        hits.append(hit("drift.moved_after_run", policy, inputs=(("run", max(approved)),)))
    return hits


def _finding(
    facts: HeadFacts, drift_class: str, hits: tuple[RuleHit, ...], policy: Policy
) -> FindingDraft:
    words = head_drift_wording(facts, drift_class)
    return FindingDraft(
        stable_class=drift_class,
        severity=severity_of(hits),
        alerting=is_alerting(hits, policy, policy.head_drift.mode),
        rule_hits=hits,
        summary=words.summary,
        recommendation=words.recommendation,
        command=words.command,
        expected=(("governed_head", facts.governed_head or ""),),
        actual=(
            ("observed_head", facts.observed_head or ""),
            ("ahead", "" if facts.ahead is None else str(facts.ahead)),
            ("behind", "" if facts.behind is None else str(facts.behind)),
            ("pusher", facts.pusher),
            ("committer", facts.committer),
            ("announced_by", facts.announced_by),
        ),
    )


def _ahead(facts: HeadFacts) -> tuple[str, str]:
    return ("commits_ahead", "unknown" if facts.ahead is None else str(facts.ahead))


def _level(branch_class: str) -> str:
    return "protected" if branch_class in GUARDED else branch_class
