"""The order of branch classes by how much they guard; pure."""

CLASSES_BY_GUARD = ("other", "governed", "protected", "default")
"""From the least to the most guarded."""


def stricter_class(one: str, other: str) -> str:
    """Return that of two branch classes which guards more."""
    return max(one, other, key=CLASSES_BY_GUARD.index)
