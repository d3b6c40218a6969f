"""Decides whether a branch under governance lacks a run record for its head; reads facts only.

Source: specification, "Detect missing run records for branches/PRs with governance activity".
"""

from datetime import datetime, timedelta

from governance.domain.policy import Mode, Policy, follows_naming
from reconciliation.domain.facts import MissingRunFacts, PullRequestFact, RunFact
from reconciliation.domain.findings import Decision, FindingDraft, Inputs, RuleHit
from reconciliation.domain.identity import is_absent
from reconciliation.domain.risk import heard, hit, is_alerting, severity_of
from reconciliation.evaluators.coverage_wording import lacking_wording
from reconciliation.evaluators.run_conditions import (
    OWNER_UNKNOWN,
    PASSED,
    Surroundings,
    gate_states,
    lacking_of,
    only_waits_for_gates,
)
from reconciliation.evaluators.work_in_flight import in_flight

GOVERNED_BASES = frozenset({"default", "protected", "governed"})
Activity = tuple[str, str]
"""What shows governance, and its reference: `("lease", "lease_a")`."""


def governance_activity(facts: MissingRunFacts, policy: Policy) -> tuple[Activity, ...]:
    """Return every sign that the branch is under governance, sorted.

    Pull requests count for the branch they come from: one onto this branch says nothing of the
    commits that are on it already.
    """
    required = set(policy.changes.required_gates)
    labels = set(policy.changes.governance_labels)
    governed_bases = _governed_bases(facts)
    signs: set[Activity] = {("lease", lease.lease_id) for lease in facts.leases}
    signs |= {
        ("gate", gate.context)
        for gate in facts.gates
        if gate.context in required and gate.sha == facts.observed_head
    }
    signs |= {
        ("gate", context)
        for run in facts.runs
        if run.head_sha and run.head_sha == facts.observed_head
        for context, _ in run.gates
        if context in required
    }
    if follows_naming(policy.branches.naming, facts.place.branch):
        signs.add(("branch_naming", policy.branches.naming))
    for request in _requests_from(facts):
        if request.state == "closed":
            continue
        signs |= {("label", label) for label in request.labels if label in labels}
        if request.base_branch in governed_bases and request.state == "open":
            signs.add(("pull_request", f"#{request.number} onto {request.base_branch}"))
    return tuple(sorted(signs))


def evaluate_missing_run(facts: MissingRunFacts, policy: Policy, now: datetime) -> Decision:
    """Return `not_governed`, `recorded`, `grace`, `running` or `missing`.

    `missing` also stands for a merge that has its run but not every required gate at what it
    merged. A record may still be in flight for `grace_seconds` after the head was seen, or after
    the merge. A branch that is where the default branch is has no change of its own. A run
    that is still running on the branch counts as in flight for as long as its heartbeats say that
    it lives; a merge waits for no run.
    """
    rules = policy.missing_run
    if rules.mode is Mode.OFF:
        return Decision("off", "off", clean=True, reason="missing_run is off")
    merges = _merges(facts)
    unrecorded = [one for one in merges if not _is_merge_recorded(facts, one)]
    ungated = [
        one for one in merges if one not in unrecorded and _gates_not_passed(facts, one, policy)
    ]
    head_is_recorded = _is_head_recorded(facts, policy) or bool(facts.same_as)
    activity = governance_activity(facts, policy)
    if not unrecorded and not ungated and (head_is_recorded or not activity):
        decision = "recorded" if activity else "not_governed"
        return Decision(decision, decision, clean=True)
    until = _since(facts, [*unrecorded, *ungated], now) + timedelta(seconds=rules.grace_seconds)
    if now < until:
        return Decision("grace", "grace", clean=False, defer_until=until)
    run = None if unrecorded or ungated else in_flight(facts.runs, policy)
    if run is not None and now < run.alive_until:
        reason = f"run {run.run_id} is still running"
        return Decision("running", "grace", clean=False, defer_until=run.alive_until, reason=reason)
    drafts = []
    if activity and not head_is_recorded:
        drafts.append(_head_finding(facts, activity, policy))
    if unrecorded:
        drafts.append(_merge_finding(facts, unrecorded, policy))
    if ungated:
        drafts.append(_gates_finding(facts, ungated, policy))
    live = tuple(draft for draft in drafts if draft is not None)
    if not live:
        return Decision("off", "missing", clean=True, reason="every rule that applies is off")
    return Decision("missing", live[0].stable_class, clean=False, findings=live)


def _since(facts: MissingRunFacts, merges: list[PullRequestFact], now: datetime) -> datetime:
    """Return since when a record may be in flight: since the head was seen, or the last merge.

    A host's clock may be ahead of ours: what it dates in the future is not waited for.
    """
    merged_at = [one.merged_at for one in merges if one.merged_at and one.merged_at <= now]
    return max([facts.head_changed_at, *merged_at])


def _is_head_recorded(facts: MissingRunFacts, policy: Policy) -> bool:
    """Return whether a run that counts ended at the head; where nothing is, nothing needs one.

    Nor does a head that merged recorded work: its record is that of what was merged.
    """
    return (
        is_absent(facts.observed_head)
        or bool(facts.came_by)
        or any(not _lacking(run, facts, policy) for run in _runs_at(facts, facts.observed_head))
    )


def _lacking(run: RunFact, facts: MissingRunFacts, policy: Policy) -> tuple[RuleHit, ...]:
    """Return what a run at the head lacks so that it is no record of it.

    Whose push it was matters until governance has accepted the head. That nobody knows whose, or
    that a gate has no result yet, takes nothing from the record: the drift check says so.
    """
    is_accepted = facts.governed_head == facts.observed_head
    pushes = () if is_accepted or facts.head_push is None else (facts.head_push,)
    around = Surroundings(facts.push_leases, facts.gates, facts.aliases)
    return tuple(
        one
        for one in lacking_of(run, pushes, around, policy)
        if one.rule != OWNER_UNKNOWN and not only_waits_for_gates([one])
    )


def _runs_at(facts: MissingRunFacts, sha: str | None) -> list[RunFact]:
    if is_absent(sha):
        return []
    return [run for run in facts.runs if run.head_sha == sha and run.status == "succeeded"]


def _governed_bases(facts: MissingRunFacts) -> set[str]:
    return {name for name, kind in facts.base_classes if kind in GOVERNED_BASES}


def _requests_from(facts: MissingRunFacts) -> list[PullRequestFact]:
    branch = facts.place.branch
    return [one for one in facts.pull_requests if one.head_branch == branch and not one.from_fork]


def _merges(facts: MissingRunFacts) -> list[PullRequestFact]:
    """Return the merges onto governed branches that this branch answers for, by number.

    Those of pull requests from it; and of those from forks onto it, for which no branch of ours
    could answer.
    """
    governed, branch = _governed_bases(facts), facts.place.branch
    return sorted(
        (
            request
            for request in facts.pull_requests
            if request.state == "merged"
            and request.base_branch in governed
            and (request.base_branch if request.from_fork else request.head_branch) == branch
        ),
        key=lambda request: request.number,
    )


def _is_merge_recorded(facts: MissingRunFacts, request: PullRequestFact) -> bool:
    return bool(_runs_at(facts, request.head_sha) or _runs_at(facts, request.merge_sha))


def _head_finding(
    facts: MissingRunFacts, activity: tuple[Activity, ...], policy: Policy
) -> FindingDraft | None:
    shown = ", ".join(f"{kind} {reference}" for kind, reference in activity)
    kinds = {kind for kind, _ in activity}
    rule = "run.missing_under_lease" if "lease" in kinds else "run.missing_for_head"
    hits = [hit(rule, policy, inputs=(("activity", shown),))]
    head = facts.observed_head or ""
    lacking = [one for run in _runs_at(facts, head) for one in _lacking(run, facts, policy)]
    what, to_do = lacking_wording(lacking, tenant=facts.place.tenant)
    return _draft(
        facts,
        policy,
        hits,
        stable_class="missing_for_head",
        summary=f"{facts.place.branch} is under governance ({shown}), but no run that counts"
        f" ends at its head {head[:10]}. {what}".rstrip(),
        recommendation=f"{to_do} Import or repeat the run that produced this head; if there was"
        " none, review the change as ungoverned.".strip(),
        actual=(("observed_head", head), ("activity", shown)),
    )


def _merge_finding(
    facts: MissingRunFacts, merged: list[PullRequestFact], policy: Policy
) -> FindingDraft | None:
    numbers = ", ".join(f"#{request.number}" for request in merged)
    onto = ", ".join(sorted({request.base_branch for request in merged}))
    inputs = (("pull_request", numbers), ("onto", onto))
    hits = [hit("run.missing_for_merge", policy, inputs=inputs)]
    lacking = sorted({gate for one in merged for gate in _gates_not_passed(facts, one, policy)})
    if lacking:
        hits.append(hit("run.gates_missing", policy, inputs=(("gates", ", ".join(lacking)),)))
    return _draft(
        facts,
        policy,
        hits,
        stable_class="merged_without_run",
        summary=f"{numbers} {'was' if len(merged) == 1 else 'were'} merged onto {onto} without a"
        " run record.",
        recommendation="Review the merge after the fact and record a run for it.",
        actual=(
            ("merge_sha", ", ".join(request.merge_sha for request in merged)),
            ("head_sha", ", ".join(request.head_sha for request in merged)),
        ),
    )


def _gates_finding(
    facts: MissingRunFacts, merged: list[PullRequestFact], policy: Policy
) -> FindingDraft | None:
    """Return the finding about merges that have their record but passed a gate by."""
    numbers = ", ".join(f"#{request.number}" for request in merged)
    onto = ", ".join(sorted({request.base_branch for request in merged}))
    lacking = sorted({gate for one in merged for gate in _gates_not_passed(facts, one, policy)})
    inputs = (("gates", ", ".join(lacking)), ("pull_request", numbers), ("onto", onto))
    return _draft(
        facts,
        policy,
        [hit("run.gates_missing", policy, inputs=inputs)],
        stable_class="merged_without_gates",
        summary=f"{numbers} {'was' if len(merged) == 1 else 'were'} merged onto {onto} without a"
        f" success of {', '.join(lacking)} at what was merged.",
        recommendation="Run the gates at the merged commit now, and review who merged past them.",
        expected=(("gates", f"a success of {', '.join(lacking)}"),),
        actual=(
            ("merge_sha", ", ".join(request.merge_sha for request in merged)),
            ("head_sha", ", ".join(request.head_sha for request in merged)),
        ),
    )


def _gates_not_passed(facts: MissingRunFacts, request: PullRequestFact, policy: Policy) -> set[str]:
    """Return the base's required gates without a success at what was merged.

    Another head's success is none.
    """
    required = dict(facts.base_gates).get(request.base_branch, policy.changes.required_gates)
    passed: set[str] = set()
    for sha in sorted({request.head_sha, request.merge_sha} - {""}):
        runs: list[RunFact | None] = [*_runs_at(facts, sha)]
        for run in runs or [None]:
            states = gate_states(run, facts.gates, sha=sha, required=required)
            passed |= {name for name, state in states.items() if state in PASSED}
    return set(required) - passed


def _draft(
    facts: MissingRunFacts,
    policy: Policy,
    hits: list[RuleHit],
    *,
    stable_class: str,
    summary: str,
    recommendation: str,
    actual: Inputs,
    expected: Inputs = (("run_record", "one that ends at this head"),),
) -> FindingDraft | None:
    live = heard(hits, policy, policy.missing_run.mode)
    if not live:
        return None
    lease_id = min((lease.lease_id for lease in facts.leases), default=None)
    return FindingDraft(
        stable_class=stable_class,
        severity=severity_of(live),
        alerting=is_alerting(live, policy, policy.missing_run.mode),
        rule_hits=live,
        summary=summary,
        recommendation=recommendation,
        command="",
        expected=expected,
        actual=actual,
        run_id=None,
        lease_id=lease_id,
    )
