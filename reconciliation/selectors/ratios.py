"""Reads what alert ratios are made of, by repository and by tenant; changes nothing."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, F, Q, Sum

from audit.domain.caller import Caller
from governance.selectors.visible import visible_repositories
from reconciliation.domain.measures import RECONCILIATIONS, Totals
from reconciliation.domain.ratios import Place
from reconciliation.models import AlertState, WebhookRefusal
from reconciliation.selectors.visible import visible_alerts, visible_sources

LATELY = timedelta(hours=24)
# Refusals that a right secret would have prevented; others are junk or a clock that is wrong.
_SECRET_REASONS = (
    "empty_signature",
    "legacy_only",
    "mismatch",
    "missing_signature",
    "no_secret",
    "no_signing_secret",
)


@dataclass(frozen=True, slots=True)
class _Alerts:
    openings: int = 0
    unresolved: int = 0
    unanswered: int = 0


def places_of(caller: Caller, totals: Totals, *, now: datetime) -> list[Place]:
    """Return the caller's repositories with their numbers, in three queries.

    `totals` holds at least the measure `reconciliations`.
    """
    alerts, refusals = _alerts(caller), _refusals(caller, now=now)
    rows = (
        visible_repositories(caller)
        .order_by("id")
        .values_list(
            "id",
            "tenant__slug",
            "slug",
            "watch__changes_by_webhook",
            "watch__changes_by_sweep",
        )
    )
    return [
        Place(
            tenant=tenant,
            repo=repo,
            reconciliations=int(totals.get((RECONCILIATIONS, (tenant, repo)), 0)),
            alerts=alerts[pk].openings,
            unresolved=alerts[pk].unresolved,
            unanswered=alerts[pk].unanswered,
            changes_by_webhook=by_webhook or 0,
            changes_by_sweep=by_sweep or 0,
            refusals=refusals.get(pk, 0),
        )
        for pk, tenant, repo, by_webhook, by_sweep in rows
    ]


def by_tenant(places: list[Place]) -> list[Place]:
    """Return the places of each tenant added up."""
    together: dict[str, Place] = {}
    for place in places:
        sum_so_far = together.get(place.tenant)
        together[place.tenant] = (
            replace(place, repo="") if sum_so_far is None else _added(sum_so_far, place)
        )
    return list(together.values())


def _added(one: Place, other: Place) -> Place:
    return Place(
        tenant=one.tenant,
        repo="",
        reconciliations=one.reconciliations + other.reconciliations,
        alerts=one.alerts + other.alerts,
        unresolved=one.unresolved + other.unresolved,
        unanswered=one.unanswered + other.unanswered,
        changes_by_webhook=one.changes_by_webhook + other.changes_by_webhook,
        changes_by_sweep=one.changes_by_sweep + other.changes_by_sweep,
        refusals=one.refusals + other.refusals,
    )


def _alerts(caller: Caller) -> Mapping[int, _Alerts]:
    unresolved = ~Q(state=AlertState.RESOLVED)
    rows = (
        visible_alerts(caller)
        .select_related(None)
        .order_by()
        .values_list("repository_id")
        .annotate(
            openings=Sum(F("reopened_count") + 1),
            unresolved=Count("id", filter=unresolved),
            unanswered=Count(
                "id",
                filter=unresolved & Q(acknowledged_at__isnull=True, snoozed_until__isnull=True),
            ),
        )
    )
    found: dict[int, _Alerts] = defaultdict(_Alerts)
    found |= {pk: _Alerts(*numbers) for pk, *numbers in rows}
    return found


def _refusals(caller: Caller, *, now: datetime) -> dict[int, int]:
    rows = (
        WebhookRefusal.objects.filter(
            source__in=visible_sources(caller).order_by().values("pk"),
            source__repository__isnull=False,
            reason__in=_SECRET_REASONS,
            last_at__gt=now - LATELY,
        )
        .order_by()
        .values_list("source__repository_id")
        .annotate(number=Sum("count"))
    )
    return {pk: number for pk, number in rows if pk is not None}
