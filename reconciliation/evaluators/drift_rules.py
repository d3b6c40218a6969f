"""Says which rules a head that moved hits, with what they looked at; reads facts only."""

from datetime import datetime

from governance.domain.identities import is_same
from governance.domain.policy import ExpectedRewrite, Policy, matches, matching
from reconciliation.domain.coverage import approved_run
from reconciliation.domain.facts import HeadFacts, Push
from reconciliation.domain.findings import Inputs, RuleHit
from reconciliation.domain.risk import hit
from reconciliation.evaluators.attribution import pushers_of, pushes_of
from reconciliation.evaluators.coverage import Coverage, covers_push
from reconciliation.evaluators.drift_class import (
    CLASS_OF_RELATION,
    GUARDED,
    REWRITES,
    kind_of_change,
)
from reconciliation.evaluators.lease_breaches import lease_breaches, shown

LEVELS = {
    "default": "protected",
    "protected": "protected",
    "governed": "governed",
    "other": "other",
}


def drift_hits(
    facts: HeadFacts, drift_class: str, policy: Policy, coverage: Coverage
) -> list[RuleHit]:
    """Return every hit of a change that is not covered; what no rule knows is for review."""
    hits = [*coverage.lacking]
    hits += _class_hits(facts, drift_class, policy)
    hits += _path_hits(facts, policy)
    hits += lease_breaches(facts, policy)
    hits += _flow_hits(facts, drift_class, policy)
    return hits


def is_planned_rewrite(facts: HeadFacts, drift_class: str, policy: Policy) -> bool:
    """Return whether a policy planned this rewrite: this branch, no other pusher, at this time."""
    return _window_of(facts, drift_class, policy) is not None


def is_clean_up(facts: HeadFacts, drift_class: str) -> bool:
    """Return whether a working branch was deleted after a pull request merged all that it held.

    Its governed head is what was merged, and nothing had been pushed onto that before it went.
    """
    return (
        drift_class == "deleted"
        and facts.branch_class not in GUARDED
        and facts.previous_head in {None, facts.governed_head}
        and any(one.head_sha == facts.governed_head for one in facts.merged_from)
    )


def _merged_by(facts: HeadFacts) -> tuple[str, str]:
    numbers = sorted(one.number for one in facts.merged_from if one.head_sha == facts.governed_head)
    return ("pull_request", ", ".join(f"#{number}" for number in numbers))


def _window_of(facts: HeadFacts, drift_class: str, policy: Policy) -> ExpectedRewrite | None:
    if kind_of_change(facts, drift_class) not in REWRITES:
        return None
    moved, pushers = facts.head_changed_at, set(pushers_of(pushes_of(facts)))
    fitting = (
        window
        for window in policy.head_drift.expected_rewrites
        if matches(window.branch, facts.place.branch)
        and (
            window.actor == "*"
            or all(is_same(name, window.actor, facts.aliases) for name in pushers)
        )
        and datetime.fromisoformat(window.starts_at)
        <= moved
        <= datetime.fromisoformat(window.ends_at)
    )
    return next(fitting, None)


def _class_hits(facts: HeadFacts, drift_class: str, policy: Policy) -> list[RuleHit]:
    level, kind = LEVELS.get(facts.branch_class), kind_of_change(facts, drift_class)
    hits: list[RuleHit] = []
    if drift_class == "recreated":
        hits.append(hit("drift.recreated", policy))
    if kind == "unknown":
        inputs = (("reason", facts.relation_reason),) if facts.relation_reason else ()
        hits.append(hit("drift.unknown", policy, inputs=inputs))
    if level is None or (kind == "unknown" and facts.relation not in CLASS_OF_RELATION):
        about = (("branch_class", facts.branch_class), ("relation", facts.relation))
        hits.append(hit("review.unmapped", policy, inputs=about))
    if level is None:
        return hits
    # A branch that was deleted and is back is no better than one that is gone.
    if is_clean_up(facts, drift_class) and level == "governed":
        hits.append(hit("drift.delete_merged", policy, inputs=(_merged_by(facts),)))
    elif kind == "deleted" or drift_class == "recreated":
        hits.append(hit(f"drift.delete_{level}", policy))
    if kind in REWRITES:
        window = _window_of(facts, drift_class, policy)
        rule = f"drift.rewrite_{level}" if window is None else "drift.expected_rewrite"
        hits.append(hit(rule, policy, inputs=(("class", kind), *_plan_of(window))))
    elif kind == "created":
        hits.append(hit(f"drift.created_{level}", policy))
    elif kind == "fast_forward":
        hits.append(hit(f"drift.ungoverned_{level}", policy, inputs=(_ahead(facts),)))
    return hits


def _path_hits(facts: HeadFacts, policy: Policy) -> list[RuleHit]:
    patterns = policy.changes.high_risk_paths
    if not patterns or facts.observed_head is None or facts.governed_head is None:
        return []
    touched = [path for path in facts.changed.paths if matching(patterns, path)]
    if touched:
        return [hit("drift.high_risk_path", policy, inputs=(("paths", shown(touched)),))]
    if not facts.changed.known or facts.changed.truncated:
        return [hit("drift.paths_unknown", policy)]
    return []


def _flow_hits(facts: HeadFacts, drift_class: str, policy: Policy) -> list[RuleHit]:
    hits = []
    if (
        kind_of_change(facts, drift_class) == "fast_forward"
        and facts.branch_class == "default"
        and policy.changes.required_pr_flow
        and (direct := _direct_pushes(facts, policy))
    ):
        hits.append(hit("drift.direct_push", policy, inputs=_told(facts, direct)))
    # On the default branch every change has a run of its own; elsewhere the run approved a head,
    # and a planned rewrite is known to take it away.
    may_approve = facts.branch_class not in GUARDED and facts.observed_head is not None
    if may_approve and not is_planned_rewrite(facts, drift_class, policy):
        run = approved_run(facts.runs, base=facts.governed_head)
        is_inside = run is not None and (
            run.head_sha == facts.observed_head or run.run_id in facts.inside_runs
        )
        if run is not None and not is_inside:
            hits.append(hit("drift.moved_after_run", policy, inputs=(("run", run.run_id),)))
    return hits


def _direct_pushes(facts: HeadFacts, policy: Policy) -> list[Push]:
    """Return the pushes that no pull request merged and no run that counts recorded.

    A merge on top excuses none below it.
    """
    merges = {
        sha for one in facts.merged_pull_requests for sha in (one.merge_sha, one.head_sha) if sha
    }
    if not facts.pushes and merges:
        return []
    return [
        push
        for push in pushes_of(facts)
        if push.after not in merges and not covers_push(facts, push, policy)
    ]


def _told(facts: HeadFacts, direct: list[Push]) -> Inputs:
    if len(facts.pushes) < 2:
        return ()
    return (("pushes", ", ".join(f"{one.pusher or 'unknown'} {one.after}" for one in direct[-5:])),)


def _plan_of(window: ExpectedRewrite | None) -> Inputs:
    if window is None:
        return ()
    return (("planned_for", window.actor), ("from", window.starts_at), ("to", window.ends_at))


def _ahead(facts: HeadFacts) -> tuple[str, str]:
    return ("commits_ahead", "unknown" if facts.ahead is None else str(facts.ahead))
