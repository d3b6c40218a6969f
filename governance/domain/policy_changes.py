"""Says which keys differ between two documents of one layer; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.domain.policy_schema import FLOORS, leaves


@dataclass(frozen=True, slots=True)
class Change:
    """One key that a version changes at its layer; None means that the layer is silent on it."""

    key: str
    before: Any
    after: Any


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return what differs between two checked documents, by key; floors count as one."""
    old, new = dict(leaves(before)), dict(leaves(after))
    old[FLOORS], new[FLOORS] = before.get(FLOORS), after.get(FLOORS)
    return tuple(
        Change(key, old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    )
