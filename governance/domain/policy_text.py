"""Turns the text of a policy into a checked document, or says what is wrong in which line; pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from governance.domain.policy_check import check_document
from governance.domain.policy_json import read_json
from governance.domain.policy_source import MOST_BYTES, Place, Source, Unreadable
from governance.domain.policy_values import Fault, Path
from governance.domain.policy_yaml import read_yaml


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One thing wrong in a file. Line and column count from 1; 0 when there is no text."""

    file: str
    line: int
    column: int
    key: str
    pointer: str
    code: str
    message: str
    severity: str

    def __str__(self) -> str:
        """Return one line as editors and CI systems understand it."""
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{place}{self.severity}: {key}{self.message} [{self.code}]"


@dataclass(frozen=True, slots=True)
class PolicyText:
    """What a text says, and everything that is wrong with it, in the order of its lines."""

    document: dict[str, Any]
    """Checked and canonical."""
    problems: tuple[PolicyProblem, ...]
    written: Any
    """What was checked, in the order it was written in."""
    file: str = ""
    source: Source | None = None
    """None when there was no text, or it cannot be read at all."""
    rules: Collection[str] = field(default=(), repr=False)
    """The ids of the rules that it was checked against."""

    @property
    def is_valid(self) -> bool:
        """Return whether the document may be published: warnings do not hinder."""
        return all(problem.severity != "error" for problem in self.problems)


def read_policy(
    content: bytes | str, *, file: str, layer: str, rules: Collection[str]
) -> PolicyText:
    """Return the document that a YAML or JSON text holds for a layer; never raises.

    `rules` are the ids of all rules there are. JSON is what is named `*.json` or, without a telling
    name, begins with `{`; the rest is YAML.
    """
    try:
        source = read_source(content, file=file)
    except Unreadable as error:
        return PolicyText({}, (problem_of_text(error, file=file),), None, file)
    document, faults = check_document(source.value, layer=layer, rules=rules)
    problems = [
        _problem(fault, place, file=file)
        for fault, place in (
            *source.faults,
            *((fault, source.place_of(fault.path)) for fault in faults),
        )
    ]
    return PolicyText(document, in_text_order(problems), source.value, file, source, rules)


def check_policy(value: Any, *, layer: str, rules: Collection[str]) -> PolicyText:
    """Return the document that a value holds which came without a text, as in an API call."""
    document, faults = check_document(value, layer=layer, rules=rules)
    problems = problems_of(faults, file="", source=None)
    return PolicyText(document, problems, value, rules=rules)


def read_source(content: bytes | str, *, file: str) -> Source:
    """Return the values of a YAML or JSON text and where they stand.

    Raises:
        Unreadable: too large, not UTF-8, or not what `read_yaml` and `read_json` take.
    """
    text = _decoded(content)
    name = file.lower()
    is_yaml = name.endswith((".yaml", ".yml"))
    if name.endswith(".json") or (not is_yaml and text.lstrip().startswith("{")):
        return read_json(text)
    return read_yaml(text)


def problems_of(
    faults: Iterable[Fault], *, file: str, source: Source | None
) -> tuple[PolicyProblem, ...]:
    """Return faults with their places; line and column are 0 without a source."""
    nowhere = Place(0, 0)
    return in_text_order(
        _problem(fault, source.place_of(fault.path) if source else nowhere, file=file)
        for fault in faults
    )


def problem_of_text(error: Unreadable, *, file: str) -> PolicyProblem:
    """Return a text that cannot be read as a problem at its place."""
    fault = Fault((), error.code, error.message)
    return _problem(fault, error.place, file=file)


def in_text_order(problems: Iterable[PolicyProblem]) -> tuple[PolicyProblem, ...]:
    """Return problems from the first line to the last; the order never ties."""
    return tuple(
        sorted(
            problems,
            key=lambda one: (one.file, one.line, one.column, one.pointer, one.code, one.message),
        )
    )


def _decoded(content: bytes | str) -> str:
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(raw) > MOST_BYTES:
        message = f"has {len(raw)} bytes; a policy may have {MOST_BYTES}"
        raise Unreadable("too_large", message, Place(1, 1))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(raw.count(b"\n", 0, error.start) + 1, 1)
        raise Unreadable("not_utf8", "is not UTF-8 text", place) from error


def _problem(fault: Fault, place: Place, *, file: str) -> PolicyProblem:
    return PolicyProblem(
        file=file,
        line=place.line,
        column=place.column,
        key=".".join(_short(part) for part in fault.path),
        pointer=_pointer(fault.path),
        code=fault.code,
        message=fault.message,
        severity=fault.severity,
    )


def _pointer(path: Path) -> str:
    # RFC 6901: `~` and `/` inside a name are written ~0 and ~1.
    return "".join(f"/{_short(part).replace('~', '~0').replace('/', '~1')}" for part in path)


def _short(part: str | int) -> str:
    # Keys come from outside: what cannot be printed must reach neither a terminal nor a log.
    text = str(part)[:100]
    return text if text.isprintable() else ascii(text)[1:-1]
