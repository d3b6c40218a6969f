"""Names what was probably meant by a name that is not known; pure."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_NAME = 100
_MOST_LISTED = 12


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the nearest known name, or else what there is to choose from."""
    names = sorted(known)
    if not names:
        return "There are none here."
    meant = name[:_LONGEST_NAME].lower()
    nearest = get_close_matches(meant, names, n=1)
    nearest += [known for known in names if meant and known.startswith(meant)]
    if nearest:
        return f"Did you mean {nearest[0]!r}?"
    if len(names) > _MOST_LISTED:
        return f"There are {len(names)}: see /api/v1/docs."
    return f"Known: {', '.join(names)}."
