"""Which of two values of a policy key is tighter, and what a floor makes of a looser one; pure."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from audit.domain.canonical import canonical_json
from governance.domain.policy_values import Choice, Kind


class Tighter(StrEnum):
    """In which direction a value becomes stricter; a floor may only be moved that way."""

    LOWER = "lower"
    HIGHER = "higher"
    SUPERSET = "superset"
    SUBSET = "subset"
    SOONER = "sooner"
    FIXED = "fixed"


def is_looser(value: Any, *, floor: Any, kind: Kind, tighter: Tighter) -> bool:
    """Return whether `value` falls below `floor`; an equal value does not.

    Lists are compared item by item as text: `release/**` is not known to cover `release/*`.
    """
    return _LOOSER[tighter](_comparable(value, kind), _comparable(floor, kind))


def held_by_floor(value: Any, *, floor: Any, kind: Kind, tighter: Tighter) -> Any:
    """Return what is in force where `value` is looser than `floor`.

    Of a list, what the looser value got right is kept: missing items are added (superset) or
    items too many are dropped (subset). Everything else becomes the floor.
    """
    if tighter is Tighter.SUPERSET:
        return kind.canonical([*value, *floor])
    if tighter is Tighter.SUBSET:
        allowed = _identities(floor)
        return kind.canonical([item for item in value if canonical_json(item) in allowed])
    return floor


def _comparable(value: Any, kind: Kind) -> Any:
    return kind.words.index(value) if isinstance(kind, Choice) else value


def _identities(items: Any) -> frozenset[str]:
    return frozenset(canonical_json(item) for item in items)


def _is_later(value: Any, floor: Any) -> bool:
    # A ladder: every role of the floor must still be told, and no later than the floor says.
    told = {step["role"]: step["after_seconds"] for step in value}
    return any(
        step["role"] not in told or told[step["role"]] > step["after_seconds"] for step in floor
    )


_LOOSER: dict[Tighter, Callable[[Any, Any], bool]] = {
    Tighter.LOWER: lambda value, floor: bool(value > floor),
    Tighter.HIGHER: lambda value, floor: bool(value < floor),
    Tighter.SUPERSET: lambda value, floor: not _identities(floor) <= _identities(value),
    Tighter.SUBSET: lambda value, floor: not _identities(value) <= _identities(floor),
    Tighter.SOONER: _is_later,
    Tighter.FIXED: lambda value, floor: canonical_json(value) != canonical_json(floor),
}
