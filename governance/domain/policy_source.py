"""A document as it was written: its values and where each of them stands in the text; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from governance.domain.policy_values import Fault, Path

MOST_BYTES = 128 * 1024
DEEPEST = 12
MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a text; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """What a text says. Keys stand where their name is written, list items where they begin.

    `faults` are those of the writing itself, such as a key that is there twice, each with its
    own place.
    """

    value: Any
    places: Mapping[Path, Place]
    faults: tuple[tuple[Fault, Place], ...]

    def place_of(self, path: Path) -> Place:
        """Return where a path stands; for a missing key, where that which lacks it stands."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(1, 1))


class Unreadable(Exception):
    """The text is not YAML or JSON, or is written in a way that is not taken."""

    def __init__(self, code: str, message: str, place: Place) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place


def repeated_key(path: Path, *, first: Place, again: Place) -> tuple[Fault, Place]:
    """Return the fault of a key that stands twice in one mapping, at its second place."""
    return Fault(path, "duplicate_key", f"is already set in line {first.line}"), again
