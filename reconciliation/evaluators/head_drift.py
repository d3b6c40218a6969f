"""Decides how a branch's remote head stands to its governed snapshot; reads facts only.

Source: specification, "Detect drift between remote branch heads and local governed snapshots".
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from governance.domain.identities import is_among
from governance.domain.policy import Mode, Policy
from reconciliation.domain.facts import HeadFacts
from reconciliation.domain.findings import Decision, FindingDraft, Inputs, RuleHit
from reconciliation.domain.risk import heard, is_alerting, severity_of
from reconciliation.evaluators.attribution import held_by, lease_holders, pushers_of, pushes_of
from reconciliation.evaluators.coverage import Coverage, coverage_of
from reconciliation.evaluators.drift_class import (
    GUARDED,
    REWRITES,
    classify,
    kind_of_change,
    without_null_ids,
)
from reconciliation.evaluators.drift_rules import drift_hits, is_clean_up, is_planned_rewrite
from reconciliation.evaluators.lease_breaches import NO_RECORD_EXCUSES, lease_breaches
from reconciliation.evaluators.wording import head_drift_wording
from reconciliation.evaluators.work_in_flight import InFlight, in_flight

CLEAN_UP_RULES = frozenset({"drift.delete_merged", "drift.delete_other"})


def evaluate_head_drift(facts: HeadFacts, policy: Policy, now: datetime) -> Decision:
    """Return the decision about one branch.

    `in_sync`; `advance_snapshot` when recorded steps cover the way from the governed head (see
    `coverage`) and no lease stands against it; `record_snapshot` for the first head of a branch
    that is not governed; `expected` for a planned rewrite, noted without an alert because a person
    has to accept the head it led to: a plan names a branch, an actor and a time, but no commit;
    also for a working branch that was deleted once a pull request had merged all of it; `settle`
    while a head that moved less than `settle_seconds` ago may still be on the move; `running` while
    a living run of the pusher may still record the change; `gates` while nothing is lacking but the
    results of required gates, for the grace of a run record; `drift` with a finding otherwise. A
    rewrite or deletion of a default or protected branch is never left to settle.
    """
    facts = without_null_ids(facts)
    drift_class, mode = classify(facts), policy.head_drift.mode
    if drift_class == "in_sync":
        return Decision("in_sync", drift_class, clean=True)
    if mode is Mode.OFF:
        return Decision("off", drift_class, clean=True, reason="head_drift is off")
    coverage = _coverage(facts, drift_class, policy)
    is_covered = coverage.is_complete
    covering = coverage.run_ids if is_covered else ()
    breaches = heard(lease_breaches(facts, policy, covering=covering), policy, mode)
    if is_covered and not breaches:
        return Decision(
            "advance_snapshot",
            drift_class,
            clean=True,
            advance_to=facts.observed_head,
            advance_run_ids=covering,
            reason=coverage.told,
            advance_by=coverage.advance_by if coverage.told else "",
        )
    hits = (
        breaches
        if is_covered
        else heard(drift_hits(facts, drift_class, policy, coverage), policy, mode)
    )
    rules = {one.rule for one in hits}
    if _is_first_of_ungoverned(facts, drift_class) and rules <= {"drift.created_other"}:
        return Decision("record_snapshot", drift_class, clean=True, advance_to=facts.observed_head)
    if is_planned_rewrite(facts, drift_class, policy) and rules <= {"drift.expected_rewrite"}:
        return _decide("expected", facts, drift_class, hits, policy, reason="planned rewrite")
    if is_clean_up(facts, drift_class) and rules <= CLEAN_UP_RULES:
        return _decide("expected", facts, drift_class, hits, policy, reason="merged, then deleted")
    for waiting in _reasons_to_wait(facts, drift_class, rules, policy, coverage):
        if waiting.defer_until is not None and now < waiting.defer_until:
            return waiting
    if not hits:
        return Decision("off", drift_class, clean=True, reason="every rule that applies is off")
    return _decide("drift", facts, drift_class, hits, policy, coverage=coverage)


def _may_be_recorded(facts: HeadFacts, drift_class: str) -> bool:
    """Return whether run records may account for this kind of change.

    An engine that rebases its own branch records the rewrite as a run from the old head to the
    new one. On a default or protected branch no record excuses a rewrite, nor a history that
    shares nothing, nor one that cannot be told, anywhere.
    """
    kind = kind_of_change(facts, drift_class)
    if kind in {"fast_forward", "created"}:
        return True
    return kind in {"rewound", "rewritten"} and facts.branch_class not in GUARDED


def _coverage(facts: HeadFacts, drift_class: str, policy: Policy) -> Coverage:
    return coverage_of(facts, policy) if _may_be_recorded(facts, drift_class) else Coverage()


def _is_first_of_ungoverned(facts: HeadFacts, drift_class: str) -> bool:
    return drift_class == "created" and facts.branch_class == "other"


def _reasons_to_wait(
    facts: HeadFacts, drift_class: str, rules: set[str], policy: Policy, coverage: Coverage
) -> Iterator[Decision]:
    """Yield what may still come, with the moment until which it is waited for."""
    moved_at = facts.head_changed_at
    at_once = (
        kind_of_change(facts, drift_class) in REWRITES | {"deleted"}
        and facts.branch_class in GUARDED
    )
    settle = timedelta(seconds=0 if at_once else policy.head_drift.settle_seconds)
    yield Decision("settle", drift_class, clean=False, defer_until=moved_at + settle)
    run = _awaited_run(facts, drift_class, rules, policy)
    if run is not None:
        reason = f"run {run.run_id} is still running"
        yield Decision(
            "running", drift_class, clean=False, defer_until=run.alive_until, reason=reason
        )
    if coverage.waits_for_gates and not rules & NO_RECORD_EXCUSES:
        grace = timedelta(seconds=policy.missing_run.grace_seconds)
        reason = "its run is recorded; required gates have no result yet"
        yield Decision(
            "gates", drift_class, clean=False, defer_until=moved_at + grace, reason=reason
        )


def _awaited_run(
    facts: HeadFacts, drift_class: str, rules: set[str], policy: Policy
) -> InFlight | None:
    """Return the running run that may still record the change, if anything may.

    It must be of the pushers, as far as one is known: what others push while it runs is not its.
    """
    if not _may_be_recorded(facts, drift_class) or rules & NO_RECORD_EXCUSES:
        return None
    holders = {
        lease.lease_id: lease_holders(lease)
        for lease in sorted(facts.leases, key=lambda one: one.lease_id)
    }
    pushers = set(pushers_of(pushes_of(facts))) - {""}
    its = (
        run
        for run in facts.runs
        if all(
            is_among(name, {run.actor, *holders.get(run.lease_id, ())}, facts.aliases)
            for name in pushers
        )
    )
    return in_flight(its, policy)


def _decide(
    decision: str,
    facts: HeadFacts,
    drift_class: str,
    hits: tuple[RuleHit, ...],
    policy: Policy,
    *,
    coverage: Coverage | None = None,
    reason: str = "",
) -> Decision:
    is_expected = decision == "expected"
    is_planned = is_expected and drift_class != "deleted"
    if not hits:
        return Decision(decision, drift_class, clean=True, reason=reason)
    words = head_drift_wording(
        facts,
        drift_class,
        coverage=coverage or Coverage(),
        is_planned=is_planned,
        is_clean_up=is_clean_up(facts, drift_class),
    )
    draft = FindingDraft(
        stable_class=drift_class,
        severity=severity_of(hits),
        # Whoever did it meant it: however low a policy sets the bar, nobody is woken.
        alerting=not is_expected and is_alerting(hits, policy, policy.head_drift.mode),
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
            *_told_if_known(facts),
        ),
    )
    return Decision(decision, drift_class, clean=False, findings=(draft,), reason=reason)


def _told_if_known(facts: HeadFacts) -> Inputs:
    """Return who else pushed, who held the branch then, and what a deletion takes with it."""
    pushers = pushers_of(pushes_of(facts))
    told = {
        "pushers": ", ".join(name or "unknown" for name in pushers) if len(pushers) > 1 else "",
        "lease_holder": held_by(facts),
        "open_onto": (
            ", ".join(f"#{number}" for number in sorted(one.number for one in facts.open_onto))
            if facts.observed_head is None
            else ""
        ),
    }
    return tuple((name, text) for name, text in told.items() if text)
