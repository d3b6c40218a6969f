"""How often each repository is checked at the current budget, and when the lap ends; pure.

A lap checks every repository once. The forecast shares what one tick can plan among tenants as the
planner does: in turns, so that all grow alike until a tenant has its cap, a host its room, a group
all it asks for, or the tick its budget. What a group gets in a tick tells its interval.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from reconciliation.domain.sweep_plan import BUDGET, HOST_BUDGET, TENANT_CAP

_TENTH = Fraction(11, 10)
"""A group is starved when it waits longer than the interval and its jitter together."""


@dataclass(frozen=True, slots=True)
class Group:
    """The active repositories of one tenant on one host; `due` of them wait for their turn now."""

    tenant: str
    host: str
    repositories: int
    due: int
    last_due_at: datetime


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tick may plan, and how often it comes; hosts not named have no bound."""

    per_tick: int
    per_tenant: int
    per_host: Mapping[str, int]
    tick: timedelta
    interval: timedelta


@dataclass(frozen=True, slots=True)
class GroupForecast:
    """How often a group's repositories are checked; `interval` None: never, it gets nothing.

    `limited_by` is what keeps it from the interval that is set: `budget`, `tenant_cap`,
    `host_budget`, or empty. `all_checked_by` is when each will have had its next check.
    """

    group: Group
    interval: timedelta | None
    limited_by: str
    all_checked_by: datetime | None

    @property
    def is_starved(self) -> bool:
        """Whether it is checked less often than it should be."""
        return bool(self.limited_by)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The lap as a whole; `length` and `ends_at` None: some repository is never reached."""

    groups: tuple[GroupForecast, ...]
    repositories: int
    due: int
    length: timedelta | None
    ends_at: datetime | None


def forecast(groups: Sequence[Group], *, terms: Terms, now: datetime) -> Forecast:
    """Return what the budget means for each group and for the lap; groups in canonical order.

    Host room is what there is now: when webhook work takes more, or less, the forecast moves.
    """
    ordered = sorted(groups, key=lambda one: (one.tenant, one.host))
    steady = _shares(
        ordered,
        # What a tick must plan so that everything is checked once in an interval.
        [one.repositories * _ratio(terms.tick, terms.interval) for one in ordered],
        terms,
    )
    hurried = _shares(ordered, [Fraction(one.due) for one in ordered], terms)
    told = tuple(
        _forecast_of(one, steady[place], hurried[place], terms=terms, now=now)
        for place, one in enumerate(ordered)
    )
    lengths = [one.interval for one in told]
    ends = [one.all_checked_by for one in told]
    return Forecast(
        groups=told,
        repositories=sum(one.repositories for one in ordered),
        due=sum(one.due for one in ordered),
        length=None if None in lengths else max((one for one in lengths if one), default=None),
        ends_at=None if None in ends else max((one for one in ends if one), default=None),
    )


@dataclass(frozen=True, slots=True)
class _Share:
    """What a group gets in a tick, and what kept it from more ("": it asked for no more)."""

    per_tick: Fraction
    kept_by: str


def _forecast_of(
    group: Group, steady: _Share, hurried: _Share, *, terms: Terms, now: datetime
) -> GroupForecast:
    if not steady.per_tick:
        return GroupForecast(group, None, steady.kept_by or BUDGET, None)
    ticks = group.repositories / steady.per_tick
    interval = max(terms.interval, _times(terms.tick, ticks))
    is_slow = interval > _times(terms.interval, _TENTH)
    # What is due now is worked off first; what is not has its turn when it is due.
    backlog = _times(terms.tick, group.due / hurried.per_tick) if hurried.per_tick else timedelta(0)
    return GroupForecast(
        group=group,
        interval=interval,
        limited_by=steady.kept_by if is_slow else "",
        all_checked_by=max(now + (interval if is_slow else backlog), group.last_due_at),
    )


def _shares(groups: Sequence[Group], asked: Sequence[Fraction], terms: Terms) -> list[_Share]:
    """Fill all groups alike until something is used up; exact, so that any order gives the same."""
    got = [Fraction(0)] * len(groups)
    kept: dict[int, str] = {place: "" for place, want in enumerate(asked) if not want}
    left = Fraction(terms.per_tick)
    tenant_left = {one.tenant: Fraction(terms.per_tenant) for one in groups}
    host_left = {host: Fraction(room) for host, room in terms.per_host.items()}
    while True:
        for place, one in enumerate(groups):
            if place not in kept and (reason := _spent(one, left, tenant_left, host_left)):
                kept[place] = reason
        growing = [place for place in range(len(groups)) if place not in kept]
        if not growing:
            return [_Share(got[place], kept[place]) for place in range(len(groups))]
        speed = _speeds(groups, growing)
        by_tenant, by_host = _sums(groups, growing, speed)
        step = min(
            [left / sum(speed.values())]
            + [(asked[place] - got[place]) / speed[place] for place in growing]
            + [tenant_left[tenant] / total for tenant, total in by_tenant.items()]
            + [host_left[host] / total for host, total in by_host.items() if host in host_left]
        )
        for place in growing:
            one, gain = groups[place], step * speed[place]
            got[place] += gain
            left -= gain
            tenant_left[one.tenant] -= gain
            if one.host in host_left:
                host_left[one.host] -= gain
            if got[place] == asked[place]:
                kept[place] = ""


def _spent(
    one: Group,
    left: Fraction,
    tenant_left: Mapping[str, Fraction],
    host_left: Mapping[str, Fraction],
) -> str:
    if one.host in host_left and host_left[one.host] <= 0:
        return HOST_BUDGET
    if tenant_left[one.tenant] <= 0:
        return TENANT_CAP
    return BUDGET if left <= 0 else ""


def _speeds(groups: Sequence[Group], growing: Sequence[int]) -> dict[int, Fraction]:
    """Tenants grow alike; inside a tenant its hosts grow with their repositories."""
    sizes: Counter[str] = Counter()
    for place in growing:
        sizes[groups[place].tenant] += groups[place].repositories
    return {
        place: Fraction(groups[place].repositories, sizes[groups[place].tenant])
        for place in growing
    }


def _sums(
    groups: Sequence[Group], growing: Sequence[int], speed: Mapping[int, Fraction]
) -> tuple[dict[str, Fraction], dict[str, Fraction]]:
    by_tenant: dict[str, Fraction] = defaultdict(Fraction)
    by_host: dict[str, Fraction] = defaultdict(Fraction)
    for place in growing:
        by_tenant[groups[place].tenant] += speed[place]
        by_host[groups[place].host] += speed[place]
    return by_tenant, by_host


def _ratio(one: timedelta, other: timedelta) -> Fraction:
    microsecond = timedelta(microseconds=1)
    return Fraction(one // microsecond, other // microsecond)


def _times(span: timedelta, number: Fraction) -> timedelta:
    return timedelta(seconds=math.ceil(span.total_seconds() * number))
