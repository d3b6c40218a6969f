"""Decides whether a branch is stale and may be recommended for retirement; reads facts only.

Never the default or a protected branch, whatever else is true: a stale bot that proposes the
default branch is a famous bug. Source: specification, "Detect stale branches and surface
retirement recommendations".
"""

from dataclasses import replace
from datetime import datetime

from governance.domain.policy import Mode, Policy, matching
from reconciliation.domain.activity import if_true
from reconciliation.domain.facts import StaleFacts
from reconciliation.domain.findings import (
    Decision,
    Evidence,
    FindingDraft,
    RuleHit,
    StackedRequest,
)
from reconciliation.domain.identity import is_absent
from reconciliation.domain.risk import heard, hit, is_alerting, severity_of
from reconciliation.evaluators.wording import restore_command, retirement_wording, sync_command

NEVER_BEHIND = frozenset(
    {
        "default_branch",
        "default_branch_unknown",
        "gone",
        "keep_list",
        "kept_by_convention",
        "protected_branch",
    }
)
"""Exemptions under which a branch is not even asked to follow the default branch."""


def exemption(facts: StaleFacts, policy: Policy) -> str:  # noqa: C901 - reads like a table
    """Return the first reason to keep the branch, or the empty string."""
    branch = facts.place.branch
    if is_absent(facts.observed_head):
        return "gone"
    if branch == facts.default_branch or facts.branch_class == "default":
        return "default_branch"
    # Any branch may be the default one then: HEAD is detached, or was never read.
    if not facts.default_branch or not branch:
        return "default_branch_unknown"
    if facts.branch_class == "protected":
        return "protected_branch"
    if matching(policy.branches.keep_by_convention, branch):
        return "kept_by_convention"
    if matching(policy.branches.keep, branch):
        return "keep_list"
    if any(request.state == "open" for request in facts.pull_requests_from):
        return "open_pull_request_from"
    if any(request.state == "open" for request in facts.pull_requests_onto):
        return "open_pull_request_onto"
    if facts.leases:
        return "live_lease"
    if facts.running_runs:
        return "running_run"
    if facts.last_activity_at is None:
        return "activity_unknown"
    return ""


def evaluate_stale_branch(facts: StaleFacts, policy: Policy, now: datetime) -> Decision:
    """Return `exempt`, `active`, `notice` or `recommend_retirement`.

    Idle means at least `idle_days` (whole days) without activity; the recommendation comes after
    `notice_days` more. Activity at a time that cannot be is unknown: the branch is neither idle nor
    active. A branch in use that lies too far behind the default branch gets a
    `stale_base` finding.
    """
    rules = policy.stale_branch
    if rules.mode is Mode.OFF:
        return Decision("off", "active", clean=True, reason="stale_branch is off")
    facts = replace(facts, last_activity_at=if_true(facts.last_activity_at, now=now))
    reason = exemption(facts, policy)
    idle_days = _idle_days(facts, now)
    if reason or facts.last_activity_at is None:
        decision = _with_stale_base(facts, policy, "exempt", reason)
        told = _with_stacked_requests(reason, facts)
        return replace(decision, reason=told, evidence=_if_stacked(facts, reason))
    if idle_days < rules.idle_days:
        return _with_stale_base(facts, policy, "active", "")
    stable_class = _sub_class(facts)
    if idle_days < rules.idle_days + rules.notice_days:
        hits = [hit("stale.notice", policy, inputs=(("sub_class", stable_class),))]
        return _decide("notice", stable_class, hits, facts, policy, idle_days)
    hits = [hit(f"stale.idle_{stable_class}", policy, inputs=(("merged_by", facts.merged_by),))]
    return _decide("recommend_retirement", stable_class, hits, facts, policy, idle_days)


def _sub_class(facts: StaleFacts) -> str:
    if facts.merged_by:
        return "merged"
    return "merge_unknown" if facts.merge_unknown else "unmerged"


def _stacked(facts: StaleFacts) -> tuple[StackedRequest, ...]:
    """Return the pull requests that deleting the branch would close with it, by number."""
    return tuple(
        StackedRequest(one.number, one.head_branch, one.head_sha, one.from_fork)
        for one in sorted(facts.pull_requests_onto, key=lambda one: one.number)
        if one.state == "open"
    )


def _evidence(facts: StaleFacts) -> Evidence:
    head = facts.observed_head or ""
    return Evidence(
        head_sha=head,
        restore_command=restore_command(facts.place.branch, head),
        merged_by=facts.merged_by,
        merged_pull_requests=tuple(
            sorted(one.number for one in facts.pull_requests_from if one.state == "merged")
        ),
        would_close=_stacked(facts),
        merge_unknown="" if facts.merged_by else facts.merge_unknown,
    )


def _if_stacked(facts: StaleFacts, reason: str) -> Evidence | None:
    """Return the evidence about a branch that is kept but on which others are stacked.

    Nothing is ever said about retiring a branch that never may be.
    """
    return _evidence(facts) if reason not in NEVER_BEHIND and _stacked(facts) else None


def _with_stacked_requests(reason: str, facts: StaleFacts) -> str:
    return (
        f"{reason}: deleting it would close {_numbers(_stacked(facts))}"
        if reason == "open_pull_request_onto"
        else reason
    )


def _numbers(requests: tuple[StackedRequest, ...]) -> str:
    return ", ".join(f"#{one.number}" for one in requests)


def _decide(
    decision: str,
    stable_class: str,
    hits: list[RuleHit],
    facts: StaleFacts,
    policy: Policy,
    idle_days: int,
) -> Decision:
    mode = policy.stale_branch.mode
    live = heard(hits, policy, mode)
    if not live:
        return Decision("off", stable_class, clean=True, reason="every rule that applies is off")
    notice_days = policy.stale_branch.idle_days + policy.stale_branch.notice_days - idle_days
    words = retirement_wording(facts, idle_days=idle_days, notice_days=max(0, notice_days))
    merged = [one.number for one in facts.pull_requests_from if one.state == "merged"]
    draft = FindingDraft(
        stable_class=stable_class,
        severity=severity_of(live),
        alerting=is_alerting(live, policy, mode),
        rule_hits=live,
        summary=words.summary,
        recommendation=words.recommendation,
        command=words.command,
        expected=(("activity_within_days", str(policy.stale_branch.idle_days)),),
        actual=(
            ("head_sha", facts.observed_head or ""),
            ("merged_by", facts.merged_by),
            *((("merge_unknown", facts.merge_unknown),) if stable_class == "merge_unknown" else ()),
            ("merged_pull_requests", ", ".join(f"#{number}" for number in sorted(merged))),
            ("behind_default", _number(facts.behind_default)),
            ("idle_days", str(idle_days)),
            ("restore", restore_command(facts.place.branch, facts.observed_head or "")),
        ),
    )
    return Decision(
        decision, stable_class, clean=False, findings=(draft,), evidence=_evidence(facts)
    )


def _with_stale_base(facts: StaleFacts, policy: Policy, decision: str, reason: str) -> Decision:
    behind, limit = facts.behind_default, policy.stale_branch.stale_base_commits
    if reason in NEVER_BEHIND or not _is_in_use(facts) or behind is None or behind <= limit:
        return Decision(decision, "active", clean=True, reason=reason)
    inputs = (("behind", str(behind)), ("limit", str(limit)))
    live = heard(
        [hit("stale.base_behind", policy, inputs=inputs)], policy, policy.stale_branch.mode
    )
    if not live:
        return Decision(decision, "active", clean=True, reason=reason)
    branch = facts.place.branch
    draft = FindingDraft(
        stable_class="stale_base",
        severity=severity_of(live),
        alerting=is_alerting(live, policy, policy.stale_branch.mode),
        rule_hits=live,
        summary=f"{branch} lacks {behind} commits of {facts.default_branch}.",
        recommendation=f"Bring {facts.default_branch} into it before work goes on.",
        command=sync_command(facts.default_branch),
        expected=(("behind_at_most", str(limit)),),
        actual=(
            ("behind_default", str(behind)),
            ("head_sha", facts.observed_head or ""),
            # Who rebases it moves the base of these.
            *((("stacked_on_it", _numbers(stacked)),) if (stacked := _stacked(facts)) else ()),
        ),
    )
    return Decision("sync_base", "stale_base", clean=False, findings=(draft,), reason=reason)


def _is_in_use(facts: StaleFacts) -> bool:
    """Return whether work goes on there. A governed branch that is merged is done with."""
    return bool(
        facts.leases
        or facts.running_runs
        or [one for one in facts.pull_requests_from if one.state == "open"]
        or (facts.branch_class == "governed" and not facts.merged_by)
    )


def _idle_days(facts: StaleFacts, now: datetime) -> int:
    return 0 if facts.last_activity_at is None else max(0, (now - facts.last_activity_at).days)


def _number(value: int | None) -> str:
    return "" if value is None else str(value)
