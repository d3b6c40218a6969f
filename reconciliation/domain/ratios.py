"""Which tenants and repositories raise far more alerts than others, and what may be wrong; pure.

Source: specification, "Alert ratios by tenant/repo to detect configuration anti-patterns".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

ENOUGH_RECONCILIATIONS = 20
"""Below this many a ratio says nothing: it neither stands out nor shapes the median."""
ENOUGH_ALERTS = 5
TIMES_MEDIAN = 3.0
ENOUGH_CHANGES = 10
PERCENT_MISSED = 50


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a tenant (`repo` empty) or a repository.

    `alerts` counts every opening; `unanswered` those unresolved that nobody acknowledged or
    snoozed. `refusals` counts requests that no secret verified, where that happened lately.
    """

    tenant: str
    repo: str
    reconciliations: int
    alerts: int
    unresolved: int
    unanswered: int
    changes_by_webhook: int
    changes_by_sweep: int
    refusals: int


@dataclass(frozen=True, slots=True)
class Hint:
    """An anti-pattern that the numbers point to, and the way out."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Ratio:
    """Alerts per 100 completed tasks of one place, None without any task.

    `times_median` is None when there is no median above zero to compare with.
    """

    place: Place
    per_100: float | None
    times_median: float | None
    stands_out: bool
    hints: tuple[Hint, ...]


@dataclass(frozen=True, slots=True)
class Ratios:
    """All places, those that stand out first, then the highest ratio; median None without any."""

    median_per_100: float | None
    lines: tuple[Ratio, ...]


def compare(places: Iterable[Place]) -> Ratios:
    """Return the ratios of places against their median."""
    everything = list(places)
    telling = [
        _per_100(place) for place in everything if place.reconciliations >= ENOUGH_RECONCILIATIONS
    ]
    middle = round(median(telling), 2) if telling else None
    lines = [_ratio(place, middle) for place in everything]
    return Ratios(middle, tuple(sorted(lines, key=_order)))


def _order(line: Ratio) -> tuple[bool, float, str, str]:
    per_100 = -1.0 if line.per_100 is None else line.per_100
    return (not line.stands_out, -per_100, line.place.tenant, line.place.repo)


def _per_100(place: Place) -> float:
    return round(100 * place.alerts / place.reconciliations, 2)


def _ratio(place: Place, middle: float | None) -> Ratio:
    per_100 = _per_100(place) if place.reconciliations else None
    times = round(per_100 / middle, 2) if per_100 is not None and middle else None
    stands_out = _stands_out(place, times, middle)
    return Ratio(place, per_100, times, stands_out, _hints(place, stands_out=stands_out))


def _stands_out(place: Place, times: float | None, middle: float | None) -> bool:
    if place.reconciliations < ENOUGH_RECONCILIATIONS or place.alerts < ENOUGH_ALERTS:
        return False
    # Where most places raise nothing, any that does stands out.
    return middle == 0 or (times is not None and times >= TIMES_MEDIAN)


def _hints(place: Place, *, stands_out: bool) -> tuple[Hint, ...]:
    hints = []
    if stands_out:
        hints.append(
            Hint(
                "threshold_too_tight",
                "Far more alerts than elsewhere: look for a policy threshold that is too tight.",
            )
        )
    changes = place.changes_by_webhook + place.changes_by_sweep
    if changes >= ENOUGH_CHANGES and 100 * place.changes_by_sweep >= PERCENT_MISSED * changes:
        hints.append(
            Hint(
                "webhook_missing",
                f"Sweeps saw {place.changes_by_sweep} of {changes} head changes first: the webhook"
                " is missing, disabled, or not sent for every push.",
            )
        )
    if place.refusals:
        hints.append(
            Hint(
                "secret_refused",
                f"Webhook requests fail verification, {place.refusals} so far: the secret on the"
                " host is not one of the source's.",
            )
        )
    if place.unresolved >= ENOUGH_ALERTS and place.unanswered == place.unresolved:
        hints.append(
            Hint(
                "nobody_acts",
                f"None of {place.unresolved} unresolved alerts was ever answered: change who hears"
                " of them, or set the rule to observe.",
            )
        )
    return tuple(hints)
