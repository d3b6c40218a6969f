"""How the `policy` command tells people what it found: lines of text; decides nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from governance.domain.manifest import Imported
from governance.domain.policy_layers import Origin
from governance.domain.policy_schema import CHECK_OF_RULES, SETTINGS, setting_of
from governance.selectors.policies import Explanation
from governance.services.policy_planning import Plan
from reconciliation.domain.risk import RULE_WEIGHTS
from reconciliation.services.policy_rollout import Rollout


def import_values(file: str, imported: Imported) -> dict[str, Any]:
    """Return what a file became, for programs."""
    return {
        "file": file,
        "what": imported.what,
        "taken": [
            {"path": _dotted(one.path), "key": one.key, "value": one.value}
            for one in imported.taken
        ],
        "not_understood": [
            {"path": _dotted(one.path), "value": one.value, "why": one.why}
            for one in imported.not_understood
        ],
    }


def import_lines(file: str, imported: Imported) -> Iterator[str]:
    """Yield what a file became, for people."""
    yield f"# {file}: {imported.what}"
    for taken in imported.taken:
        yield f"#   {_dotted(taken.path)} -> {taken.key}"
    for left in imported.not_understood:
        yield f"#   not taken over: {_dotted(left.path)} = {_shown(left.value)}: {left.why}"


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield what publishing would change, for people."""
    version = f"version {plan.previous.version}" if plan.previous else "no version"
    yield f"{plan.place.name}: {version} in force"
    for change in plan.changes:
        yield f"  {change.key}: {_shown(change.before)} -> {_shown(change.after)}"
    if not plan.changes:
        yield "  nothing changes"
    for key in plan.loosened_floors:
        yield f"  loosens the floor of {key}: a second person must approve"
    for below in plan.overruled_below:
        wanted, in_force = _shown(below.wanted), _shown(below.in_force)
        yield f"  overrules {below.layer}: {below.key} {wanted} -> {in_force}"


def rollout_lines(rollout: Rollout) -> Iterator[str]:
    """Yield what publishing led to, for people; the version is the last word."""
    published = rollout.published
    if number := rollout.reclassified:
        yield f"{number} {'branch has' if number == 1 else 'branches have'} another class now"
    if number := rollout.planned:
        yield f"{number} check{'' if number == 1 else 's'} planned"
    if rollout.left:
        yield f"{rollout.left} more are not: reconcile their repositories to have them made too"
    was = "published" if published.is_new else "in force already"
    yield f"version {published.version.version} {was}"


def explanation_lines(explanation: Explanation, *, name: str) -> Iterator[str]:
    """Yield the policy in force and the origin of each value, for people."""
    yield f"{name}: policy {explanation.digest}"
    yield f"layers: {', '.join(layer.label for layer in explanation.layers) or 'none'}"
    for origin in explanation.origins:
        yield f"  {_origin_line(origin)}"


def key_table() -> Iterator[str]:
    """Yield every key of a policy as a Markdown table; `docs/policy.md` holds the same lines."""
    yield "| key | allowed | unit | default | merge | tighter | branch layer | meaning |"
    yield "|---|---|---|---|---|---|---|---|"
    for setting in SETTINGS:
        default = "" if setting.default is None else f"`{_compact(setting.default)}`"
        cells = (
            f"`{setting.key}`",
            setting.kind.describe(),
            setting.unit,
            default,
            setting.merge.value,
            setting.tighter.value,
            "yes" if setting.in_branch_layer else "no",
            setting.meaning,
        )
        yield f"| {' | '.join(cells)} |"


def key_values() -> list[dict[str, Any]]:
    """Return every key of a policy, for programs."""
    return [
        {
            "key": setting.key,
            "allowed": setting.kind.describe(),
            "unit": setting.unit,
            "default": setting.default,
            "merge": setting.merge.value,
            "tighter": setting.tighter.value,
            "in_branch_layer": setting.in_branch_layer,
            "meaning": setting.meaning,
        }
        for setting in SETTINGS
    ]


def rule_table() -> Iterator[str]:
    """Yield every rule as a Markdown table; `docs/policy.md` holds the same lines."""
    yield "| rule | check | weight |"
    yield "|---|---|---|"
    for rule in rule_values():
        yield f"| `{rule['rule']}` | {rule['check']} | {rule['weight']} |"


def rule_values() -> list[dict[str, Any]]:
    """Return every rule with its check and its built-in weight, for programs."""
    return [
        {"rule": rule, "check": CHECK_OF_RULES.get(rule.split(".", 1)[0], "any"), "weight": weight}
        for rule, weight in RULE_WEIGHTS.items()
    ]


def _compact(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return ", ".join(" ".join(str(item) for item in record.values()) for record in value)
    return value if isinstance(value, str) and value else json.dumps(value)


def _origin_line(origin: Origin) -> str:
    unit = setting_of(origin.key).unit
    makers = ", ".join(layer.label for layer in origin.layers) or "built in"
    line = f"{origin.key} = {_shown(origin.value)}{f' {unit}' if unit else ''}  [{makers}]"
    if origin.floor is not None:
        line += f"; floor {_shown(origin.floor.value)} of {origin.floor.by.label}"
    for overruled in origin.overruled:
        line += f"; overruled: {overruled.layer.label} asked for {_shown(overruled.wanted)}"
    if origin.capped_by:
        line += f"; capped by {origin.capped_by}"
    return line


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)


def _shown(value: Any) -> str:
    if value is None:
        return "(not set)"
    if isinstance(value, str):
        return value if value.isprintable() and value else json.dumps(value)
    text = json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
