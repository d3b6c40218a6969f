"""Reads YAML with the place of every key; takes no tags, no aliases and no second document; pure.

Scalars are read by the rules of YAML 1.2: `off` and `no` are words, not false. That matters here,
because `mode: off` must mean what it says.
"""

import re
from dataclasses import dataclass
from typing import Any, cast

import yaml

from governance.domain.policy_source import (
    DEEPEST,
    MOST_DIGITS,
    Place,
    Source,
    Unreadable,
    repeated_key,
)
from governance.domain.policy_values import Fault, Path

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FRACTION = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def read_yaml(text: str) -> Source:
    """Return what a YAML text says.

    Raises:
        Unreadable: not YAML, or with tags, aliases, several documents or too deep nesting.
    """
    builder = _Builder()
    try:
        # Events, not nodes or objects: nothing is built that this module does not build itself.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not YAML: {error.problem or error.context}"
        raise Unreadable("syntax", message, _place(mark)) from error
    except yaml.reader.ReaderError as error:
        place = Place(text.count("\n", 0, error.position) + 1, 1)
        raise Unreadable("syntax", f"not YAML: {error.reason}", place) from error
    if not builder.documents:
        raise Unreadable("empty", "nothing is written here; {} says nothing", Place(1, 1))
    return Source(value=builder.root, places=builder.places, faults=tuple(builder.faults))


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read; `key` is the one that waits for its value."""

    value: dict[str, Any] | list[Any]
    path: Path
    key: str | None = None
    is_repeated: bool = False


class _Builder:
    """Turns parser events into values, without recursion, so that depth cannot hurt."""

    def __init__(self) -> None:
        self.root: Any = None
        self.documents = 0
        self.places: dict[Path, Place] = {}
        self.faults: list[tuple[Fault, Place]] = []
        self._stack: list[_Frame] = []

    def take(self, event: yaml.Event) -> None:
        """Take the next event."""
        place = _place(event.start_mark)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise Unreadable("many_documents", "a second document starts here", place)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            _refuse_cleverness(event, place)
            self._take_node(event, place)

    def _take_node(self, event: yaml.NodeEvent, place: Place) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self._take_key(frame, event, place)
            return
        value = _value_of(event)
        path = self._put(frame, value, place)
        if isinstance(value, dict | list):
            if len(self._stack) >= DEEPEST:
                raise Unreadable("too_deep", f"nested more than {DEEPEST} deep", place)
            self._stack.append(_Frame(value, path))

    def _take_key(self, frame: _Frame, event: yaml.NodeEvent, place: Place) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise Unreadable("bad_key", "a key must be a word, not a list or a mapping", place)
        frame.key = str(event.value)
        path = (*frame.path, frame.key)
        frame.is_repeated = frame.key in cast("dict[str, Any]", frame.value)
        if frame.is_repeated:
            self.faults.append(repeated_key(path, first=self.places[path], again=place))
        else:
            self.places[path] = place

    def _put(self, frame: _Frame | None, value: Any, place: Place) -> Path:
        if frame is None:
            self.root = value
            self.places[()] = place
            return ()
        if isinstance(frame.value, list):
            path: Path = (*frame.path, len(frame.value))
            frame.value.append(value)
            self.places[path] = place
            return path
        key, frame.key = cast("str", frame.key), None
        if frame.is_repeated:
            # What stands below a repeated key is read, and forgotten, at a path of its own.
            return (*frame.path, key, "again")
        frame.value[key] = value
        return (*frame.path, key)


def _refuse_cleverness(event: yaml.NodeEvent, place: Place) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        message = "anchors and aliases are not taken; write the value out"
        raise Unreadable("alias", message, place)
    if getattr(event, "tag", None) is not None:
        raise Unreadable("tag", "tags are not taken", place)


def _value_of(event: yaml.NodeEvent) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    text = str(getattr(event, "value", ""))
    # `style` is empty for plain scalars; whatever is quoted or a block is text.
    return text if getattr(event, "style", None) else _plain(text)


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= MOST_DIGITS and _WHOLE.fullmatch(text):
        return int(text)
    # A number that is not whole, or too long, is kept as a float: no key takes one.
    return float(text) if _FRACTION.fullmatch(text) else text


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)
