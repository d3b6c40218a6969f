"""Which of two values is tighter, for each direction: equal, just looser, just tighter."""

from typing import Any

import pytest

from governance.domain.policy_schema import SETTINGS, setting_of
from governance.domain.policy_tightening import Tighter, held_by_floor, is_looser

A_FIRST = {"role": "a", "after_seconds": 900}
A_LATER = {"role": "a", "after_seconds": 901}
A_SOONER = {"role": "a", "after_seconds": 899}
B = {"role": "b", "after_seconds": 0}
MAY = {
    "branch": "main",
    "actor": "ann",
    "starts_at": "2026-05-01T00:00:00.000000Z",
    "ends_at": "2026-05-02T00:00:00.000000Z",
}
JUNE = {**MAY, "ends_at": "2026-06-02T00:00:00.000000Z"}

CASES = [
    ("head_drift.settle_seconds", 60, 60, False, 60),
    ("head_drift.settle_seconds", 60, 61, True, 60),
    ("head_drift.settle_seconds", 60, 59, False, 59),
    ("head_drift.clean_checks", 2, 1, True, 2),
    ("head_drift.clean_checks", 2, 3, False, 3),
    ("head_drift.mode", "observe", "off", True, "observe"),
    ("head_drift.mode", "observe", "observe", False, "observe"),
    ("head_drift.mode", "observe", "alert", False, "alert"),
    ("alerts.from_severity", "medium", "high", True, "medium"),
    ("alerts.from_severity", "medium", "low", False, "low"),
    ("changes.required_pr_flow", True, False, True, True),
    ("changes.required_pr_flow", False, True, False, True),
    ("changes.required_gates", ["a", "b"], ["a"], True, ["a", "b"]),
    ("changes.required_gates", ["a", "b"], ["a", "c"], True, ["a", "b", "c"]),
    ("changes.required_gates", ["a"], ["a", "b"], False, ["a", "b"]),
    ("branches.keep", ["a"], ["a", "b"], True, ["a"]),
    ("branches.keep", ["a", "b"], ["b", "c"], True, ["b"]),
    ("branches.keep", ["a"], [], False, []),
    ("branches.naming", "reach/<task>", "other/<task>", True, "reach/<task>"),
    ("branches.naming", "reach/<task>", "reach/<task>", False, "reach/<task>"),
    ("alerts.escalation", [A_FIRST], [A_LATER], True, [A_FIRST]),
    ("alerts.escalation", [A_FIRST], [B], True, [A_FIRST]),
    ("alerts.escalation", [A_FIRST], [B, A_SOONER], False, [B, A_SOONER]),
    ("head_drift.expected_rewrites", [MAY], [MAY, JUNE], True, [MAY]),
    ("head_drift.expected_rewrites", [MAY, JUNE], [JUNE], False, [JUNE]),
    ("rules.drift.rewrite_other.weight", 20, 19, True, 20),
    ("rules.drift.rewrite_other.weight", 20, 21, False, 21),
]


@pytest.mark.parametrize(("key", "floor", "value", "looser", "_"), CASES)
def test_whether_a_value_falls_below_a_floor(
    key: str, floor: Any, value: Any, looser: bool, _: Any
) -> None:
    setting = setting_of(key)

    assert is_looser(value, floor=floor, kind=setting.kind, tighter=setting.tighter) is looser


@pytest.mark.parametrize(
    ("key", "floor", "value", "held"),
    [(key, floor, value, held) for key, floor, value, looser, held in CASES if looser],
)
def test_what_is_in_force_where_a_value_falls_below_a_floor(
    key: str, floor: Any, value: Any, held: Any
) -> None:
    setting = setting_of(key)

    result = held_by_floor(value, floor=floor, kind=setting.kind, tighter=setting.tighter)

    assert result == held
    assert not is_looser(result, floor=floor, kind=setting.kind, tighter=setting.tighter)


def test_every_direction_of_the_table_is_among_the_cases() -> None:
    covered = {setting_of(key).tighter for key, *_ in CASES}

    assert covered == set(Tighter) == {setting.tighter for setting in SETTINGS}
