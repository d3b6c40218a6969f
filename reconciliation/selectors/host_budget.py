"""Reads what hosts were called for of late, and what sweeps may plan there; changes nothing."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction

from django.db.models import Count, QuerySet, Sum

from reconciliation.domain.host_budget import HostAllowance, HostUse, allowance
from reconciliation.models import HostCalls, ReconciliationTask, TaskKind, TaskState

MINUTES = 5
"""How far back calls are looked at: long enough to smooth bursts, short enough to follow them."""


def host_allowances(
    hosts: Iterable[str], *, calls_per_minute: int, minutes: Fraction, now: datetime
) -> dict[str, HostAllowance]:
    """Return what sweeps may plan on each of these hosts for the coming `minutes`; two queries."""
    wanted = sorted(set(hosts))
    used = {
        host: HostUse(MINUTES, by_sweeps, by_others, readings)
        for host, by_sweeps, by_others, readings in HostCalls.objects.filter(
            minute__gt=now - timedelta(minutes=MINUTES), minute__lte=now, host__in=wanted
        )
        .order_by()
        .values_list("host")
        .annotate(Sum("by_sweeps"), Sum("by_others"), Sum("readings"))
    }
    waiting = dict(_waiting().filter(repository__watch__host__in=wanted))
    return {
        host: allowance(
            host,
            calls_per_minute=calls_per_minute,
            minutes=minutes,
            used=used.get(host, HostUse(MINUTES)),
            waiting=waiting.get(host, 0),
        )
        for host in wanted
    }


def _waiting() -> QuerySet[ReconciliationTask, tuple[str, int]]:
    """Return, by host, how many observations that sweeps planned are not yet made."""
    return (
        ReconciliationTask.objects.filter(
            state__in=(TaskState.QUEUED, TaskState.RUNNING),
            task_kind=TaskKind.OBSERVE_REFS,
            sweep__isnull=False,
        )
        .order_by()
        .values_list("repository__watch__host")
        .annotate(number=Count("id"))
    )
