"""Reads what the address of a page asks for; what it does not understand is refused in words.

A list whose filter was passed over would show everything under the name of a part.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from django.core.exceptions import BadRequest
from django.http import QueryDict

from reconciler_site.base.nearest import did_you_mean

Check = Callable[[str], str]
"""Returns what is wrong with a value; an empty text: nothing."""

# Added to links by mailers and search engines; they narrow nothing.
_TRACKING: Final = frozenset({"fbclid", "gclid", "msclkid"})
_TRACKING_PREFIX: Final = "utm_"
_LONGEST_NUMBER: Final = 18
# A signed cursor that holds the longest name of a branch, or a search for it.
_LONGEST_VALUE: Final = 8000


def any_text(_: str) -> str:
    """Take any text."""
    return ""


def whole_number(value: str) -> str:
    """Take a whole number that a database can hold."""
    if value.isascii() and value.isdecimal() and len(value) <= _LONGEST_NUMBER:
        return ""
    return f"{value[:100]!r} is no number."


def switch(value: str) -> str:
    """Take a box that was ticked, which browsers send as 1."""
    return "" if value in ("0", "1") else f"{value[:100]!r} is neither 1 nor 0."


def one_of(choices: Collection[Any]) -> Check:
    """Return a check that takes these values, or the values of these (value, label) pairs."""
    values = frozenset(one[0] if isinstance(one, tuple) else one for one in choices)
    return lambda value: (
        "" if value in values else f"there is no {value[:100]!r}. {did_you_mean(value, values)}"
    )


def read_address(given: QueryDict, takes: Mapping[str, Check]) -> dict[str, str]:
    """Return a value for each name that the page takes; empty where the address names none.

    Raises:
        BadRequest: names what is not known, not possible, or given twice.
    """
    told = {name: values for name, values in given.lists() if not _is_tracking(name)}
    wrong = [
        f"This page takes no {name[:100]!r}. {did_you_mean(name, takes)}"
        for name in sorted(told)
        if name not in takes
    ]
    asked = dict.fromkeys(takes, "")
    for name, check in takes.items():
        values = told.get(name, [])
        if len(values) > 1:
            wrong.append(f"{name!r} is given twice.")
        elif values and len(values[0]) > _LONGEST_VALUE:
            wrong.append(f"{name} has more than {_LONGEST_VALUE} characters.")
        elif values and values[0] and (trouble := check(values[0])):
            wrong.append(f"{name}: {trouble}")
        elif values:
            asked[name] = values[0]
    if wrong:
        raise BadRequest(" ".join(wrong[:10]))
    return asked


def _is_tracking(name: str) -> bool:
    return name in _TRACKING or name.startswith(_TRACKING_PREFIX)
