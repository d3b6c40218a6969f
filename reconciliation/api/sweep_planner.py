"""The planner of sweeps over the API: the lap at the current budget, and when each is checked."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from audit.domain.caller import caller_of
from reconciler_site.base.pages import UnknownCursor
from reconciler_site.base.queries import QuerySerializer, StrictQuery
from reconciliation.api.rows import shown_time
from reconciliation.domain.host_budget import HostAllowance
from reconciliation.domain.sweep_forecast import GroupForecast
from reconciliation.selectors.sweep_planner import Planner, PlannerLine, planner
from reconciliation.services.planner_terms import planner_terms

_NEVER = "null: never, some repository gets no turn at all."


class PlannerParameters(QuerySerializer):
    """Which repositories to list."""

    tenant = serializers.CharField(required=False, default="")
    after = serializers.CharField(required=False, default="", help_text="`next` of a page.")


class PlannerLap(serializers.Serializer[Any]):
    """One check of every repository that the caller may see."""

    repositories = serializers.IntegerField()
    due = serializers.IntegerField(help_text="Waiting for their turn now.")
    per_tick = serializers.IntegerField(help_text="Repositories one sweep may take, of everybody.")
    per_tenant = serializers.IntegerField(help_text="Of one tenant.")
    tick_seconds = serializers.IntegerField()
    interval_seconds = serializers.IntegerField(help_text="As it is set.")
    length_seconds = serializers.IntegerField(allow_null=True, help_text=_NEVER)
    ends_at = serializers.DateTimeField(
        allow_null=True, help_text=f"By then each will have had its next check. {_NEVER}"
    )


class PlannerHost(serializers.Serializer[Any]):
    """What sweeps may plan of one host now. Numbers are of the last five minutes."""

    host = serializers.CharField()
    calls_per_minute = serializers.IntegerField(allow_null=True, help_text="null: no budget.")
    sweep_calls_per_minute = serializers.IntegerField(
        allow_null=True, help_text="Four fifths, less what other work took beyond its fifth."
    )
    other_calls_per_minute = serializers.FloatField()
    calls_per_repository = serializers.FloatField(help_text="Measured; never below 1.")
    waiting = serializers.IntegerField(help_text="Planned, not yet read.")
    room = serializers.IntegerField(allow_null=True, help_text="Repositories of the next tick.")


class PlannerShare(serializers.Serializer[Any]):
    """A tenant's repositories on one host: how often they are checked, and what limits that."""

    tenant = serializers.CharField()
    host = serializers.CharField()
    repositories = serializers.IntegerField()
    due = serializers.IntegerField()
    interval_seconds = serializers.IntegerField(allow_null=True, help_text=_NEVER)
    limited_by = serializers.ChoiceField(
        choices=["", "budget", "tenant_cap", "host_budget"], help_text="Empty: as often as set."
    )
    all_checked_by = serializers.DateTimeField(allow_null=True)


class PlannerRepository(serializers.Serializer[Any]):
    """One repository."""

    tenant = serializers.CharField()
    repo = serializers.CharField()
    host = serializers.CharField()
    last_checked_at = serializers.DateTimeField(allow_null=True)
    next_due_at = serializers.DateTimeField()
    interval_seconds = serializers.IntegerField(allow_null=True, help_text=_NEVER)
    limited_by = serializers.CharField(help_text="Empty: as often as set.")


class PlannerSerializer(serializers.Serializer[Any]):
    """The forecast at the current budget, and a page of repositories, soonest due first."""

    as_of = serializers.DateTimeField()
    lap = PlannerLap()
    hosts = PlannerHost(many=True)
    starved = PlannerShare(many=True)
    repositories = PlannerRepository(many=True)
    next = serializers.CharField(allow_null=True, help_text="Pass it as `after`; null: the end.")


class SweepPlanner(StrictQuery):
    """How often each repository is checked at the current budget, and when the lap ends."""

    query_serializer = PlannerParameters

    @extend_schema(parameters=[PlannerParameters], responses=PlannerSerializer)
    def get(self, request: Request) -> Response:
        try:
            seen = planner(
                caller_of(request), terms=planner_terms(), now=timezone.now(), **self.query()
            )
        except UnknownCursor as error:
            raise exceptions.ValidationError({"after": str(error)}) from error
        return Response(
            {
                "as_of": shown_time(seen.as_of),
                "lap": _lap(seen),
                "hosts": [_host(one) for one in seen.hosts],
                "starved": [_share(one) for one in seen.starved],
                "repositories": [_repository(line) for line in seen.page.lines],
                "next": seen.page.after or None,
            }
        )


def _lap(seen: Planner) -> dict[str, Any]:
    lap, terms = seen.lap, seen.terms
    return {
        "repositories": lap.repositories,
        "due": lap.due,
        "per_tick": terms.per_tick,
        "per_tenant": terms.per_tenant,
        "tick_seconds": _seconds(terms.tick),
        "interval_seconds": _seconds(terms.interval),
        "length_seconds": _seconds(lap.length),
        "ends_at": shown_time(lap.ends_at),
    }


def _host(one: HostAllowance) -> dict[str, Any]:
    return {
        "host": one.host,
        "calls_per_minute": one.calls_per_minute,
        "sweep_calls_per_minute": one.sweep_calls_per_minute,
        "other_calls_per_minute": round(one.others_per_minute, 2),
        "calls_per_repository": round(one.calls_per_reading, 2),
        "waiting": one.waiting,
        "room": one.repositories,
    }


def _share(one: GroupForecast) -> dict[str, Any]:
    return {
        "tenant": one.group.tenant,
        "host": one.group.host,
        "repositories": one.group.repositories,
        "due": one.group.due,
        "interval_seconds": _seconds(one.interval),
        "limited_by": one.limited_by,
        "all_checked_by": shown_time(one.all_checked_by),
    }


def _repository(line: PlannerLine) -> dict[str, Any]:
    watch, told = line.watch, line.told
    return {
        "tenant": watch.repository.tenant.slug,
        "repo": watch.repository.slug,
        "host": watch.host,
        "last_checked_at": shown_time(watch.last_read_at),
        "next_due_at": shown_time(watch.next_due_at),
        "interval_seconds": _seconds(told.interval) if told else None,
        "limited_by": told.limited_by if told else "",
    }


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())
