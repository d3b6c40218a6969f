"""The effective policy that decisions are made under: every threshold with its unit; pure.

How layers are merged into it is `policy_layers`; how a document is checked is `policy_schema`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from audit.domain.canonical import canonical_json, sha256_of
from governance.domain import branch_conventions


class Mode(StrEnum):
    """What a check or rule may do: nothing, record findings, or also raise alerts."""

    OFF = "off"
    OBSERVE = "observe"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class BranchRules:
    """Which branches matter. Patterns match whole names; `*` stays in a segment, `**` crosses."""

    protected: tuple[str, ...]
    governed: tuple[str, ...]
    keep: tuple[str, ...]
    protected_by_convention: tuple[str, ...]
    keep_by_convention: tuple[str, ...]
    naming: str
    """Such as `reach/<task>/<timestamp>`; each `<…>` stands for one segment. Empty: none."""


@dataclass(frozen=True, slots=True)
class ChangeRules:
    """How changes must arrive."""

    required_pr_flow: bool
    governance_labels: tuple[str, ...]
    required_gates: tuple[str, ...]
    high_risk_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpectedRewrite:
    """A planned force-push: who may rewrite which branch, between which instants (UTC text)."""

    branch: str
    actor: str
    starts_at: str
    ends_at: str


@dataclass(frozen=True, slots=True)
class HeadDriftRules:
    """Thresholds of the head drift check."""

    mode: Mode
    settle_seconds: int
    clean_checks: int
    expected_rewrites: tuple[ExpectedRewrite, ...]


@dataclass(frozen=True, slots=True)
class StaleBranchRules:
    """Thresholds of the stale branch check."""

    mode: Mode
    idle_days: int
    notice_days: int
    stale_base_commits: int
    compare_files: bool = False


@dataclass(frozen=True, slots=True)
class MissingRunRules:
    """Thresholds of the missing run check."""

    mode: Mode
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class RunRules:
    """What a run record needs, besides its gates, to cover a change."""

    require_lease: bool


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """Thresholds of leases and of their renewal."""

    mode: Mode
    default_ttl_seconds: int
    min_ttl_seconds: int
    max_ttl_seconds: int
    renew_at_ttl_fraction: int
    """Renew when at most 1/n of the TTL is left."""
    max_life_seconds: int
    lock_delay_seconds: int
    heartbeat_seconds: int
    """A heartbeat of the lease or its run proves life for this long."""


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """Who is to be notified of an unresolved alert this long after it opened."""

    role: str
    after_seconds: int


@dataclass(frozen=True, slots=True)
class AlertRules:
    """When a finding becomes an alert, and what happens while nobody resolves it."""

    from_severity: str
    clean_checks: int
    recheck_seconds: int
    default_acknowledge_seconds: int
    max_acknowledge_seconds: int
    escalation: tuple[EscalationStep, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that a rule may ask; `digest` names it in decisions."""

    branches: BranchRules
    changes: ChangeRules
    head_drift: HeadDriftRules
    stale_branch: StaleBranchRules
    missing_run: MissingRunRules
    lease: LeaseRules
    alerts: AlertRules
    rule_modes: tuple[tuple[str, Mode], ...]
    rule_weights: tuple[tuple[str, int], ...]
    digest: str
    runs: RunRules = RunRules(require_lease=False)

    def mode_of(self, rule_id: str, check_mode: Mode) -> Mode:
        """Return the mode of a rule: its own when set, else that of its check."""
        return dict(self.rule_modes).get(rule_id, check_mode)

    def weight_of(self, rule_id: str, default: int) -> int:
        """Return the weight (0-100) of a rule."""
        return dict(self.rule_weights).get(rule_id, default)


DEFAULT_DOCUMENT: dict[str, Any] = {
    "branches": {
        "protected": [],
        "governed": [],
        "keep": [],
        "naming": "",
        "protected_by_convention": list(branch_conventions.PROTECTED),
        "keep_by_convention": list(branch_conventions.KEPT),
    },
    "changes": {
        "required_pr_flow": False,
        "governance_labels": ["governed"],
        "required_gates": [],
        "high_risk_paths": [],
    },
    "head_drift": {
        "mode": "alert",
        "settle_seconds": 15,
        "clean_checks": 2,
        "expected_rewrites": [],
    },
    "stale_branch": {
        "mode": "alert",
        "idle_days": 60,
        "notice_days": 7,
        "stale_base_commits": 8,
        "compare_files": False,
    },
    "missing_run": {"mode": "alert", "grace_seconds": 600},
    "runs": {"require_lease": False},
    "lease": {
        "mode": "alert",
        "default_ttl_seconds": 900,
        "min_ttl_seconds": 60,
        "max_ttl_seconds": 3600,
        "renew_at_ttl_fraction": 3,
        "max_life_seconds": 28800,
        "lock_delay_seconds": 15,
        "heartbeat_seconds": 300,
    },
    "alerts": {
        "from_severity": "high",
        "clean_checks": 2,
        "recheck_seconds": 30,
        "default_acknowledge_seconds": 86400,
        "max_acknowledge_seconds": 2592000,
        "escalation": [
            {"role": "maintainer", "after_seconds": 900},
            {"role": "security-reviewer", "after_seconds": 3600},
            {"role": "release-manager", "after_seconds": 14400},
        ],
    },
    "rules": {},
}
"""The site's policy when nobody published one. `rules` maps rule ids to `{mode, weight}`."""


def policy_from_document(document: Mapping[str, Any]) -> Policy:
    """Return the policy written in a complete (merged) document.

    Raises:
        KeyError: an incomplete document; merge it over `DEFAULT_DOCUMENT` first.
        ValueError: an unknown mode.
    """
    changes, drift, alerts = document["changes"], document["head_drift"], document["alerts"]
    stale, missing, lease = document["stale_branch"], document["missing_run"], document["lease"]
    rules = document["rules"]
    return Policy(
        branches=BranchRules(
            protected=tuple(document["branches"]["protected"]),
            governed=tuple(document["branches"]["governed"]),
            keep=tuple(document["branches"]["keep"]),
            naming=document["branches"]["naming"],
            # Documents stored before there were such lists hold none.
            protected_by_convention=tuple(document["branches"].get("protected_by_convention", ())),
            keep_by_convention=tuple(document["branches"].get("keep_by_convention", ())),
        ),
        changes=ChangeRules(
            required_pr_flow=changes["required_pr_flow"],
            governance_labels=tuple(changes["governance_labels"]),
            required_gates=tuple(changes["required_gates"]),
            high_risk_paths=tuple(changes["high_risk_paths"]),
        ),
        head_drift=HeadDriftRules(
            mode=Mode(drift["mode"]),
            settle_seconds=drift["settle_seconds"],
            clean_checks=drift["clean_checks"],
            expected_rewrites=tuple(
                ExpectedRewrite(**window) for window in drift["expected_rewrites"]
            ),
        ),
        stale_branch=StaleBranchRules(
            mode=Mode(stale["mode"]),
            idle_days=stale["idle_days"],
            notice_days=stale["notice_days"],
            stale_base_commits=stale["stale_base_commits"],
            # Not in documents of decisions made before there was a choice.
            compare_files=stale.get("compare_files", False),
        ),
        missing_run=MissingRunRules(
            mode=Mode(missing["mode"]), grace_seconds=missing["grace_seconds"]
        ),
        lease=LeaseRules(**{**lease, "mode": Mode(lease["mode"])}),
        alerts=AlertRules(
            **{
                **alerts,
                "escalation": tuple(EscalationStep(**step) for step in alerts["escalation"]),
            }
        ),
        rule_modes=tuple(
            (rule, Mode(rules[rule]["mode"])) for rule in sorted(rules) if "mode" in rules[rule]
        ),
        rule_weights=tuple(
            (rule, rules[rule]["weight"]) for rule in sorted(rules) if "weight" in rules[rule]
        ),
        digest=sha256_of(document),
        # Documents that were stored before there was such a section keep their meaning.
        runs=RunRules(**document.get("runs", DEFAULT_DOCUMENT["runs"])),
    )


def document_text(document: Mapping[str, Any]) -> str:
    """Return the canonical text of a document: what `Policy.digest` is the SHA-256 of."""
    return canonical_json(document)


def matches(pattern: str, name: str) -> bool:
    """Return whether a glob matches a whole branch name or path, segment by segment.

    `*`, `?` and `[…]` stay within one segment; `**` stands for any number of segments; a pattern
    that ends in `/` means everything below. Case matters, as in git.
    """
    if pattern.endswith("/"):
        pattern += "**"
    return _match_segments(tuple(pattern.split("/")), tuple(name.split("/")))


def _match_segments(pattern: tuple[str, ...], name: tuple[str, ...]) -> bool:
    # Dynamic programming instead of recursion: `**/**/**/…` must not cost exponential time.
    reachable = {0}
    for part in pattern:
        if part == "**":
            reachable = set(range(min(reachable), len(name) + 1))
        else:
            reachable = {
                index + 1
                for index in reachable
                if index < len(name) and fnmatchcase(name[index], part)
            }
        if not reachable:
            return False
    return len(name) in reachable


def matching(patterns: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return the patterns that match, in the order given."""
    return tuple(pattern for pattern in patterns if matches(pattern, name))


def follows_naming(naming: str, branch: str) -> bool:
    """Return whether a branch follows a naming template such as `reach/<task>/<timestamp>`."""
    if not naming:
        return False
    wanted, given = naming.split("/"), branch.split("/")
    if len(wanted) != len(given):
        return False
    return all(
        part == piece or (part.startswith("<") and part.endswith(">") and piece != "")
        for part, piece in zip(wanted, given, strict=True)
    )


def branch_class_of(name: str, *, default_branches: Collection[str], policy: Policy) -> str:
    """Return default, protected, governed or other; the first that applies.

    `default_branches` are the one that governance accepted and the one that HEAD names now.
    """
    if name in default_branches:
        return "default"
    rules = policy.branches
    if matching((*rules.protected, *rules.protected_by_convention), name):
        return "protected"
    if matching(rules.governed, name) or follows_naming(rules.naming, name):
        return "governed"
    return "other"
