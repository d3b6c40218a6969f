"""Says which names are one person or bot, by the aliases of the tenant; pure."""

from collections.abc import Iterable

Aliases = tuple[tuple[str, str], ...]
"""(name, the identity that it stands for), sorted; a name that is not listed stands for itself."""


def identity_of(name: str, aliases: Aliases) -> str:
    """Return whom a name stands for. Aliases lead one step, never to another alias."""
    return dict(aliases).get(name, name)


def is_same(name: str, other: str, aliases: Aliases) -> bool:
    """Return whether two names are one person's. A name that is not known is nobody's."""
    return bool(name and other) and identity_of(name, aliases) == identity_of(other, aliases)


def is_among(name: str, names: Iterable[str], aliases: Aliases) -> bool:
    """Return whether a name is that of one of these people."""
    return any(is_same(name, other, aliases) for other in names)
