"""Reads Reach's own files as policy: what each key becomes, and what becomes nothing; pure.

Two files are known: the workspace manifest (`reach.workspace.json`) and the governance policy
(`governance-policy.json`). Nothing in them is dropped silently: a key is either taken over or
named among what was not, with the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.domain.policy import DEFAULT_DOCUMENT
from governance.domain.policy_schema import (
    SECONDS_OF_30_DAYS,
    Merge,
    leaves,
    path_of,
    setting_of,
)
from governance.domain.policy_values import Fault, Path, wrong_type


class NotAManifest(ValueError):
    """The value is neither a workspace manifest nor a governance policy of Reach."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A key of the file that became a key of the policy."""

    path: Path
    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A key of the file that became nothing, with its value and why."""

    path: Path
    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file means as a policy document.

    `faults` are values of a wrong kind, at their paths in the file; with any, do not publish.
    """

    what: str
    document: Mapping[str, Any]
    taken: tuple[Taken, ...]
    not_understood: tuple[NotUnderstood, ...]
    faults: tuple[Fault, ...]


_ELSEWHERE: Mapping[Path, str] = {
    ("git", "remote"): "the name of a remote in a clone; repositories are connected by address",
    ("git", "default_branch"): "belongs to the repository, which takes it from its host",
    ("git", "sync_strategy"): "how people bring clones up to date is not governed here",
    ("acknowledgements", "intent_ack_path"): "a file of the clone; alerts are acknowledged here",
    ("acknowledgements", "openapi_ack_path"): "a file of the clone; alerts are acknowledged here",
    ("identity", "git_host"): "belongs to the repository: its host kind",
    ("identity", "auth_mode"): "how Reach logs in is not governed here",
    ("gateBypass",): "gates cannot be bypassed here",
    ("requiredHumanSignoff",): "approvals are asked for by the host's branch protection",
    ("autoMergeEligibility",): "nothing is merged from here",
}


def import_manifest(value: Any) -> Imported:
    """Return what one of Reach's files, parsed, means as a policy document.

    Raises:
        NotAManifest: the value looks like neither.
    """
    if isinstance(value, dict) and value.keys() & {"git", "gates", "risk_zones", "identity"}:
        return _Reading(value).as_workspace_manifest()
    if isinstance(value, dict) and value.keys() & {"gateBypass", "highRiskZones", "escalation"}:
        return _Reading(value).as_governance_policy()
    raise NotAManifest(
        "this is neither a workspace manifest (git, gates, risk_zones) nor a governance policy"
        " (highRiskZones, escalation, gateBypass) of Reach"
    )


def combined(imports: Sequence[Imported]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the documents of several files as one, and the keys on which they disagree.

    Lists that layers unite are united; of other keys on which they disagree the last one is kept.
    """
    values: dict[str, Any] = {}
    disagreed = set()
    for key, value in (leaf for one in imports for leaf in leaves(one.document)):
        setting, before = setting_of(key), values.get(key, value)
        if setting.merge is Merge.UNION:
            values[key] = setting.kind.canonical([*before, *value])
            continue
        if before != value:
            disagreed.add(key)
        values[key] = value
    document: dict[str, Any] = {}
    for key, value in sorted(values.items()):
        section, name = path_of(key)
        document.setdefault(section, {})[name] = value
    return document, tuple(sorted(disagreed))


@dataclass(slots=True)
class _Reading:
    """One file being read: every leaf is taken over or noted, so nothing can be forgotten."""

    value: Mapping[str, Any]
    document: dict[str, Any] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    not_understood: list[NotUnderstood] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    done: set[Path] = field(default_factory=set)

    def as_workspace_manifest(self) -> Imported:
        """Read `reach.workspace.json`."""
        self._version(("schema_version",), known="1")
        self._take(("git", "required_pr_flow"), "changes.required_pr_flow")
        self._take(("git", "stale_base_threshold_commits"), "stale_branch.stale_base_commits")
        self._take(("git", "branch_naming"), "branches.naming")
        self._take(("gates", "required"), "changes.required_gates")
        self._take(("risk_zones", "high_risk_paths"), "changes.high_risk_paths")
        return self._imported("workspace manifest")

    def as_governance_policy(self) -> Imported:
        """Read `governance-policy.json`."""
        self._version(("version",), known="1")
        self._take(("escalation", "ladder"), "alerts.escalation", translate=ladder_of_roles)
        self._take(("highRiskZones",), "changes.high_risk_paths", translate=patterns_of_zones)
        return self._imported("governance policy")

    def _version(self, path: Path, *, known: str) -> None:
        found = _at(self.value, path)
        self.done.add(path)
        if found is not None and str(found).split(".", 1)[0] != known:
            why = f"files of version {known} are known; this one was read as if it were one"
            self.not_understood.append(NotUnderstood(path, found, why))

    def _take(
        self,
        path: Path,
        key: str,
        *,
        translate: Callable[[list[str]], Any] | None = None,
    ) -> None:
        found = _at(self.value, path)
        if found is None:
            return
        self.done.add(path)
        if translate is not None:
            wrong = _faults_of_words(found, path)
            self.faults += wrong
            if wrong:
                return
            found = translate(found)
        kind = setting_of(key).kind
        wrong = list(kind.faults(found, path))
        self.faults += wrong
        if not wrong:
            canonical = kind.canonical(found)
            section, name = path_of(key)
            self.document.setdefault(section, {})[name] = canonical
            self.taken.append(Taken(path, key, canonical))

    def _imported(self, what: str) -> Imported:
        self._note_the_rest(self.value, ())
        return Imported(
            what=what,
            document=self.document,
            taken=tuple(self.taken),
            not_understood=tuple(self.not_understood),
            faults=tuple(self.faults),
        )

    def _note_the_rest(self, value: Mapping[str, Any], path: Path) -> None:
        for name, item in value.items():
            below = (*path, name)
            if below in self.done:
                continue
            if isinstance(item, dict) and item and below not in _ELSEWHERE and len(below) < 4:
                self._note_the_rest(item, below)
            else:
                unknown = "this key is not known" if item is not None else "nothing is written here"
                why = _ELSEWHERE.get(below, unknown)
                self.not_understood.append(NotUnderstood(below, item, why))


def patterns_of_zones(zones: list[str]) -> list[str]:
    """Return high-risk zones as path patterns.

    Reach marks a path when the zone's text occurs anywhere in it: `auth/` also means `src/auth/x`,
    and `webhook` means `api/webhooks.ts`. The patterns say the same, segment by segment. A zone
    that is a glob already is taken as it is.
    """
    return [_pattern_of_zone(zone) for zone in zones]


def ladder_of_roles(roles: list[str]) -> list[dict[str, Any]]:
    """Return a ladder of roles with times: the built-in ones, then four times longer per step.

    Reach's ladder says who, not when. The first three steps get the times of the default policy.
    """
    times = [step["after_seconds"] for step in DEFAULT_DOCUMENT["alerts"]["escalation"]]
    while len(times) < len(roles):
        times.append(min(times[-1] * 4, SECONDS_OF_30_DAYS))
    return [
        {"role": role, "after_seconds": after} for role, after in zip(roles, times, strict=False)
    ]


def _pattern_of_zone(zone: str) -> str:
    if any(character in zone for character in "*?["):
        return zone
    first, *rest = zone.strip("/").split("/")
    whole = "/".join((f"*{first}", *rest))
    return f"**/{whole}/**" if zone.endswith("/") else f"**/{whole}*/**"


def _faults_of_words(value: Any, path: Path) -> list[Fault]:
    if not isinstance(value, list):
        return [wrong_type(path, "a list", value)]
    return [
        wrong_type((*path, index), "text", item)
        for index, item in enumerate(value)
        if not isinstance(item, str) or not item.strip("/ ")
    ]


def _at(value: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value
