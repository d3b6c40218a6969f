"""Which places stand out by their alerts, and what their numbers hint at."""

from dataclasses import replace

import pytest

from reconciliation.domain.ratios import Place, Ratio, compare

QUIET = Place(
    tenant="acme",
    repo="quiet",
    reconciliations=100,
    alerts=2,
    unresolved=0,
    unanswered=0,
    changes_by_webhook=50,
    changes_by_sweep=1,
    refusals=0,
)
LOUD = replace(QUIET, repo="loud", alerts=6)


def line_of(place: Place) -> Ratio:
    """Compare a place with three quiet ones."""
    others = [replace(QUIET, repo=f"quiet-{number}") for number in range(3)]
    return next(one for one in compare([*others, place]).lines if one.place == place)


def codes(place: Place) -> list[str]:
    return [hint.code for hint in line_of(place).hints]


def test_three_times_the_median_stands_out_and_a_little_less_does_not() -> None:
    loud, less = line_of(LOUD), line_of(replace(LOUD, reconciliations=101))

    assert (loud.per_100, loud.times_median, loud.stands_out) == (6.0, 3.0, True)
    assert (less.per_100, less.stands_out) == (5.94, False)
    assert codes(LOUD) == ["threshold_too_tight"]


def test_a_ratio_over_few_tasks_or_few_alerts_says_nothing() -> None:
    few_tasks = replace(LOUD, reconciliations=19, alerts=19)
    few_alerts = replace(LOUD, reconciliations=20, alerts=4)

    assert not line_of(few_tasks).stands_out
    assert not line_of(few_alerts).stands_out
    assert line_of(replace(few_tasks, reconciliations=20)).stands_out
    assert line_of(replace(few_alerts, alerts=5)).stands_out


def test_where_nobody_else_raises_alerts_any_place_that_does_stands_out() -> None:
    silent = [replace(QUIET, repo=f"silent-{number}", alerts=0) for number in range(3)]

    found = compare([*silent, LOUD])

    assert found.median_per_100 == 0
    assert [line.place.repo for line in found.lines if line.stands_out] == ["loud"]
    assert found.lines[0].times_median is None


def test_a_place_without_tasks_has_no_ratio_and_comes_last() -> None:
    fresh = replace(QUIET, repo="fresh", reconciliations=0, alerts=0)

    found = compare([fresh, QUIET, LOUD])

    assert [line.place.repo for line in found.lines] == ["loud", "quiet", "fresh"]
    assert found.lines[-1].per_100 is None


def test_nothing_to_compare_has_no_median() -> None:
    assert compare([]).median_per_100 is None
    assert compare([replace(QUIET, reconciliations=19)]).median_per_100 is None


@pytest.mark.parametrize(
    ("by_webhook", "by_sweep", "hinted"), [(5, 5, True), (6, 5, False), (4, 5, False)]
)
def test_sweeps_that_are_first_half_the_time_hint_at_a_missing_webhook(
    by_webhook: int, by_sweep: int, hinted: bool
) -> None:
    place = replace(QUIET, changes_by_webhook=by_webhook, changes_by_sweep=by_sweep)

    assert codes(place) == (["webhook_missing"] if hinted else [])


def test_refused_requests_hint_at_the_secret() -> None:
    assert codes(replace(QUIET, refusals=1)) == ["secret_refused"]


def test_alerts_that_nobody_ever_answers_hint_at_who_hears_of_them() -> None:
    ignored = replace(QUIET, unresolved=5, unanswered=5)

    assert codes(ignored) == ["nobody_acts"]
    assert codes(replace(ignored, unanswered=4)) == []
    assert codes(replace(ignored, unresolved=4, unanswered=4)) == []


def test_the_order_does_not_depend_on_the_input() -> None:
    places = [replace(QUIET, repo=name) for name in ("b", "a", "c")]

    assert compare(places) == compare(reversed(places))
