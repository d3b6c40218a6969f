"""Says which branch patterns can match no branch: git refuses every name of their form; pure.

A pattern that protects nothing looks as if it protected something, so it is an error.
"""

import re
from dataclasses import dataclass

from governance.domain.refs import is_ref_name

_NEVER_IN_A_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]")
_ANY = "x"
"""Stands for a wildcard: a letter is allowed wherever a name may go on."""


@dataclass(frozen=True, slots=True)
class _Segment:
    """What a segment says: its text with wildcards as a letter, and those of them that are free."""

    text: str
    trouble: str = ""


def why_it_matches_nothing(pattern: str) -> str:
    """Return why a pattern can match no branch, or nothing.

    Judged by what stands literally in it: wildcards and sets may stand for what is missing.
    """
    segments = [_segment(part) for part in pattern.removesuffix("/").split("/") if part != "**"]
    for segment in segments:
        if segment.trouble:
            return f"can match nothing: {segment.trouble}"
    # Each segment for itself: `**` and `*` may put letters around it, but not inside.
    for place, segment in enumerate(segments):
        is_last = place == len(segments) - 1 and not pattern.endswith(("/", "**"))
        name = segment.text if is_last else f"{segment.text}/{_ANY}"
        if segment.text and not is_ref_name(name):
            return "can match nothing: git refuses such a name"
    return ""


def _segment(part: str) -> _Segment:
    text, place = "", 0
    while place < len(part):
        character = part[place]
        if character == "[":
            end = _end_of_set(part, place)
            if end < 0:
                return _Segment("", "a set that begins with [ has no ]")
            if not _may_match(part[place + 1 : end]):
                return _Segment("", "no name holds a character of that set")
            text, place = text + _ANY, end
        elif character in "*?":
            text += _ANY
        elif _NEVER_IN_A_NAME.match(character):
            return _Segment("", f"no name holds {_shown(character)}")
        else:
            text += character
        place += 1
    return _Segment(text)


def _end_of_set(part: str, begin: int) -> int:
    """Return where the set that begins with `[` ends, as `fnmatch` reads it; -1: nowhere."""
    first = begin + 1
    if part[first : first + 1] == "!":
        first += 1
    # A bracket that comes first is one of the set's characters.
    return part.find("]", first + 1)


def _may_match(content: str) -> bool:
    if content.startswith("!") or "-" in content[1:-1]:
        return True
    return any(not _NEVER_IN_A_NAME.match(character) for character in content)


def _shown(character: str) -> str:
    return "a blank" if character == " " else f"the character {ascii(character)[1:-1]}"
