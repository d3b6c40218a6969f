"""Checks one layer's document against the table of keys and gives its canonical form; pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from governance.domain.policy_schema import (
    ANY_RULE,
    BRANCH_PATTERN_KEYS,
    BY_KEY,
    CEILINGS,
    FLOORS,
    RULES,
    SECTIONS,
    leaves,
    path_of,
    setting_of,
)
from governance.domain.policy_values import Fault, Path, shown, wrong_type

_RULE_ID = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", re.ASCII)
_LONGEST_RULE_ID = 100
_MOST_RULES = 500
_MOST_NAMES_IN_A_HINT = 12


def check_document(
    value: Any, *, layer: str, rules: Collection[str]
) -> tuple[dict[str, Any], list[Fault]]:
    """Return the canonical document and what is wrong with it.

    The document holds only what is right: same meaning, same bytes. It may be used when no fault
    is an error. `rules` are the ids of all rules there are: a policy for a rule that nobody ever
    asks about would be a wish that nobody hears.
    """
    if not isinstance(value, dict):
        return {}, [wrong_type((), "a mapping", value)]
    faults: list[Fault] = []
    document: dict[str, Any] = {}
    for section, content in value.items():
        if section == FLOORS:
            continue
        if section not in SECTIONS:
            faults.append(_unknown((section,), (*SECTIONS, FLOORS)))
        elif not isinstance(content, dict):
            faults.append(wrong_type((section,), "a mapping", content))
        else:
            document[section] = (
                _rules(content, rules, faults)
                if section == RULES
                else _section(section, content, faults)
            )
    faults += _layer_faults(document, layer)
    faults += _ceiling_faults(document)
    if FLOORS in value:
        document[FLOORS] = _floors(value[FLOORS], document, faults)
    return _without_empty(document), faults


def branch_patterns_in(written: Any) -> list[tuple[Path, str]]:
    """Return every branch pattern of a value that was checked without errors, and its path."""
    found: list[tuple[Path, str]] = []
    for section, name in (path_of(key) for key in BRANCH_PATTERN_KEYS):
        for index, item in enumerate(written.get(section, {}).get(name, ())):
            path = (section, name, index)
            if isinstance(item, dict):
                found.append(((*path, "branch"), item["branch"]))
            else:
                found.append((path, item))
    return found


def _section(section: str, content: Mapping[str, Any], faults: list[Fault]) -> dict[str, Any]:
    names = [path_of(key)[1] for key in BY_KEY if path_of(key)[0] == section]
    found: dict[str, Any] = {}
    for name, value in content.items():
        if name not in names:
            faults.append(_unknown((section, name), names))
        else:
            _take(f"{section}.{name}", value, (section, name), found, faults)
    return found


def _rules(
    content: Mapping[str, Any], rules: Collection[str], faults: list[Fault]
) -> dict[str, Any]:
    if len(content) > _MOST_RULES:
        faults.append(Fault((RULES,), "too_many", f"must name at most {_MOST_RULES} rules"))
    found: dict[str, Any] = {}
    for rule, settings in content.items():
        path = (RULES, rule)
        faults += _rule_id_faults(rule, path, rules)
        if not isinstance(settings, dict):
            faults.append(wrong_type(path, "a mapping with mode, weight or both", settings))
            continue
        found[rule] = {}
        for name, value in settings.items():
            if f"{RULES}.*.{name}" not in BY_KEY:
                faults.append(_unknown((*path, name), ("mode", "weight")))
            else:
                _take(f"{RULES}.{rule}.{name}", value, (*path, name), found[rule], faults)
    return found


def _rule_id_faults(rule: str, path: Path, rules: Collection[str]) -> Iterator[Fault]:
    if len(rule) > _LONGEST_RULE_ID or not _RULE_ID.fullmatch(rule):
        yield Fault(path, "malformed", "is no rule id; they look like drift.rewrite_protected")
    elif rule not in rules:
        close = get_close_matches(rule, sorted(rules), n=1)
        hint = f"did you mean {close[0]}?" if close else "`policy rules` lists all"
        yield Fault(path, "unknown_rule", f"there is no such rule; {hint}")


def _take(key: str, value: Any, path: Path, found: dict[str, Any], faults: list[Fault]) -> None:
    kind = setting_of(key).kind
    wrong = list(kind.faults(value, path))
    faults.extend(wrong)
    if not wrong:
        found[str(path[-1])] = kind.canonical(value)


def _layer_faults(document: Mapping[str, Any], layer: str) -> Iterator[Fault]:
    if layer != "branch":
        return
    for key, _ in leaves(document):
        if not setting_of(key).in_branch_layer:
            message = "is decided for a whole repository; set it in its layer or above"
            yield Fault(path_of(key), "wrong_layer", message)


def _ceiling_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    values = dict(leaves(document))
    for key, ceiling in CEILINGS:
        if key in values and ceiling in values and values[key] > values[ceiling]:
            message = f"must be at most {ceiling} ({values[ceiling]}), not {values[key]}"
            yield Fault(path_of(key), "inconsistent", message)


def _floors(value: Any, document: Mapping[str, Any], faults: list[Fault]) -> list[str]:
    if not isinstance(value, list):
        faults.append(wrong_type((FLOORS,), "a list of keys", value))
        return []
    is_set = {key for key, _ in leaves(document)}
    found: set[str] = set()
    for index, key in enumerate(value):
        path = (FLOORS, index)
        if not isinstance(key, str):
            faults.append(wrong_type(path, "a key such as lease.max_ttl_seconds", key))
        elif key in is_set or key in ANY_RULE:
            found.add(key)
        elif _is_key(key):
            message = f"{key} has no right value in this document; a floor is the value beside it"
            faults.append(Fault(path, "floor_without_value", message))
        else:
            faults.append(_unknown(path, BY_KEY, name=key))
    return sorted(found)


def _is_key(key: str) -> bool:
    try:
        setting_of(key)
    except KeyError:
        return False
    return True


def _unknown(path: Path, known: Iterable[str], *, name: str = "") -> Fault:
    name = name or str(path[-1])
    names = list(known)
    close = get_close_matches(name[:_LONGEST_RULE_ID], sorted(names), n=1)
    hint = "`policy keys` lists all"
    if close:
        hint = f"did you mean {close[0]}?"
    elif len(names) <= _MOST_NAMES_IN_A_HINT:
        hint = f"there are {', '.join(names)}"
    return Fault(path, "unknown_key", f"{shown(name)} is no key; {hint}")


def _without_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for section, content in document.items():
        full = content
        if section == RULES:
            full = {rule: settings for rule, settings in content.items() if settings}
        if full:
            kept[section] = full
    return kept
