"""Every key of a policy document, in one table: kind, unit, merge rule, tightening; pure.

The same table checks documents, merges layers, holds floors and is printed in `docs/policy.md`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from governance.domain.branch_patterns import why_it_matches_nothing
from governance.domain.policy import DEFAULT_DOCUMENT, Mode
from governance.domain.policy_tightening import Tighter
from governance.domain.policy_values import (
    Choice,
    Fault,
    Flag,
    Instant,
    Kind,
    Path,
    Records,
    SetOf,
    Text,
    Whole,
)

LAYERS = ("site", "tenant", "workspace", "repository", "branch")
"""From the least to the most specific."""
RULES = "rules"
FLOORS = "floors"

ANY_RULE: Mapping[str, Any] = {"rules.*.mode": "alert", "rules.*.weight": 100}
"""Keys that stand for all rules, each with its tightest value; only `floors` may name them."""
CHECK_OF_RULES: Mapping[str, str] = {
    "drift": "head_drift",
    "stale": "stale_branch",
    "run": "missing_run",
    "lease": "lease",
}
"""The first word of a rule's id names the check it belongs to. `review` belongs to none."""


class Merge(StrEnum):
    """What a more specific layer does to the value of the layers above it."""

    REPLACE = "replace"
    UNION = "union"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `*` in a key stands for the id of any rule."""

    key: str
    kind: Kind
    unit: str
    merge: Merge
    tighter: Tighter
    meaning: str
    in_branch_layer: bool = True

    @property
    def default(self) -> Any:
        """Return the value when no layer says anything; None for rules, which have none."""
        section, leaf = self.key.split(".", 1)
        return None if section == RULES else DEFAULT_DOCUMENT[section][leaf]


def _no_trouble(_: str) -> str:
    return ""


def pattern_trouble(pattern: str) -> str:
    """Return what is wrong with the form of a branch or path pattern, or nothing."""
    if pattern.startswith("refs/heads/"):
        return "names a ref; write the branch name without refs/heads/"
    if pattern.startswith("/"):
        return "starts with /; names and paths do not"
    if "//" in pattern:
        return "holds an empty segment (//)"
    if pattern.count("/") > 20:
        return "has more than 21 segments"
    return ""


def branch_pattern_trouble(pattern: str) -> str:
    """Return what is wrong with a branch pattern, or nothing; one that matches no name is wrong."""
    return pattern_trouble(pattern) or why_it_matches_nothing(pattern)


def _naming_trouble(naming: str) -> str:
    for part in naming.split("/"):
        if part == "":
            return "holds an empty segment"
        if ("<" in part or ">" in part) and not (
            part.startswith("<") and part.endswith(">") and part.count("<") == part.count(">") == 1
        ):
            return "has a placeholder that is not a whole segment; write such as reach/<task>"
    return why_it_matches_nothing(re.sub(r"<[^/]*>", "*", naming))


def _ladder_faults(steps: Sequence[Any], path: Path) -> Iterator[Fault]:
    roles: set[str] = set()
    for index, step in enumerate(steps):
        if step["role"] in roles:
            yield Fault((*path, index, "role"), "duplicate", f"{step['role']!r} is named twice")
        roles.add(step["role"])


def _window_faults(windows: Sequence[Any], path: Path) -> Iterator[Fault]:
    for index, window in enumerate(windows):
        starts, ends = (datetime.fromisoformat(window[name]) for name in ("starts_at", "ends_at"))
        if ends <= starts:
            yield Fault((*path, index, "ends_at"), "out_of_range", "must be after starts_at")


MODE = Choice(tuple(mode.value for mode in Mode))
SEVERITY = Choice(("info", "low", "medium", "high", "critical"))
FLAG = Flag()
BRANCH_PATTERNS = SetOf(Text("branch pattern", branch_pattern_trouble))
PATH_PATTERNS = SetOf(Text("path pattern", pattern_trouble))
NAMES = SetOf(Text("name", _no_trouble))
NAMING = Text("naming template", _naming_trouble, may_be_empty=True)
SECONDS_OF_30_DAYS = 2_592_000
REWRITES = Records(
    fields=(
        ("branch", Text("branch pattern", branch_pattern_trouble)),
        ("actor", Text("name", _no_trouble)),
        ("starts_at", Instant()),
        ("ends_at", Instant()),
    ),
    order=lambda window: window["starts_at"],
    check=_window_faults,
)
LADDER = Records(
    fields=(("role", Text("name", _no_trouble)), ("after_seconds", Whole(0, SECONDS_OF_30_DAYS))),
    order=lambda step: step["after_seconds"],
    check=_ladder_faults,
)

_REPLACE, _UNION = Merge.REPLACE, Merge.UNION
_LOWER, _HIGHER, _FIXED = Tighter.LOWER, Tighter.HIGHER, Tighter.FIXED

# fmt: off
SETTINGS: tuple[Setting, ...] = (
    Setting("branches.protected", BRANCH_PATTERNS, "patterns", _UNION, Tighter.SUPERSET,
            "Branches whose rewrite, rewind or deletion is high risk.", in_branch_layer=False),
    Setting("branches.governed", BRANCH_PATTERNS, "patterns", _UNION, Tighter.SUPERSET,
            "Branches whose changes must have run records.", in_branch_layer=False),
    Setting("branches.keep", BRANCH_PATTERNS, "patterns", _REPLACE, Tighter.SUBSET,
            "Branches never proposed for retirement.", in_branch_layer=False),
    Setting("branches.protected_by_convention", BRANCH_PATTERNS, "patterns", _REPLACE,
            Tighter.SUPERSET, "Names by which branches are protected unless a layer says other"
            " ones; added to `branches.protected`.", in_branch_layer=False),
    Setting("branches.keep_by_convention", BRANCH_PATTERNS, "patterns", _REPLACE, Tighter.SUBSET,
            "Staging and queue branches of bots, and the like: never proposed for retirement;"
            " added to `branches.keep`.", in_branch_layer=False),
    Setting("branches.naming", NAMING, "template", _REPLACE, _FIXED,
            "Names of governed branches, such as `reach/<task>/<timestamp>`; empty: none.",
            in_branch_layer=False),
    Setting("changes.required_pr_flow", FLAG, "", _REPLACE, _HIGHER,
            "Whether the default branch changes through pull requests only."),
    Setting("changes.governance_labels", NAMES, "labels", _REPLACE, Tighter.SUPERSET,
            "Labels of a pull request that count as governance activity."),
    Setting("changes.required_gates", NAMES, "contexts", _UNION, Tighter.SUPERSET,
            "Gates (status contexts) that must pass."),
    Setting("changes.high_risk_paths", PATH_PATTERNS, "patterns", _UNION, Tighter.SUPERSET,
            "Paths whose change without a run record is high risk."),
    Setting("head_drift.mode", MODE, "", _REPLACE, _HIGHER,
            "What the head drift check may do."),
    Setting("head_drift.settle_seconds", Whole(0, 300), "seconds", _REPLACE, _LOWER,
            "How long drift must last before it counts (not for rewrites on protected branches)."),
    Setting("head_drift.clean_checks", Whole(1, 10), "checks", _REPLACE, _HIGHER,
            "How many clean checks in a row resolve a drift finding."),
    Setting("head_drift.expected_rewrites", REWRITES, "windows", _REPLACE, Tighter.SUBSET,
            "Planned force-pushes: branch, actor, starts_at, ends_at."),
    Setting("stale_branch.mode", MODE, "", _REPLACE, _HIGHER,
            "What the stale branch check may do."),
    Setting("stale_branch.idle_days", Whole(1, 3650), "days", _REPLACE, _LOWER,
            "How long a branch may be idle."),
    Setting("stale_branch.notice_days", Whole(0, 90), "days", _REPLACE, _LOWER,
            "Notice before retirement is recommended."),
    Setting("stale_branch.stale_base_commits", Whole(1, 100_000), "commits", _REPLACE, _LOWER,
            "How far a branch may be behind the default branch."),
    Setting("stale_branch.compare_files", FLAG, "", _REPLACE, _FIXED,
            "Fetch the few files that decide whether an idle branch was merged."),
    Setting("missing_run.mode", MODE, "", _REPLACE, _HIGHER,
            "What the missing run check may do."),
    Setting("missing_run.grace_seconds", Whole(0, 86_400), "seconds", _REPLACE, _LOWER,
            "How long a run record may be in flight."),
    Setting("runs.require_lease", FLAG, "", _REPLACE, _HIGHER,
            "Whether a run record covers a push only under a lease of its actor or pusher."),
    Setting("lease.mode", MODE, "", _REPLACE, _HIGHER,
            "What the lease renewal check may do."),
    Setting("lease.default_ttl_seconds", Whole(30, 86_400), "seconds", _REPLACE, _LOWER,
            "Life of a lease whose asker names none."),
    Setting("lease.min_ttl_seconds", Whole(5, 86_400), "seconds", _REPLACE, _LOWER,
            "Shortest life that may be asked for."),
    Setting("lease.max_ttl_seconds", Whole(30, 86_400), "seconds", _REPLACE, _LOWER,
            "Longest life that may be asked for."),
    Setting("lease.renew_at_ttl_fraction", Whole(2, 10), "n of 1/n", _REPLACE, _FIXED,
            "A lease is renewed when at most 1/n of its life is left."),
    Setting("lease.max_life_seconds", Whole(60, 604_800), "seconds", _REPLACE, _LOWER,
            "Total life of a lease, renewals included."),
    Setting("lease.lock_delay_seconds", Whole(0, 300), "seconds", _REPLACE, _HIGHER,
            "Wait after an expiry or a break before another holder gets the lease."),
    Setting("lease.heartbeat_seconds", Whole(2, 3600), "seconds", _REPLACE, _LOWER,
            "How long a heartbeat proves life."),
    Setting("alerts.from_severity", SEVERITY, "", _REPLACE, _LOWER,
            "Findings of this severity and above become alerts."),
    Setting("alerts.clean_checks", Whole(1, 10), "checks", _REPLACE, _HIGHER,
            "How many clean checks in a row resolve an alert."),
    Setting("alerts.recheck_seconds", Whole(5, 3600), "seconds", _REPLACE, _LOWER,
            "How soon a branch with an open alert is checked again."),
    Setting("alerts.default_acknowledge_seconds", Whole(60, SECONDS_OF_30_DAYS), "seconds",
            _REPLACE, _LOWER, "How long an acknowledgement holds that names no end."),
    Setting("alerts.max_acknowledge_seconds", Whole(60, SECONDS_OF_30_DAYS), "seconds",
            _REPLACE, _LOWER, "How long an acknowledgement may hold."),
    Setting("alerts.escalation", LADDER, "steps", _REPLACE, Tighter.SOONER,
            "Who is to be notified of an unresolved alert, and how long after it opened;"
            " nothing is sent yet."),
    Setting("rules.*.mode", MODE, "", _REPLACE, _HIGHER,
            "What one rule may do, in place of the mode of its check."),
    Setting("rules.*.weight", Whole(0, 100), "points", _REPLACE, _HIGHER,
            "What one rule adds to the risk, in place of its built-in weight."),
)
# fmt: on

CEILINGS: tuple[tuple[str, str], ...] = (
    ("lease.max_ttl_seconds", "lease.max_life_seconds"),
    ("lease.default_ttl_seconds", "lease.max_ttl_seconds"),
    ("lease.min_ttl_seconds", "lease.default_ttl_seconds"),
    ("alerts.default_acknowledge_seconds", "alerts.max_acknowledge_seconds"),
)
"""(key, its ceiling): layers that are each right may together ask for a default above a maximum.

All of these keys are tighter when lower, so that lowering one never breaks a floor.
"""

BY_KEY: Mapping[str, Setting] = {setting.key: setting for setting in SETTINGS}
BRANCH_PATTERN_KEYS = tuple(
    setting.key for setting in SETTINGS if setting.kind in (BRANCH_PATTERNS, REWRITES)
)
SECTIONS: tuple[str, ...] = tuple(
    dict.fromkeys(setting.key.split(".", 1)[0] for setting in SETTINGS)
)


def setting_of(key: str) -> Setting:
    """Return the setting of a key such as `lease.mode` or `rules.drift.rewrite.weight`.

    Raises:
        KeyError: there is no such key.
    """
    section, *names = path_of(key)
    return BY_KEY[f"{RULES}.*.{names[-1]}" if section == RULES else key]


def check_mode_key(key: str) -> str:
    """Return the key of the mode of the check that a rule's mode belongs to, or nothing."""
    section, *names = path_of(key)
    if section != RULES or names[-1] != "mode":
        return ""
    check = CHECK_OF_RULES.get(names[0].split(".", 1)[0], "")
    return f"{check}.mode" if check else ""


def path_of(key: str) -> tuple[str, ...]:
    """Return where a key lies in a document; the id of a rule may hold dots."""
    section, _, rest = key.partition(".")
    if section != RULES:
        return (section, rest)
    rule, _, leaf = rest.rpartition(".")
    return (section, rule, leaf)


def leaves(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every key that a checked document sets, with its value, sorted by key."""
    found: dict[str, Any] = {}
    for section in SECTIONS:
        for name, value in document.get(section, {}).items():
            if section == RULES:
                found |= {f"{RULES}.{name}.{leaf}": item for leaf, item in value.items()}
            else:
                found[f"{section}.{name}"] = value
    yield from sorted(found.items())
