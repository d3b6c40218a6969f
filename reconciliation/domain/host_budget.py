"""How many repositories of one host a sweep may plan, so that webhook work finds room; pure.

The budget of a host is a number of calls a minute. Of every five, sweeps get four; the fifth is
kept for webhook work, which may use them all: it is never held back by this rule, and what it takes
beyond its fifth comes off what sweeps may plan next. What a repository costs is measured: one that
changed takes more than one call. What was planned and not yet read will still take its calls.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

SWEEPS_PERCENT = 80
"""Of a host's budget; the rest is kept for webhook work. Source: the field's usual reserve."""

LOCAL = "local"
"""What folders on this machine count as; reading them is no call to anybody's host."""

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[^@/]*@)?(?P<host>\[[^\]/]+\]|[^/:]+)(?::(?P<port>\d+))?/",
    re.IGNORECASE,
)
_SCP_LIKE = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?!//)")
_DEFAULT_PORTS = {"https": "443", "http": "80", "ssh": "22"}


@dataclass(frozen=True, slots=True)
class HostUse:
    """Calls made to one host over the minutes that were looked at, by what caused them.

    `by_sweeps` covers what followed from sweeps (fetching history), too; `readings` is how many
    repositories sweeps read there.
    """

    minutes: int = 1
    by_sweeps: int = 0
    by_others: int = 0
    readings: int = 0


@dataclass(frozen=True, slots=True)
class HostAllowance:
    """What sweeps may plan of one host now, and why.

    `repositories` None: no budget is set for it. `calls_per_reading` is measured, never below 1.
    """

    host: str
    repositories: int | None
    calls_per_minute: int | None
    sweep_calls_per_minute: int | None
    calls_per_reading: float
    others_per_minute: float
    waiting: int

    @property
    def is_exhausted(self) -> bool:
        """Whether a sweep may plan nothing at all there."""
        return self.repositories == 0


def host_of_url(clone_url: str) -> str:
    """Return host and port of a clone URL as one text: `git.example`, `git.example:8443`, `local`.

    A port that its scheme implies is left out; so are user names. What is no address of a host (a
    path, `file://`) is `local`.
    """
    if found := _URL.match(clone_url):
        scheme, port = found["scheme"].lower(), found["port"]
        if scheme == "file":
            return LOCAL
        shown = "" if port is None or port == _DEFAULT_PORTS.get(scheme) else f":{port}"
        return f"{found['host'].lower()}{shown}"
    if clone_url.startswith("/") or "://" in clone_url:
        return LOCAL
    found = _SCP_LIKE.match(clone_url)
    return found["host"].lower() if found else LOCAL


def allowance(
    host: str, *, calls_per_minute: int, minutes: Fraction, used: HostUse, waiting: int
) -> HostAllowance:
    """Return how many repositories of a host a sweep may plan for the coming `minutes`.

    `calls_per_minute` 0 means no budget. `waiting` are sweep observations of the host that are
    planned and not yet read.
    """
    cost = max(Fraction(1), Fraction(used.by_sweeps, used.readings or 1))
    others = Fraction(used.by_others, max(1, used.minutes))
    if calls_per_minute <= 0 or host == LOCAL:
        return HostAllowance(host, None, None, None, float(cost), float(others), waiting)
    kept_for_sweeps = Fraction(calls_per_minute * SWEEPS_PERCENT, 100)
    per_minute = max(Fraction(0), min(kept_for_sweeps, calls_per_minute - others))
    repositories = max(0, math.floor(per_minute * minutes / cost) - waiting)
    return HostAllowance(
        host=host,
        repositories=repositories,
        calls_per_minute=calls_per_minute,
        sweep_calls_per_minute=math.floor(per_minute),
        calls_per_reading=float(cost),
        others_per_minute=float(others),
        waiting=waiting,
    )


def total_use(uses: Sequence[HostUse], *, minutes: int) -> HostUse:
    """Return the sum over minutes that were recorded, of `minutes` that were looked at."""
    return HostUse(
        minutes=minutes,
        by_sweeps=sum(one.by_sweeps for one in uses),
        by_others=sum(one.by_others for one in uses),
        readings=sum(one.readings for one in uses),
    )
