"""When each repository is checked next and how often, at the current budget; changes nothing.

A caller of some tenants is told of those only; how fast they are checked follows from everybody's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from django.db.models import Count, Max, Q

from audit.domain.caller import Caller
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.domain.host_budget import HostAllowance
from reconciliation.domain.sweep_forecast import (
    Forecast,
    Group,
    GroupForecast,
    Terms,
    forecast,
)
from reconciliation.models import RepositoryWatch
from reconciliation.selectors.host_budget import host_allowances
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.visible import visible_watches

_LIST = "page sweeps planner"


@dataclass(frozen=True, slots=True)
class PlannerTerms:
    """The budget in force: what a tick plans, of each tenant, of each host; and the interval."""

    per_tick: int
    per_tenant: int
    host_calls_per_minute: int
    tick: timedelta
    interval: timedelta


@dataclass(frozen=True, slots=True)
class PlannerLine:
    """One repository: when it was checked, when it is due, and how often it is checked."""

    watch: RepositoryWatch
    told: GroupForecast | None


@dataclass(frozen=True, slots=True)
class Planner:
    """The lap as the caller may see it, the hosts of their repositories, and one page of those."""

    as_of: datetime
    terms: PlannerTerms
    lap: Forecast
    hosts: tuple[HostAllowance, ...]
    page: Page[PlannerLine]

    @property
    def starved(self) -> tuple[GroupForecast, ...]:
        """The tenants, by host, that are checked less often than they should be."""
        return tuple(one for one in self.lap.groups if one.is_starved)


def planner(
    caller: Caller, *, terms: PlannerTerms, now: datetime, tenant: str = "", after: str = ""
) -> Planner:
    """Return the forecast and a page of repositories, soonest due first, in four queries.

    `after` is the cursor of the page before.

    Raises:
        UnknownCursor: this list did not give it.
    """
    groups = _groups(now)
    rooms = host_allowances(
        {one.host for one in groups},
        calls_per_minute=terms.host_calls_per_minute,
        minutes=Fraction(terms.tick // timedelta(seconds=1), 60),
        now=now,
    )
    whole = forecast(
        groups,
        terms=Terms(
            per_tick=terms.per_tick,
            per_tenant=terms.per_tenant,
            # What waits already is part of the lap: it takes room now, not for good.
            per_host={
                host: one.repositories + one.waiting
                for host, one in rooms.items()
                if one.repositories is not None
            },
            tick=terms.tick,
            interval=terms.interval,
        ),
        now=now,
    )
    mine = tuple(one for one in whole.groups if caller.may_see(one.group.tenant))
    told = {(one.group.tenant, one.group.host): one for one in mine}
    hosts = {one.group.host for one in mine}
    return Planner(
        as_of=now,
        terms=terms,
        lap=whole if caller.tenants is None else _of_some(mine),
        hosts=tuple(rooms[host] for host in sorted(hosts)),
        page=_page(caller, told, tenant=tenant, after=after),
    )


def _of_some(mine: tuple[GroupForecast, ...]) -> Forecast:
    lengths, ends = [one.interval for one in mine], [one.all_checked_by for one in mine]
    return Forecast(
        groups=mine,
        repositories=sum(one.group.repositories for one in mine),
        due=sum(one.group.due for one in mine),
        length=None if None in lengths else max((one for one in lengths if one), default=None),
        ends_at=None if None in ends else max((one for one in ends if one), default=None),
    )


def _groups(now: datetime) -> list[Group]:
    rows = (
        RepositoryWatch.objects.filter(repository__is_active=True)
        .order_by()
        .values_list("repository__tenant__slug", "host")
        .annotate(
            number=Count("id"),
            due=Count("id", filter=Q(next_due_at__lte=now)),
            last=Max("next_due_at"),
        )
    )
    return [Group(*row) for row in rows]


def _page(
    caller: Caller,
    told: dict[tuple[str, str], GroupForecast],
    *,
    tenant: str,
    after: str,
) -> Page[PlannerLine]:
    rows = visible_watches(caller)
    if tenant:
        rows = rows.filter(repository__tenant__slug=tenant)
    if position := position_of(_LIST, after):
        moment, pk = datetime.fromisoformat(position[0]), position[1]
        rows = rows.filter(
            Q(next_due_at__gt=moment) | Q(next_due_at=moment, id__gt=pk), next_due_at__gte=moment
        )
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    last = shown[-1] if len(found) > PAGE_SIZE else None
    return Page(
        tuple(PlannerLine(row, told.get((row.repository.tenant.slug, row.host))) for row in shown),
        signed_cursor(_LIST, [last.next_due_at.isoformat(), last.pk]) if last else "",
    )
