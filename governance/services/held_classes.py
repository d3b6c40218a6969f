"""Says in SQL which class a branch keeps: the one under which governance last accepted it."""

from governance.domain.branch_classes import CLASSES_BY_GUARD


def held_class(stored: str, wanted: str, *, governed: str, observed: str) -> str:
    """Return the SQL of a branch's class, from the SQL of four values.

    While a branch is in sync, or was never accepted, it has the class `wanted` that holds now.
    While it drifts it keeps the stricter of both: what takes its protection away must not excuse
    what happened to it, nor what is still to be looked at. Accepting its head ends that.
    """
    return (
        f"CASE WHEN {governed} IS NULL OR {governed} = COALESCE({observed}, '') THEN {wanted}"
        f" WHEN {_rank(stored)} > {_rank(wanted)} THEN {stored} ELSE {wanted} END"
    )


def _rank(value: str) -> str:
    ranks = " ".join(
        f"WHEN '{name}' THEN {place}" for place, name in enumerate(CLASSES_BY_GUARD) if place
    )
    return f"(CASE {value} {ranks} ELSE 0 END)"
