"""When a webhook is taken for deaf, silent or refused; each threshold at, below and above."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciliation.domain.webhook_health import (
    LEAST_HOURS,
    HeardFacts,
    in_hours,
    judge_webhook,
    usual_silence,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def hours_ago(*hours: float) -> tuple[datetime, ...]:
    return tuple(NOON - timedelta(hours=hour) for hour in hours)


HEARD = HeardFacts(
    has_source=True,
    last_delivery_at=NOON - timedelta(minutes=5),
    last_announcement_at=NOON - timedelta(minutes=5),
    refused_at=None,
    refused_for="",
    heard_in=hours_ago(*range(0, 80, 8)),
    unannounced_since=0,
)


def state_of(facts: HeardFacts) -> str:
    return judge_webhook(facts, NOON).state


def test_a_webhook_that_is_heard_as_ever_is_ok() -> None:
    verdict = judge_webhook(HEARD, NOON)

    assert (verdict.state, verdict.usual_silence, verdict.silence) == (
        "ok",
        timedelta(hours=8),
        timedelta(minutes=5),
    )
    assert verdict.words == "Heard as usual: silences of up to 8 h are normal here."


@pytest.mark.parametrize(("hours", "state"), [(11.9, "ok"), (12, "ok"), (12.1, "silent")])
def test_half_as_long_again_as_the_longest_silence_is_unusual(hours: float, state: str) -> None:
    quiet = replace(HEARD, last_delivery_at=NOON - timedelta(hours=hours))

    assert state_of(quiet) == state


@pytest.mark.parametrize(("hours", "state"), [(6, "ok"), (6.1, "silent")])
def test_less_than_six_hours_are_never_unusual(hours: float, state: str) -> None:
    busy = replace(
        HEARD,
        heard_in=hours_ago(*range(20)),
        last_delivery_at=NOON - timedelta(hours=hours),
    )

    assert state_of(busy) == state


def test_a_weekend_is_no_news_after_four_of_them() -> None:
    weekdays = [day for day in range(28) if (NOON - timedelta(days=day)).weekday() < 5]
    worked = [24 * day + hour for day in weekdays for hour in range(8)]
    saturday = replace(
        HEARD,
        heard_in=hours_ago(*(hour + 48 for hour in worked)),
        last_delivery_at=NOON - timedelta(hours=48),
    )

    assert state_of(saturday) == "ok"


@pytest.mark.parametrize(
    ("hours", "state"), [(LEAST_HOURS - 1, "unknown"), (LEAST_HOURS, "silent")]
)
def test_a_rhythm_needs_ten_hours_to_be_known(hours: int, state: str) -> None:
    quiet = replace(
        HEARD,
        heard_in=hours_ago(*range(100, 100 + hours)),
        last_delivery_at=NOON - timedelta(hours=100),
    )

    assert state_of(quiet) == state


def test_several_deliveries_of_one_hour_are_one() -> None:
    assert usual_silence([NOON] * 50) is None


def test_heads_that_moved_unannounced_outweigh_any_rhythm() -> None:
    verdict = judge_webhook(replace(HEARD, unannounced_since=3), NOON)

    assert verdict.state == "deaf"
    assert verdict.words.startswith("3 heads moved since the last delivery, unannounced")


@pytest.mark.parametrize("announced_at", [None, NOON - timedelta(hours=1)])
def test_deliveries_that_never_speak_of_pushes_are_told_from_silence(
    announced_at: datetime | None,
) -> None:
    deaf = replace(HEARD, unannounced_since=1, last_announcement_at=announced_at)

    verdict = judge_webhook(deaf, NOON)

    assert verdict.state == "deaf"
    assert verdict.words.startswith("1 head moved unannounced, though deliveries come")


def test_a_refusal_after_the_last_delivery_outweighs_what_it_leads_to() -> None:
    refused = replace(
        HEARD, refused_at=NOON - timedelta(minutes=1), refused_for="mismatch", unannounced_since=3
    )

    assert state_of(refused) == "refused"
    assert "mismatch" in judge_webhook(refused, NOON).words


def test_a_refusal_before_the_last_delivery_is_forgotten() -> None:
    assert state_of(replace(HEARD, refused_at=NOON - timedelta(minutes=6))) == "ok"


def test_without_a_source_nothing_can_be_heard() -> None:
    assert state_of(replace(HEARD, has_source=False)) == "no_source"


def test_a_webhook_never_heard_is_unknown_until_something_is_missed() -> None:
    new = replace(HEARD, last_delivery_at=None, last_announcement_at=None, heard_in=())

    assert state_of(new) == "unknown"
    assert (
        "no delivery has ever come" in judge_webhook(replace(new, unannounced_since=1), NOON).words
    )
    assert state_of(replace(new, refused_at=NOON)) == "refused"


def test_a_clock_that_runs_behind_makes_no_negative_silence() -> None:
    ahead = replace(HEARD, last_delivery_at=NOON + timedelta(minutes=1))

    assert judge_webhook(ahead, NOON).silence == timedelta(0)


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(minutes=59), "less than an hour"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=24), "1 d"),
        (timedelta(hours=76), "3 d 4 h"),
    ],
)
def test_lengths_in_words(length: timedelta, words: str) -> None:
    assert in_hours(length) == words
