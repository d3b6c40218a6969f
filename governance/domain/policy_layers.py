"""Merges the layers of a policy into one document, with the origin of every value; pure.

A more specific layer wins, except over a floor: a key that a layer lists under `floors` may only
be tightened by the layers below it. Where a lower layer is looser, the floor is in force and the
origin of the value says who was overruled.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from governance.domain.policy import DEFAULT_DOCUMENT
from governance.domain.policy_schema import (
    ANY_RULE,
    CEILINGS,
    FLOORS,
    LAYERS,
    SECTIONS,
    Merge,
    check_mode_key,
    leaves,
    path_of,
    setting_of,
)
from governance.domain.policy_tightening import held_by_floor, is_looser


def layer_name(layer: str, target: str, branch_pattern: str) -> str:
    """Return the one way a layer is called, such as `branch acme/main/api @release/**`."""
    pattern = f" @{branch_pattern}" if branch_pattern else ""
    return f"{layer} {target}{pattern}".rstrip()


@dataclass(frozen=True, slots=True)
class PolicyLayer:
    """The current version of one layer; `document` is checked and canonical."""

    layer: str
    target: str
    branch_pattern: str
    version: int
    digest: str
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the layer's address, such as `repository acme/main/api` or `site`."""
        return layer_name(self.layer, self.target, self.branch_pattern)

    @property
    def label(self) -> str:
        """Return the address and the version: `tenant acme v3`."""
        return f"{self.name} v{self.version}"


@dataclass(frozen=True, slots=True)
class Overruled:
    """What a layer asked for and did not get, because the floor of a layer above it holds."""

    layer: PolicyLayer
    wanted: Any


@dataclass(frozen=True, slots=True)
class Floor:
    """The loosest value that layers below `by` may have."""

    value: Any
    by: PolicyLayer


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one effective value comes from.

    `layers` made it: one, or several for lists that are united; none for a built-in default.
    `value` is None for a setting of a rule that a floor kept from being set. `capped_by` is the
    key whose value this one may not exceed and did.
    """

    key: str
    value: Any
    layers: tuple[PolicyLayer, ...] = ()
    floor: Floor | None = None
    overruled: tuple[Overruled, ...] = ()
    capped_by: str = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """A complete document, the origin of each of its values, and the floors it leaves, by key."""

    document: Mapping[str, Any]
    origins: Mapping[str, Origin]
    floors: Mapping[str, Floor]


def specificity(branch_pattern: str) -> tuple[bool, int, str]:
    """Return how specific a branch pattern is: a plain name beats globs, then more letters win."""
    letters = sum(character not in "*?[]" for character in branch_pattern)
    return (letters == len(branch_pattern), letters, branch_pattern)


def place_in_order(layer: PolicyLayer) -> tuple[int, tuple[bool, int, str], str, int]:
    """Return what layers are sorted by: least specific first, and never a tie."""
    return (
        LAYERS.index(layer.layer),
        specificity(layer.branch_pattern),
        layer.target,
        layer.version,
    )


def in_order(layers: Iterable[PolicyLayer]) -> list[PolicyLayer]:
    """Return layers from the least to the most specific."""
    return sorted(layers, key=place_in_order)


def merge(layers: Iterable[PolicyLayer]) -> Merged:
    """Return the document in force under `layers`, whatever order they are given in."""
    origins = {key: Origin(key=key, value=value) for key, value in leaves(DEFAULT_DOCUMENT)}
    floors: dict[str, Floor] = {}
    for layer in in_order(layers):
        for key, wanted in leaves(layer.document):
            before = origins.get(key, Origin(key=key, value=None))
            origins[key] = _next(before, wanted, layer=layer, floor=floor_of(key, floors))
        for key in layer.document.get(FLOORS, ()):
            _lay_floor(key, layer=layer, origins=origins, floors=floors)
    for key, ceiling in CEILINGS:
        if origins[key].value > origins[ceiling].value:
            origins[key] = replace(origins[key], value=origins[ceiling].value, capped_by=ceiling)
    return Merged(document=_document(origins), origins=origins, floors=floors)


def floor_of(key: str, floors: Mapping[str, Floor]) -> Floor | None:
    """Return the floor under a key: its own; for a rule's mode also that of all, or of its check.

    Without the last a floor under the mode of a check could be dug under, rule by rule.
    """
    for name in _keys_over(key):
        if name in floors:
            return floors[name]
    return None


def loosened_floors(before: Mapping[str, Floor], after: Mapping[str, Floor]) -> tuple[str, ...]:
    """Return the keys whose floor is gone or looser than before, sorted."""
    loosened = []
    for key in sorted({*before, *after}):
        old, new, setting = floor_of(key, before), floor_of(key, after), setting_of(key)
        if old is None:
            continue
        if new is None or is_looser(
            new.value, floor=old.value, kind=setting.kind, tighter=setting.tighter
        ):
            loosened.append(key)
    return tuple(loosened)


def _next(before: Origin, wanted: Any, *, layer: PolicyLayer, floor: Floor | None) -> Origin:
    setting = setting_of(before.key)
    value = wanted
    makers: tuple[PolicyLayer, ...] = (layer,)
    if setting.merge is Merge.UNION:
        value = setting.kind.canonical([*before.value, *wanted])
        makers = (*before.layers, layer)
    if floor is None or not is_looser(
        value, floor=floor.value, kind=setting.kind, tighter=setting.tighter
    ):
        return replace(before, value=value, layers=makers, floor=floor)
    overruled = (*before.overruled, Overruled(layer=layer, wanted=wanted))
    if before.value is None:
        return replace(before, floor=floor, overruled=overruled)
    held = held_by_floor(value, floor=floor.value, kind=setting.kind, tighter=setting.tighter)
    makers = (floor.by,) if held == floor.value else (floor.by, layer)
    return replace(before, value=held, layers=makers, floor=floor, overruled=overruled)


def _lay_floor(
    key: str, *, layer: PolicyLayer, origins: dict[str, Origin], floors: dict[str, Floor]
) -> None:
    # A rule that is set already keeps what it has, as its own floor. Any other one may only become
    # as tight as can be, because what is built into it is not known here.
    for name in [name for name in sorted(origins) if key in _keys_over(name)]:
        value = origins[name].value
        # None: a floor above kept the rule from being set. An equal floor above goes on holding.
        if value is None or (name in floors and floors[name].value == value):
            continue
        floors[name] = Floor(value=value, by=layer)
        origins[name] = replace(origins[name], floor=floors[name])
    if key in ANY_RULE:
        floors.setdefault(key, Floor(value=ANY_RULE[key], by=layer))


def _keys_over(key: str) -> tuple[str, ...]:
    return (key, setting_of(key).key, check_mode_key(key))


def _document(origins: Mapping[str, Origin]) -> dict[str, Any]:
    document: dict[str, Any] = {section: {} for section in SECTIONS}
    for key in sorted(origins):
        place = document
        *parents, leaf = path_of(key)
        if origins[key].value is None:
            continue
        for name in parents:
            place = place.setdefault(name, {})
        place[leaf] = origins[key].value
    return document
