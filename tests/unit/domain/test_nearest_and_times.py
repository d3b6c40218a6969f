"""The name that was meant, and the moments that callers write: plain values, no database."""

from datetime import UTC, datetime

import pytest

from reconciler_site.base.nearest import did_you_mean
from reconciler_site.base.times import FIRST, LAST, InvalidMoment, moment_of

NAMES = ("branch", "since", "state", "tenant", "user_id")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("stat", "state"), ("STATE", "state"), ("tennant", "tenant"), ("user", "user_id")],
)
def test_the_nearest_known_name_is_proposed(name: str, meant: str) -> None:
    assert did_you_mean(name, NAMES) == f"Did you mean '{meant}'?"


def test_without_a_near_name_all_of_a_few_are_named_and_many_are_counted() -> None:
    assert did_you_mean("xyz", NAMES) == "Known: branch, since, state, tenant, user_id."
    assert did_you_mean("xyz", [f"name-{number}" for number in range(13)]) == (
        "There are 13: see /api/v1/docs."
    )
    assert did_you_mean("xyz", ()) == "There are none here."


def test_a_name_of_any_length_is_answered_at_once() -> None:
    assert did_you_mean("x" * 1_000_000, NAMES).startswith("Known")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T00:00:00+21:20", datetime(2025, 12, 31, 2, 40, tzinfo=UTC)),
        ("2026-01-01T00:00:00-23:59", datetime(2026, 1, 1, 23, 59, tzinfo=UTC)),
        ("2026-01-01T12:00:00Z", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01T12:00:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        # A plus sign that an address turned into a space.
        ("2026-01-01T12:00:00 02:00", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        ("2026-01-01 12:00", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("1971-01-01T00:00:00Z", FIRST),
    ],
)
def test_a_moment_with_any_offset_is_told_in_utc(text: str, moment: datetime) -> None:
    assert moment_of(text) == moment
    assert moment_of(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-13-01",
        "2026-01-01T00:00:00+24:00",
        "\u0662\u0660\u0662\u0666-01-01",
        "2" * 99,
    ],
)
def test_what_is_no_moment_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidMoment, match="write it as 2026-03-02T12:00:00Z"):
        moment_of(text)


@pytest.mark.parametrize(
    "text", ["1970-12-31T23:59:59Z", LAST.isoformat(), "1971-01-01T00:00:00+00:01"]
)
def test_a_moment_out_of_range_is_refused_with_the_range(text: str) -> None:
    with pytest.raises(InvalidMoment, match="from 1971 to 9997"):
        moment_of(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_that_leaves_the_calendar_in_utc_is_refused(text: str) -> None:
    with pytest.raises(InvalidMoment):
        moment_of(text)
