"""Plans a policy version: what it would change, loosen and overrule; changes nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.domain.canonical import sha256_of
from governance.domain.policy_changes import Change, changes_between
from governance.domain.policy_check import branch_patterns_in, check_document
from governance.domain.policy_layers import Merged, PolicyLayer, loosened_floors, merge
from governance.domain.policy_schema import FLOORS, path_of
from governance.domain.policy_text import PolicyProblem, PolicyText, in_text_order, problems_of
from governance.domain.policy_values import Fault
from governance.models import PolicyVersion
from governance.selectors.policy_places import (
    PolicyPlace,
    layers_above,
    layers_under,
    patterns_without_branch,
    versions_at,
)


class PolicyRefused(Exception):
    """The document has errors, or is looser than a floor above it; each is in `problems`."""

    def __init__(self, problems: Sequence[PolicyProblem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class OverruledBelow:
    """A value of a lower layer that a floor of this version would overrule."""

    layer: str
    key: str
    wanted: Any
    in_force: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """What publishing a document at a place would do."""

    place: PolicyPlace
    layer: PolicyLayer
    """The layer as it would be."""
    previous: PolicyVersion | None
    changes: tuple[Change, ...]
    loosened_floors: tuple[str, ...]
    overruled_below: tuple[OverruledBelow, ...]
    warnings: tuple[PolicyProblem, ...]

    @property
    def digest(self) -> str:
        """Return the digest of the document."""
        return self.layer.digest


def plan_version(text: PolicyText, *, place: PolicyPlace) -> Plan:
    """Return what publishing `text` at `place` would do, and change nothing.

    Raises:
        PolicyRefused: it cannot be published.
    """
    document, faults = check_document(text.written, layer=place.layer, rules=text.rules)
    problems = {*text.problems, *problems_of(faults, file=text.file, source=text.source)}
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise PolicyRefused(in_text_order(errors))
    previous = versions_at(place).first()
    candidate = _as_layer(place, document, version=previous.version + 1 if previous else 1)
    above = layers_above(place)
    merged = merge([*above, candidate])
    _refuse_below_floors(merged, candidate, text)
    before = previous.document if previous else {}
    warnings = [*problems, *_pattern_warnings(text, place)]
    return Plan(
        place=place,
        layer=candidate,
        previous=previous,
        changes=changes_between(before, document),
        loosened_floors=loosened_floors(
            merge([*above, _as_layer(place, before, version=0)]).floors, merged.floors
        ),
        overruled_below=_overruled_below(place, [*above, candidate], candidate),
        warnings=in_text_order(warnings),
    )


def _refuse_below_floors(merged: Merged, candidate: PolicyLayer, text: PolicyText) -> None:
    faults = []
    for key in sorted(merged.origins):
        origin = merged.origins[key]
        for overruled in origin.overruled:
            if overruled.layer is candidate and origin.floor is not None:
                by = origin.floor.by.label
                message = f"is looser than the floor that {by} laid; it may only be tightened"
                faults.append(Fault(path_of(key), "below_floor", message))
    if faults:
        raise PolicyRefused(problems_of(faults, file=text.file, source=text.source))


def _overruled_below(
    place: PolicyPlace, upto: Sequence[PolicyLayer], candidate: PolicyLayer
) -> tuple[OverruledBelow, ...]:
    if not candidate.document.get(FLOORS):
        return ()
    found = []
    for lower in layers_under(place):
        origins = merge([*upto, *lower.between, lower.layer]).origins
        for key in sorted(origins):
            origin = origins[key]
            if origin.floor is None or origin.floor.by is not candidate:
                continue
            found += [
                OverruledBelow(lower.layer.name, key, overruled.wanted, origin.value)
                for overruled in origin.overruled
                if overruled.layer is lower.layer
            ]
    return tuple(found)


def _pattern_warnings(text: PolicyText, place: PolicyPlace) -> tuple[PolicyProblem, ...]:
    patterns = branch_patterns_in(text.written)
    layer_pattern = [place.branch_pattern] if place.branch_pattern else []
    lonely = patterns_without_branch(
        [pattern for _, pattern in patterns] + layer_pattern, place=place
    )
    message = "matches no branch seen so far"
    faults = [
        Fault(path, "matches_no_branch", f"{pattern!r} {message}", severity="warning")
        for path, pattern in [*patterns, *(((), pattern) for pattern in layer_pattern)]
        if pattern in lonely
    ]
    return problems_of(faults, file=text.file, source=text.source)


def _as_layer(place: PolicyPlace, document: Mapping[str, Any], *, version: int) -> PolicyLayer:
    return PolicyLayer(
        layer=place.layer,
        target=place.target,
        branch_pattern=place.branch_pattern,
        version=version,
        digest=sha256_of(document),
        document=document,
    )
