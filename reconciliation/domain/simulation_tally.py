"""Adds up, evaluation by evaluation, what a draft policy would have changed; pure.

A finding is one thing however often it was stated: what counts is whether it was ever stated in
the span of time, without and with the draft. Memory grows with findings, not with evaluations.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reconciliation.domain.risk import SEVERITIES
from reconciliation.domain.simulation import FindingKey, Outcome, Stated

FINDING_GAINED, FINDING_LOST = "finding_gained", "finding_lost"
ALERT_GAINED, ALERT_LOST = "alert_gained", "alert_lost"
ALERT_QUIETED = "alert_quieted"
SEVERITY_CHANGED = "severity_changed"
CHANGES = (FINDING_GAINED, FINDING_LOST, ALERT_GAINED, ALERT_LOST, SEVERITY_CHANGED)
CHANGE_WORDS: Mapping[str, tuple[str, str]] = {
    FINDING_GAINED: ("finding gained", "findings gained"),
    FINDING_LOST: ("finding lost", "findings lost"),
    ALERT_GAINED: ("alert gained", "alerts gained"),
    ALERT_LOST: ("alert lost", "alerts lost"),
    ALERT_QUIETED: ("alert escalates no more", "alerts escalate no more"),
    SEVERITY_CHANGED: ("severity changed", "severities changed"),
}
"""What a change is called when there is one of it, and when there are more."""
_TOLD_FIRST = (ALERT_GAINED, ALERT_LOST, FINDING_GAINED, FINDING_LOST, SEVERITY_CHANGED)


@dataclass(slots=True)
class Trace:
    """What was ever said of one finding: the newest severities; empty where it never was.

    `shown_by` names, for each change, the newest evaluation that shows it.
    """

    before: str = ""
    after: str = ""
    alert_before: str = ""
    alert_after: str = ""
    severities: tuple[str, str] = ("", "")
    shown_by: dict[str, int] = field(default_factory=dict)

    def see(self, was: Stated | None, would_be: Stated | None, *, evaluation_id: int) -> None:
        """Take in one evaluation, which is older than all before it."""
        if was is not None:
            self.before = self.before or was.severity
            self.alert_before = self.alert_before or (was.severity if was.alerting else "")
        if would_be is not None:
            self.after = self.after or would_be.severity
            self.alert_after = self.alert_after or (would_be.severity if would_be.alerting else "")
        if was is not None and would_be is not None and self.severities == ("", ""):
            self.severities = (was.severity, would_be.severity)
        for change in _changes_shown(was, would_be):
            self.shown_by.setdefault(change, evaluation_id)

    def changes(self) -> Iterator[tuple[str, str]]:
        """Yield what the draft changes about the finding, and the severity that this has."""
        if self.after and not self.before:
            yield FINDING_GAINED, self.after
        if self.before and not self.after:
            yield FINDING_LOST, self.before
        if self.alert_after and not self.alert_before:
            yield ALERT_GAINED, self.alert_after
        if self.alert_before and not self.alert_after:
            yield ALERT_LOST, self.alert_before
        if self.severities[0] != self.severities[1]:
            yield SEVERITY_CHANGED, self.severities[1]


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Findings of one kind: check, stable class, severity."""

    check: str
    stable_class: str
    severity: str


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """How often a check would have decided otherwise in this way."""

    check: str
    before: str
    after: str
    evaluations: int


@dataclass(frozen=True, slots=True)
class Witness:
    """A change of one finding, and the newest evaluation that shows it."""

    change: str
    key: FindingKey
    evaluation_id: int


Counts = dict[str, int]
"""Number of findings by change; every one of `CHANGES` is there."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What a draft changes, in numbers, the most changed first, with some witnesses."""

    evaluations: int
    differing: int
    total: Counts
    by_repository: tuple[tuple[tuple[str, str], Counts], ...]
    by_group: tuple[tuple[Group, Counts], ...]
    decisions: tuple[DecisionChange, ...]
    witnesses: tuple[Witness, ...]


class Tally:
    """Takes in evaluations from the newest to the oldest."""

    def __init__(self) -> None:
        self.evaluations = 0
        self.differing = 0
        self._decisions: Counter[tuple[str, str, str]] = Counter()
        self._traces: dict[FindingKey, Trace] = {}

    @property
    def findings(self) -> int:
        """Return how many findings are remembered: what memory grows with."""
        return len(self._traces)

    def add(
        self, evaluation_id: int, *, check: str, before: Outcome, after: Outcome | None = None
    ) -> None:
        """Take in one evaluation; without `after` the draft changes nothing about it."""
        self.evaluations += 1
        if after is None:
            after = before
        elif before.substance != after.substance:
            self.differing += 1
            self._decisions[check, before.decision, after.decision] += 1
        for key in {one.key for one in (*before.findings, *after.findings)}:
            trace = self._traces.setdefault(key, Trace())
            trace.see(before.stated(key), after.stated(key), evaluation_id=evaluation_id)

    def differences(self, *, most_witnesses: int) -> Differences:
        """Return what came out so far; the same evaluations give the same answer."""
        total = _no_changes()
        repositories: defaultdict[tuple[str, str], Counts] = defaultdict(_no_changes)
        groups: defaultdict[Group, Counts] = defaultdict(_no_changes)
        witnesses: defaultdict[tuple[str, Group], list[Witness]] = defaultdict(list)
        for key in sorted(key for key, trace in self._traces.items() if trace.shown_by):
            trace = self._traces[key]
            for change, severity in trace.changes():
                group = Group(key.check, key.stable_class, severity)
                for counts in (total, repositories[key.tenant, key.repo], groups[group]):
                    counts[change] += 1
                if len(witnesses[change, group]) < most_witnesses:
                    witness = Witness(change, key, trace.shown_by[change])
                    witnesses[change, group].append(witness)
        return Differences(
            evaluations=self.evaluations,
            differing=self.differing,
            total=total,
            by_repository=tuple(sorted(repositories.items(), key=lambda one: _rank(*one))),
            by_group=tuple(sorted(groups.items(), key=lambda one: _rank(*one))),
            decisions=tuple(
                DecisionChange(*what, number)
                for what, number in sorted(
                    self._decisions.items(), key=lambda one: (-one[1], one[0])
                )
            ),
            witnesses=tuple(_some_of_each(witnesses, most=most_witnesses)),
        )


def _changes_shown(was: Stated | None, would_be: Stated | None) -> Iterator[str]:
    if was is None:
        yield FINDING_GAINED
    elif would_be is None:
        yield FINDING_LOST
    elif was.severity != would_be.severity:
        yield SEVERITY_CHANGED
    spoke = was is not None and was.alerting
    would_speak = would_be is not None and would_be.alerting
    if would_speak and not spoke:
        yield ALERT_GAINED
    if spoke and not would_speak:
        yield ALERT_LOST


def _no_changes() -> Counts:
    return dict.fromkeys(CHANGES, 0)


def _rank(thing: object, counts: Counts) -> tuple[int, object]:
    return (-sum(counts.values()), thing)


def _some_of_each(
    found: Mapping[tuple[str, Group], Sequence[Witness]], *, most: int
) -> list[Witness]:
    """Return one of each kind, then a second of each, up to `most`; alerts and the worst first."""
    kinds = [found[kind] for kind in sorted(found, key=_importance)]
    rounds = max((len(kind) for kind in kinds), default=0)
    chosen = [kind[number] for number in range(rounds) for kind in kinds if number < len(kind)]
    return chosen[:most]


def _importance(kind: tuple[str, Group]) -> tuple[int, int, Group]:
    change, group = kind
    return (_TOLD_FIRST.index(change), -SEVERITIES.index(group.severity), group)
