"""How decisions read: rule hits, differing values, the coherence matrix; decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import template

from reconciliation.domain.coherence_values import CoherenceMatrix, CoherenceRow

register = template.Library()

RULE_WORDS = {
    "drift.rewrite_protected": "History of a default or protected branch was replaced",
    "drift.delete_protected": "A default or protected branch was deleted",
    "drift.rewrite_governed": "History of a governed branch was replaced",
    "drift.delete_governed": "A governed branch was deleted",
    "drift.rewrite_other": "History of an ordinary branch was replaced",
    "drift.delete_other": "An ordinary branch was deleted",
    "drift.delete_merged": "A governed branch was deleted after a pull request had merged it",
    "drift.recreated": "The branch was deleted and is back",
    "drift.high_risk_path": "The change touches paths marked as high risk",
    "drift.paths_unknown": "The changed paths could not be read, so high risk is not ruled out",
    "drift.not_lease_holder": "Pushed by someone who does not hold the active lease",
    "drift.pusher_unknown_under_lease": "Nobody knows who pushed while somebody held the lease",
    "drift.two_leases": "Two live leases cover the branch",
    "drift.moved_after_run": "The head moved after its run was approved",
    "drift.direct_push": "Pushed directly, where changes must come by pull request",
    "drift.ungoverned_protected": "Commits on a default or protected branch without a run record",
    "drift.ungoverned_governed": "Commits on a governed branch without a run record",
    "drift.ungoverned_other": "Commits on an ordinary branch without a run record",
    "drift.created_protected": "A new branch that counts as protected",
    "drift.created_governed": "A new governed branch without a snapshot",
    "drift.created_other": "A new ordinary branch",
    "drift.unknown": "How the heads relate cannot be told",
    "drift.expected_rewrite": "The policy had planned a rewrite of this branch at this time",
    "stale.idle_merged": "Idle for longer than the policy allows, and merged",
    "stale.idle_unmerged": "Idle for longer than the policy allows, and not merged",
    "stale.idle_merge_unknown": (
        "Idle for longer than the policy allows; whether it is merged cannot be told"
    ),
    "stale.notice": "About to count as stale",
    "stale.base_behind": "Too many commits behind the default branch",
    "run.missing_for_head": "No run record for the head",
    "run.missing_under_lease": "No run record for work done under a lease",
    "run.missing_for_merge": "Merged without a run record",
    "run.gates_missing": "Required gates have no result at this head",
    "lease.expired_without_life": "A lease ran out without a sign of life",
    "lease.life_cap_reached": "A lease reached its total-life cap",
    "repository.deleted": "The host says that the repository is gone",
    "source.signature_refused": "Deliveries are refused: their signature does not verify",
    "source.old_secret": "The host still signs with an old secret",
    "review.unmapped": "No rule knows this case: a person has to look",
}


ACT_WORDS = {
    "alert.open": "opened the alert",
    "alert.reopen": "reopened the alert",
    "alert.escalate": "found an escalation due",
    "alert.escalation_due": "found an escalation due; nothing was sent",
    "alert.acknowledge": "acknowledged it",
    "alert.unacknowledge": "took the acknowledgement back",
    "alert.void_acknowledgement": "voided the acknowledgement",
    "alert.expire_acknowledgement": "ended the acknowledgement",
    "alert.snooze": "snoozed it",
    "alert.void_snooze": "voided the snooze",
    "alert.end_snooze": "ended the snooze",
    "alert.resolve": "resolved it",
    "snapshot.accept": "accepted the remote head",
    "snapshot.advance": "advanced the governed snapshot",
    "repository.connect": "connected the repository",
    "repository.change": "changed the repository",
    "decision.head_drift": "decided about head drift",
    "decision.stale_branch": "decided about staleness",
    "decision.missing_run": "decided about run records",
    "decision.lease_renewal": "decided about leases",
    "decision.divergence_alert": "decided about alerts",
    "decision.observe_refs": "read the heads",
    "finding.open": "opened a finding",
    "finding.reopen": "reopened a finding",
    "finding.resolve": "resolved a finding",
    "lease.acquire": "acquired a lease",
    "lease.renew": "renewed a lease",
    "lease.release": "released a lease",
    "lease.expire": "ended a lease that ran out",
    "lease.break": "broke a lease",
    "lease.check": "checked a push against the lease",
    "run.start": "started a run",
    "run.finish": "finished a run",
    "run.abandon": "marked a run abandoned",
    "task.dead": "gave a task up",
    "task.requeue": "requeued a task",
    "task.discard": "discarded a task",
    "task.claim_lost": "took a task back from a lost worker",
    "sweep.plan": "planned a sweep",
}


@dataclass(frozen=True, slots=True)
class HitLine:
    """One rule hit in words; the heaviest one decides the severity."""

    rule: str
    words: str
    weight: int
    inputs: tuple[tuple[str, str], ...]
    decides: bool


@dataclass(frozen=True, slots=True)
class MatrixLine:
    """A row of the matrix; equal commit ids share a letter, so that agreement is seen at once."""

    row: CoherenceRow
    letter: str
    is_sha: bool


@register.filter
def pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Return named values as pairs, whether they were stored as an object or as a list."""
    items = value.items() if isinstance(value, Mapping) else (value or ())
    return tuple((str(name), str(one)) for name, one in items if one not in (None, ""))


@register.filter
def rule_words(rule: str) -> str:
    """Return a rule in words, or its id when it has none yet."""
    return RULE_WORDS.get(rule, rule)


@register.filter
def hit_lines(rule_hits: Any) -> tuple[HitLine, ...]:
    """Return stored rule hits, heaviest first."""
    hits = sorted(rule_hits or (), key=lambda hit: (-int(hit["weight"]), hit["rule"]))
    return tuple(
        HitLine(
            rule=hit["rule"],
            words=rule_words(hit["rule"]),
            weight=int(hit["weight"]),
            inputs=pairs(hit.get("inputs")),
            decides=place == 0,
        )
        for place, hit in enumerate(hits)
    )


@register.filter
def act_words(action: str) -> str:
    """Return an audited action as what somebody did, or its name when it has no words yet."""
    return ACT_WORDS.get(action, spaced(action))


@register.filter
def spaced(word: str) -> str:
    """Return `head_drift` as `head drift` and `alert.open` as `alert open`."""
    return word.replace("_", " ").replace(".", " ")


@register.inclusion_tag("reconciler/parts/matrix.html", takes_context=True)
def coherence_table(context: Any, matrix: CoherenceMatrix) -> dict[str, Any]:
    """Show the five sources side by side."""
    letters: dict[str, str] = {}
    lines = []
    for row in matrix.rows:
        is_sha = row.source != "lease"
        letter = ""
        if is_sha and row.value:
            letter = letters.setdefault(row.value, "ABCDE"[len(letters)])
        lines.append(MatrixLine(row=row, letter=letter, is_sha=is_sha))
    return {"lines": lines, "matrix": matrix, "now": context["now"]}


@register.inclusion_tag("reconciler/parts/pips.html")
def coherence_pips(matrix: CoherenceMatrix) -> dict[str, Any]:
    """Show five marks, one per source, with their sum in words."""
    answers = [row.agrees for row in matrix.rows]
    return {
        "rows": matrix.rows,
        "agreeing": answers.count(True),
        "differing": answers.count(False),
        "unknown": answers.count(None),
    }
