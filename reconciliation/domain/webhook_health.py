"""Judges whether a repository's webhook is heard, from how it was heard before; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

WINDOW = timedelta(days=28)
"""How far back the usual rhythm is looked for: four weekends, so that the fifth is no news."""
LEAST_HOURS = 10
"""Hours with a delivery, below which no rhythm is known."""
_LEAST_SILENCE = timedelta(hours=6)
_HALF = 2


@dataclass(frozen=True, slots=True)
class HeardFacts:
    """What is known of a repository's webhook.

    `heard_in` are the hours, in the window, in which a delivery came, whatever it said: a ping too
    proves that the host reaches us. `last_announcement_at` is when the last one came that asked for
    work. `refused_at` is when a signature was last refused. `unannounced_since` counts heads that a
    sweep saw moved after the last announcement.
    """

    has_source: bool
    last_delivery_at: datetime | None
    last_announcement_at: datetime | None
    refused_at: datetime | None
    refused_for: str
    heard_in: tuple[datetime, ...]
    unannounced_since: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` is one of ok, unknown, silent, deaf, refused, no_source; `words` say it to people."""

    state: str
    words: str
    silence: timedelta | None
    usual_silence: timedelta | None


def judge_webhook(facts: HeardFacts, now: datetime) -> Verdict:
    """Return how a webhook is heard; of several troubles the one nearest to its cause."""
    last = facts.last_delivery_at
    silence = None if last is None else max(timedelta(0), now - last)
    usual = usual_silence(facts.heard_in)
    state, words = _judge(facts, silence, usual)
    return Verdict(state, words, silence, usual)


def usual_silence(heard_in: Iterable[datetime]) -> timedelta | None:
    """Return the longest time between two hours with a delivery; None while that says little."""
    hours = sorted(set(heard_in))
    if len(hours) < LEAST_HOURS:
        return None
    return max(later - earlier for earlier, later in pairwise(hours))


def _judge(
    facts: HeardFacts, silence: timedelta | None, usual: timedelta | None
) -> tuple[str, str]:
    last = facts.last_delivery_at
    if not facts.has_source:
        return "no_source", "No webhook source: changes are seen by sweeps only."
    if facts.refused_at is not None and (last is None or facts.refused_at > last):
        reason = facts.refused_for.replace("_", " ")
        return "refused", f"The last request was refused: {reason}. Nothing came through since."
    if facts.unannounced_since:
        moved = f"{facts.unannounced_since} head{'s' * (facts.unannounced_since > 1)} moved"
        told = facts.last_announcement_at
        if last is not None and (told is None or last > told):
            return "deaf", (
                f"{moved} unannounced, though deliveries come: does the host send its push events?"
            )
        since = "and no delivery has ever come" if last is None else "since the last delivery"
        return "deaf", (
            f"{moved} {since}, unannounced: the webhook is switched off or failing on the host."
        )
    if silence is None:
        return "unknown", "No delivery has come yet; none was missed either."
    if usual is None:
        return "unknown", "Too few deliveries to know the usual rhythm; none was missed."
    if silence > max(usual + usual / _HALF, _LEAST_SILENCE):
        return "silent", (
            f"Silent for {in_hours(silence)}; in {WINDOW.days} days the longest silence was"
            f" {in_hours(usual)}."
        )
    return "ok", f"Heard as usual: silences of up to {in_hours(usual)} are normal here."


def in_hours(length: timedelta) -> str:
    """Return a length of time in days and hours: `3 d 4 h`, `14 h`, `less than an hour`."""
    hours = int(length.total_seconds() // 3600)
    if hours == 0:
        return "less than an hour"
    days, rest = divmod(hours, 24)
    parts = ([f"{days} d"] if days else []) + ([f"{rest} h"] if rest else [])
    return " ".join(parts)
