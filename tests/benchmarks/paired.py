"""Turns rates that were measured in turns into a figure: the median of the ratios of neighbours."""

import statistics
from collections.abc import Sequence
from typing import Any


def shown(series: Sequence[float]) -> dict[str, Any]:
    """Return the median of rates, and all of them, to be read by people."""
    return {"median": round(statistics.median(series)), "all": [round(rate) for rate in series]}


def paired_figure(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    target: float,
    raw: dict[str, Any],
) -> dict[str, Any]:
    """Return a figure: how many times faster ours are, slice by slice; at least `target` is met."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "name": name,
        "ratio": round(ratio, 2),
        "target": target,
        "met": ratio >= target,
        "raw": {"pairs": [round(one, 2) for one in ratios], **raw},
    }
