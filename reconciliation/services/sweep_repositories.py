"""Chooses the repositories that a sweep takes, of those that are due; plans nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from django.db import connection
from django.db.models import BooleanField, Count, Exists, F, OuterRef, Q, QuerySet, Value, Window
from django.db.models.functions import RowNumber

from audit.setwise import rows_source
from reconciliation.domain.host_budget import host_of_url
from reconciliation.domain.sweep_plan import (
    HOST_BUDGET,
    MOST_DERIVED,
    TENANT_CAP,
    WAITING,
    Choice,
    DueRepository,
    also_skipped,
    choose,
    derived_budget,
    next_due,
)
from reconciliation.models import ReconciliationTask, RepositoryWatch, TaskKind, TaskState
from reconciliation.selectors.host_budget import host_allowances
from reconciliation.services.sweep_scope import in_scope

_WATCH = RepositoryWatch._meta.db_table
_MOST_WITHOUT_HOST = 5_000


@dataclass(frozen=True, slots=True)
class Budget:
    """The bounds of one sweep: repositories in all, per tenant and per host; other checks.

    `repositories` None: derived from the number of repositories, see `budget_in_force`;
    `per_tenant` None: a tenant may take all of it, in turns with the others.
    `host_calls_per_minute` is the budget of each host, of which sweeps get four fifths; 0 sets no
    bound. `tick` is how often sweeps are planned, so how long one may go on calling.
    """

    repositories: int | None = None
    per_tenant: int | None = None
    checks: int = 1000
    interval: timedelta = timedelta(hours=1)
    host_calls_per_minute: int = 0
    tick: timedelta = timedelta(minutes=1)

    @property
    def tick_minutes(self) -> Fraction:
        """The time between two sweeps, in minutes."""
        return Fraction(self.tick // timedelta(seconds=1), 60)


def choose_due(
    *, scope: str, everything: bool, budget: Budget, now: datetime
) -> tuple[int, Choice]:
    """Return how many repositories are due and what a sweep takes of them, within its budgets.

    Four statements, whatever is due. Of each tenant on each host no more rows are read than one
    sweep could take, so that ten thousand of one tenant cannot hide those of the others. One whose
    observation waits already is left: reading it once will do.
    """
    taken, per_tenant = budget_in_force(budget, everything=everything)
    most = min(taken, per_tenant)
    due, groups = _nearest(_due(scope, everything=everything, now=now), most=most)
    allowances = host_allowances(
        {host for _, host, _ in groups},
        calls_per_minute=budget.host_calls_per_minute,
        minutes=budget.tick_minutes,
        now=now,
    )
    room = {
        host: one.repositories for host, one in allowances.items() if one.repositories is not None
    }
    choice = choose(due, budget=taken, per_tenant=per_tenant, per_host=room)
    left = _beyond(groups, room, most=most)
    return sum(groups.values()), also_skipped(choice, left)


def budget_in_force(budget: Budget, *, everything: bool = False) -> tuple[int, int]:
    """Return how many repositories a sweep may take, in all and of one tenant.

    Where none is set: as many as keep the interval; of `everything`, the most that a sweep may.
    """
    taken = budget.repositories
    if taken is None and everything:
        taken = MOST_DERIVED
    elif taken is None:
        watched = RepositoryWatch.objects.filter(repository__is_active=True).count()
        taken = derived_budget(watched, tick=budget.tick, interval=budget.interval)
    return taken, taken if budget.per_tenant is None else budget.per_tenant


def set_next_due(taken: Sequence[DueRepository], *, interval: timedelta, now: datetime) -> None:
    """Store when each repository taken is due again; counted from now, so no turn is made up for.

    After downtime everything is due once, however many turns were missed: one lap catches up.
    """
    if not taken:
        return
    columns = {"repository_id": "bigint", "next_due_at": "timestamptz", "at": "timestamptz"}
    rows = [
        (
            one.repository_id,
            next_due(f"{one.tenant}/{one.repo}", swept_at=now, interval=interval),
            now,
        )
        for one in taken
    ]
    source, params = rows_source(connection, columns, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_WATCH} SET next_due_at = v.next_due_at, last_swept_at = v.at"
            f" FROM {source} AS v WHERE {_WATCH}.repository_id = v.repository_id",
            params,
        )


def fill_in_hosts() -> int:
    """Store the host of repositories that are watched without one; return how many there were."""
    rows = RepositoryWatch.objects.filter(host="").order_by("id")
    found = [
        (pk, host_of_url(clone_url)[:300])
        for pk, clone_url in rows.values_list("id", "repository__clone_url")[:_MOST_WITHOUT_HOST]
    ]
    if found:
        source, params = rows_source(connection, {"id": "bigint", "host": "text"}, found)
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {_WATCH} SET host = v.host FROM {source} AS v WHERE {_WATCH}.id = v.id",
                params,
            )
    return len(found)


def _due(scope: str, *, everything: bool, now: datetime) -> QuerySet[RepositoryWatch]:
    rows = RepositoryWatch.objects.filter(in_scope(scope), repository__is_active=True)
    if everything:
        return rows.annotate(waits=Value(False, output_field=BooleanField()))
    observation = ReconciliationTask.objects.filter(
        repository_id=OuterRef("repository_id"),
        branch="",
        task_kind=TaskKind.OBSERVE_REFS,
        state__in=(TaskState.QUEUED, TaskState.RUNNING),
    )
    return rows.filter(next_due_at__lte=now).annotate(waits=Exists(observation))


def _nearest(
    rows: QuerySet[RepositoryWatch], *, most: int
) -> tuple[list[DueRepository], dict[tuple[str, str, bool], int]]:
    """Return the longest waiting of each (tenant, host, waits), and how many each of those has."""
    group = [F("repository__tenant_id"), F("host"), F("waits")]
    placed = rows.annotate(
        place=Window(
            RowNumber(), partition_by=group, order_by=[F("next_due_at"), F("repository_id")]
        ),
        in_group=Window(Count("id"), partition_by=group),
    ).filter(Q(place=1) | Q(waits=False, place__lte=most))
    due: list[DueRepository] = []
    groups: dict[tuple[str, str, bool], int] = {}
    for pk, tenant, workspace, repo, due_at, host, waits, number in placed.order_by(
        "next_due_at", "repository_id"
    ).values_list(
        "repository_id",
        "repository__tenant__slug",
        "repository__workspace__slug",
        "repository__slug",
        "next_due_at",
        "host",
        "waits",
        "in_group",
    ):
        groups[tenant, host, waits] = number
        if not waits and most:
            due.append(DueRepository(pk, tenant, workspace, repo, due_at, host))
    return due, groups


def _beyond(
    groups: Mapping[tuple[str, str, bool], int], room: Mapping[str, int], *, most: int
) -> Counter[str]:
    """Return why those were left that were counted but not read."""
    left: Counter[str] = Counter()
    for (_, host, waits), number in groups.items():
        if waits:
            left[WAITING] += number
        else:
            reason = HOST_BUDGET if room.get(host, 1) <= 0 else TENANT_CAP
            left[reason] += max(0, number - most)
    return left
