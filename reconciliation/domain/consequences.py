"""Says what publishing a draft policy makes of the findings and alerts that hold now; pure.

It follows the rules by which findings are stored: another class of a check replaces the one before
at once, a clean check is evidence, and "unknown" is none. An alert ends with its finding. What is
still found but no longer worth an alert stays open until somebody deals with it, and escalates no
more: a policy is no evidence.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciliation.domain.facts import Place
from reconciliation.domain.findings import Decision
from reconciliation.domain.risk import SEVERITIES
from reconciliation.domain.simulation import FindingKey, Stated, outcome_of
from reconciliation.domain.simulation_tally import (
    ALERT_GAINED,
    ALERT_LOST,
    ALERT_QUIETED,
    FINDING_GAINED,
    FINDING_LOST,
    SEVERITY_CHANGED,
)

CONSEQUENCES = (
    FINDING_GAINED,
    FINDING_LOST,
    ALERT_GAINED,
    ALERT_LOST,
    ALERT_QUIETED,
    SEVERITY_CHANGED,
)
_TOLD_FIRST = (
    ALERT_GAINED,
    ALERT_LOST,
    ALERT_QUIETED,
    FINDING_GAINED,
    FINDING_LOST,
    SEVERITY_CHANGED,
)


@dataclass(frozen=True, slots=True)
class Consequence:
    """What becomes of one finding; a severity is empty where it is not stated."""

    changes: tuple[str, ...]
    key: FindingKey
    severity_before: str
    severity_after: str
    summary: str


@dataclass(frozen=True, slots=True)
class Consequences:
    """What publishing leads to: in numbers, the most changed first, and finding by finding."""

    total: Mapping[str, int]
    by_repository: tuple[tuple[tuple[str, str], Mapping[str, int]], ...]
    each: tuple[Consequence, ...]


def consequences_of(
    before: Decision, after: Decision, *, place: Place, check: str
) -> Iterator[Consequence]:
    """Yield what becomes of one check's findings when it decides `after` in place of `before`."""
    was = {one.key: one for one in outcome_of(before, place=place, check=check).findings}
    will_be = {one.key: one for one in outcome_of(after, place=place, check=check).findings}
    for key in sorted({*was, *will_be}):
        old, new = was.get(key), will_be.get(key)
        if new is None and not _resolves(after):
            continue
        speaking, changes = new or old, tuple(sorted(_changes(old, new), key=_TOLD_FIRST.index))
        if changes and speaking is not None:
            yield Consequence(
                changes,
                key,
                old.severity if old else "",
                new.severity if new else "",
                speaking.summary,
            )


def counted(found: Iterable[Consequence]) -> Consequences:
    """Return consequences in numbers and in one order, the worst first."""
    each = tuple(sorted(found, key=_importance))
    total = dict.fromkeys(CONSEQUENCES, 0)
    places: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(
        lambda: dict.fromkeys(CONSEQUENCES, 0)
    )
    for one in each:
        for counts in (total, places[one.key.tenant, one.key.repo]):
            for change in one.changes:
                counts[change] += 1
    ranked = sorted(places.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return Consequences(total, tuple(ranked), each)


def _changes(old: Stated | None, new: Stated | None) -> Iterator[str]:
    if old is None:
        yield FINDING_GAINED
    elif new is None:
        yield FINDING_LOST
    elif old.severity != new.severity:
        yield SEVERITY_CHANGED
    spoke, will_speak = old is not None and old.alerting, new is not None and new.alerting
    if will_speak and not spoke:
        yield ALERT_GAINED
    if spoke and not will_speak:
        yield ALERT_LOST if new is None else ALERT_QUIETED


def _resolves(after: Decision) -> bool:
    """Return whether a decision is evidence against findings that it does not state."""
    if after.findings:
        return after.stable_class != "unknown"
    return after.clean


def _importance(one: Consequence) -> tuple[int, int, FindingKey]:
    severity = one.severity_after or one.severity_before
    return (_TOLD_FIRST.index(one.changes[0]), -SEVERITIES.index(severity), one.key)
