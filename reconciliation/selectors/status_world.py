"""The parts of the status that are what is governed: repositories, webhooks, alerts, leases."""

from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, Q, Sum

from audit.domain.caller import Caller
from governance.selectors.visible import visible_leases, visible_repositories
from reconciliation.models import AlertState, WebhookRefusal
from reconciliation.selectors.alerts import ESCALATED
from reconciliation.selectors.branch_totals import branch_totals
from reconciliation.selectors.counts import SEVERITIES_WORST_FIRST
from reconciliation.selectors.status_values import Figures, Reason
from reconciliation.selectors.visible import (
    visible_alerts,
    visible_findings,
    visible_sources,
    visible_watches,
)

EXPIRING = timedelta(minutes=5)
LEASE_OVERDUE = timedelta(minutes=3)
RECENT = timedelta(hours=1)
_MOST_NAMED = 10


def repositories_part(caller: Caller, _: datetime) -> Figures:
    """Return how much is governed and what of it cannot be read."""
    active = visible_repositories(caller).order_by().filter(is_active=True)
    totals = branch_totals(active, visible_findings(caller))
    unreadable = active.filter(watch__failing_since__isnull=False).count()
    failing = list(
        active.filter(watch__failing_since__isnull=False)
        .order_by("watch__failing_since", "id")
        .values_list("tenant__slug", "slug", "watch__failing_since", "watch__last_error_code")[
            :_MOST_NAMED
        ]
    )
    reasons: tuple[Reason, ...] = ()
    if failing:
        tenant, repo, since, code = failing[0]
        others = f" and {unreadable - 1} more" if unreadable > 1 else ""
        reasons = (
            Reason(
                "repositories_unreadable",
                f"{tenant}/{repo}{others} cannot be read ({code or 'no answer'}): their branches"
                " are unknown.",
                since=since,
            ),
        )
    values = {
        "repositories": totals.repositories,
        "branches": totals.branches,
        "branches_with_findings": totals.with_findings,
        "unreadable_repositories": unreadable,
        "unknown_branches": totals.unknown,
        "unreadable": [
            {"tenant": tenant, "repo": repo, "since": since, "error_code": code}
            for tenant, repo, since, code in failing
        ],
    }
    return Figures(values, reasons)


def webhooks_part(caller: Caller, now: datetime) -> Figures:
    """Return whether hosts are heard: how often a sweep was first, and what was refused lately."""
    sums = (
        visible_watches(caller)
        .select_related(None)
        .order_by()
        .aggregate(
            last=Max("last_delivery_at"),
            silent=Count("id", filter=Q(last_delivery_at__isnull=True)),
            by_webhook=Sum("changes_by_webhook"),
            by_sweep=Sum("changes_by_sweep"),
        )
    )
    refused = list(
        WebhookRefusal.objects.filter(
            source__in=visible_sources(caller).order_by().values("pk"), last_at__gt=now - RECENT
        )
        .order_by()
        .values_list("reason")
        .annotate(sources=Count("source_id", distinct=True), first=Min("first_at"))
    )
    by_webhook, by_sweep = sums["by_webhook"] or 0, sums["by_sweep"] or 0
    changes = by_webhook + by_sweep
    reasons = tuple(
        Reason(
            "webhooks_refused",
            f"{sources} webhook source{'s' * (sources > 1)} had requests refused in the last hour:"
            f" {reason.replace('_', ' ')}.",
            since=first,
        )
        for reason, sources, first in sorted(refused)
    )
    values = {
        "last_delivery_at": sums["last"],
        "silent_repositories": sums["silent"],
        "changes_by_webhook": by_webhook,
        "changes_by_sweep": by_sweep,
        "percent_missed": round(100 * by_sweep / changes) if changes else None,
    }
    return Figures(values, reasons)


def alerts_part(caller: Caller, _: datetime) -> Figures:
    """Return what people must look at; alerts are the product's work, so they degrade nothing."""
    rows = (
        visible_alerts(caller)
        .select_related(None)
        .order_by()
        .exclude(state=AlertState.RESOLVED)
        .values_list("severity", "state")
        .annotate(number=Count("id"), oldest=Min("opened_at"), escalated=ESCALATED)
    )
    by_severity = dict.fromkeys(SEVERITIES_WORST_FIRST, 0)
    by_state = {"open": 0, "acknowledged": 0, "snoozed": 0}
    oldest, escalations_due = [], 0
    for severity, state, number, opened_at, escalated in rows:
        escalations_due += escalated
        by_severity[severity] += number
        by_state[state] += number
        if state == AlertState.OPEN:
            oldest.append(opened_at)
    values = {
        "unresolved": sum(by_state.values()),
        "by_severity": by_severity,
        "by_state": by_state,
        "oldest_open_at": min(oldest, default=None),
        "escalations_due": escalations_due,
        "notification_channels": 0,
    }
    return Figures(values)


def leases_part(caller: Caller, now: datetime) -> Figures:
    """Return how many leases are held, run out soon, or ran out and were not ended."""
    sums = (
        visible_leases(caller)
        .select_related(None)
        .order_by()
        .filter(state="held")
        .aggregate(
            held=Count("id", filter=Q(expires_at__gt=now)),
            expiring=Count("id", filter=Q(expires_at__gt=now, expires_at__lte=now + EXPIRING)),
            overdue=Count("id", filter=Q(expires_at__lte=now - LEASE_OVERDUE)),
            soonest=Min("expires_at", filter=Q(expires_at__gt=now)),
        )
    )
    reasons: tuple[Reason, ...] = ()
    if sums["overdue"]:
        reasons = (
            Reason(
                "leases_overdue",
                f"{sums['overdue']} leases ran out and nobody ended them: sweeps are late.",
            ),
        )
    values = {
        "held": sums["held"],
        "expiring": sums["expiring"],
        "overdue": sums["overdue"],
        "soonest_expiry_at": sums["soonest"],
    }
    return Figures(values, reasons)
