"""How policies read: values, units, changes; decides nothing and reads no table."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django import template

from governance.domain.policy_schema import setting_of
from reconciliation.domain.consequences import CONSEQUENCES
from reconciliation.domain.simulation_tally import CHANGE_WORDS

register = template.Library()

_MOST_CHARACTERS = 300
_BAD_NEWS = {"alert_gained": "bad", "alert_lost": "ok", "alert_quieted": "ok"}


@register.filter
def policy_value(value: Any) -> str:
    """Return a value of a policy in few words: lists by their items, steps by their fields."""
    if value is None:
        return "not set"
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list):
        text = ", ".join(_item(one) for one in value) or "none"
    else:
        text = json.dumps(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"


@register.filter
def unit_of(key: str) -> str:
    """Return the unit of a key, or nothing."""
    return setting_of(key).unit


@register.filter
def meaning_of(key: str) -> str:
    """Return what a key means."""
    return setting_of(key).meaning


@register.filter
def change_words(change: str, number: int = 2) -> str:
    """Return what happens to one finding, or to `number` of them."""
    return CHANGE_WORDS[change][number != 1]


@register.filter
def change_look(change: str) -> str:
    """Return the look of a chip for a kind of change."""
    return _BAD_NEWS.get(change, "plain")


@register.filter
def by_change(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Return counts in the one order in which they are told."""
    return tuple((change, counts[change]) for change in CONSEQUENCES if change in counts)


@register.filter
def names_of(layers: Iterable[Any]) -> str:
    """Return layers by their labels."""
    return ", ".join(layer.label for layer in layers)


def _item(one: Any) -> str:
    if isinstance(one, Mapping):
        return " ".join(str(field) for field in one.values())
    return str(one)
