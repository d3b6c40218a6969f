"""How the `policy_simulate` command tells people what it found: lines of text; decides nothing."""

from collections.abc import Iterator, Mapping

from reconciliation.domain.consequences import CONSEQUENCES, Consequence, Consequences
from reconciliation.domain.simulation import Rules, Stated
from reconciliation.domain.simulation_tally import CHANGE_WORDS
from reconciliation.management.policy_output import plan_lines
from reconciliation.services.simulation import Example, Simulation
from reconciliation.services.simulation_judging import Against, Gaps

_MOST_CONSEQUENCES = 40
_GAPS = {
    "unreadable": "could not be read: code too old stored them",
    "without_paths": "lack the changed paths that the draft asks for: they were not read then",
    "without_merges": "are of branches of which nobody had looked whether they are merged",
}


def simulation_lines(found: Simulation) -> Iterator[str]:
    """Yield what a simulation found."""
    differences = found.differences
    yield from plan_lines(found.plan)
    yield from _published_lines(found.if_published)
    than = "was stored" if found.against is Against.STORED else "the policies in force say"
    yield (
        f"{differences.evaluations} evaluations since {found.since:%Y-%m-%d %H:%M} UTC,"
        f" {differences.differing} of them decided otherwise than {than}"
    )
    if not found.is_complete and found.oldest_at is not None:
        yield f"  incomplete: a bound was reached at {found.oldest_at:%Y-%m-%d %H:%M} UTC"
    yield from _gap_lines(found.gaps)
    yield f"in all: {_counted(differences.total) or 'no finding and no alert changes'}"
    for title, lines in (
        (
            "by kind",
            ((f"{g.check} {g.stable_class} {g.severity}", n) for g, n in differences.by_group),
        ),
        ("by repository", (("/".join(place), n) for place, n in differences.by_repository)),
    ):
        for place, (name, counts) in enumerate(lines):
            if place == 0:
                yield f"{title}:"
            yield f"  {name}: {_counted(counts)}"
    if differences.decisions:
        yield "decisions:"
    for one in differences.decisions:
        yield f"  {one.check}: {one.before} -> {one.after}: {one.evaluations}"
    if found.examples:
        yield "examples:"
    for example in found.examples:
        yield from _example_lines(example)


def _published_lines(found: Consequences) -> Iterator[str]:
    yield f"published now: {_counted(found.total) or 'no finding and no alert changes'}"
    if len(found.by_repository) > 1:
        for place, counts in found.by_repository:
            yield f"  {'/'.join(place)}: {_counted(counts)}"
    for one in found.each[:_MOST_CONSEQUENCES]:
        yield f"  {_consequence(one)}"
    if (left := len(found.each) - _MOST_CONSEQUENCES) > 0:
        yield f"  and {left} more; --json has up to 200 of them"


def _consequence(one: Consequence) -> str:
    key, old, new = one.key, one.severity_before, one.severity_after
    severity = f"{old} -> {new}" if old and new and old != new else new or old
    place = f"{key.tenant}/{key.repo}@{key.branch}"
    words = ", ".join(CHANGE_WORDS[change][0] for change in one.changes)
    return f"{words}: {place} {key.check} {key.stable_class} ({severity})"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{counts[change]} {CHANGE_WORDS[change][counts[change] != 1]}"
        for change in CONSEQUENCES
        if counts.get(change)
    )


def _gap_lines(gaps: Gaps) -> Iterator[str]:
    for name, words in _GAPS.items():
        if number := getattr(gaps, name):
            yield f"  {number} {words}"


def _example_lines(one: Example) -> Iterator[str]:
    place = f"{one.place.tenant}/{one.place.repo}@{one.place.branch}"
    yield f"  {one.change.replace('_', ' ')}: {place} {one.check} {one.stable_class}"
    yield f"    {_said(one.before, one.was)} -> {_said(one.after, one.would_be)}"
    rules = [f"+ {rule}" for rule in _shown(one.rules_gained)]
    rules += [f"- {rule}" for rule in _shown(one.rules_lost)]
    if rules:
        yield f"    {', '.join(rules)}"
    at = f"{one.evaluated_at:%Y-%m-%d %H:%M} UTC"
    yield f"    evaluation {one.evaluation_id} of task {one.task_id}, {at}"


def _said(decision: str, stated: Stated | None) -> str:
    if stated is None:
        return decision
    return f"{decision} ({stated.severity}{', alert' if stated.alerting else ''})"


def _shown(rules: Rules) -> Iterator[str]:
    return (f"{rule} {weight}" for rule, weight in rules)
