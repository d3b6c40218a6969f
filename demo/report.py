"""What the demonstration tells: one row per scene, differences from what was expected, JSON."""

import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from demo.api import Api
from demo.story import Scene

_COLUMNS = (
    ("repository", "repository"),
    ("branch", "branch"),
    ("check", "check"),
    ("class", "class"),
    ("severity", "severity"),
    ("decision", "decision"),
    ("found_by", "found by"),
    ("seconds", "seconds"),
)


def row_of(scene: Scene, api: Api) -> dict[str, Any]:
    """Return what the product decided about a scene so far; `seconds` None until it has."""
    expected = scene.expected
    tasks = api.get(
        "tasks",
        repo=scene.repository,
        branch=scene.branch,
        task_kind=expected.check,
        state="completed",
    )["results"]
    for task in tasks:
        decided_at = datetime.fromisoformat(task["completed_at"]).timestamp()
        if decided_at < scene.at:
            continue
        detail = api.get(f"tasks/{task['id']}")
        decision = detail["evaluations"][0]["decision"]
        findings = decision["findings"]
        return {
            "scene": scene.title,
            "repository": scene.repository,
            "branch": scene.branch,
            "check": expected.check,
            "class": decision["stable_class"],
            "severity": findings[0]["severity"] if findings else "",
            "decision": decision["decision"],
            "found_by": found_by(task, api),
            "seconds": round(decided_at - scene.at, 2),
            "rules": sorted({hit["rule"] for finding in findings for hit in finding["rule_hits"]}),
            "expected": dict(findings[0]["expected"]) if findings else {},
            "actual": _without_times(dict(findings[0]["actual"])) if findings else {},
        }
    return {
        "scene": scene.title,
        "repository": scene.repository,
        "branch": scene.branch,
        "check": expected.check,
        "class": "",
        "severity": "",
        "decision": "nothing yet",
        "found_by": "",
        "seconds": None,
        "rules": [],
        "expected": {},
        "actual": {},
    }


def found_by(task: dict[str, Any], api: Api) -> str:
    """Return what first told of it: the task's trace begins with a delivery, or with a sweep."""
    trace = api.get(f"traces/{task['correlation_id']}")
    kinds = [step["kind"] for step in trace["steps"]]
    return "webhook" if "delivery" in kinds else "sweep"


def differences(scenes: Sequence[Scene]) -> list[str]:
    """Return one line for each scene that did not come out as expected."""
    lines = []
    for scene in scenes:
        expected, got = scene.expected, scene.result
        wanted = {
            "class": expected.stable_class,
            "severity": expected.severity,
            "decision": expected.decision,
            "found_by": expected.found_by,
        }
        wrong = [
            f"{key} {got[key]!r}, not {value!r}"
            for key, value in wanted.items()
            if got[key] != value
        ]
        if expected.rule and expected.rule not in got["rules"]:
            wrong.append(f"no hit of {expected.rule} among {got['rules']}")
        if wrong:
            lines.append(f"{scene.repository} {scene.branch} ({scene.title}): {'; '.join(wrong)}")
    return lines


def print_table(scenes: Sequence[Scene]) -> None:
    """Print one row per scene."""
    rows = [
        [
            ("-" if scene.result[key] in ("", None) else str(scene.result[key]))
            for key, _ in _COLUMNS
        ]
        for scene in scenes
    ]
    heads = [title for _, title in _COLUMNS]
    widths = [max(len(line[index]) for line in [heads, *rows]) for index in range(len(heads))]
    print()
    for line in [heads, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def document(scenes: Sequence[Scene], digests: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Return the whole result as JSON; only `seconds` and the pace differ between two runs."""
    seconds = [
        scene.result["seconds"]
        for scene in scenes
        if scene.expected.found_by == "webhook" and scene.result["seconds"] is not None
    ]
    return {
        "rows": [
            {key: scene.result[key] for key, _ in _COLUMNS} | {"scene": scene.title}
            for scene in scenes
        ],
        "worklist_digests": list(digests),
        "decisions": [
            {key: value for key, value in scene.result.items() if key != "seconds"}
            for scene in scenes
        ],
        "push_to_decision_seconds": {
            "median": round(statistics.median(seconds), 2) if seconds else None,
            "max": max(seconds, default=None),
        },
    }


def _without_times(actual: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in actual.items() if key != "idle_days"}
