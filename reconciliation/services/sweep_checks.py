"""Finds the checks that time alone makes due: leases and alerts; plans nothing.

Whatever is left out is left out by the statement, before its limit: what is out of scope, and what
was planned for this occasion already. So neither a busy tenant nor dead letters hide the others.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import (
    Case,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast, Concat, Substr

from audit.domain.canonical import utc_text
from governance.selectors.branch_facts import leases_due
from reconciliation.domain.worklist import WorkItem
from reconciliation.models import (
    Alert,
    AlertState,
    FindingState,
    Origin,
    ReconciliationTask,
    TaskKind,
    TaskState,
)
from reconciliation.services.sweep_scope import PLACE, in_scope, in_turns

_FINGERPRINT = Substr("finding__fingerprint", 1, 16)
_NOT_DONE = (TaskState.QUEUED, TaskState.RUNNING, TaskState.DEAD)


def timed_items(
    *, scope: str, limit: int, now: datetime
) -> tuple[list[WorkItem], dict[tuple[str, str], int]]:
    """Return renewals and alerts whose moment has come, and the repository id of each place.

    At most `limit` of each, in turns of tenants: the longest due of each, then the second of each.
    """
    items, ids = [], {}
    for pk, tenant, workspace, repo, branch, kind, about, moment, lease_id in (
        *_leases_due(scope=scope, limit=limit, now=now),
        *_alerts_due(scope=scope, limit=limit, now=now),
        *_quiet_again(scope=scope, limit=limit, now=now),
    ):
        ids[tenant, repo] = pk
        items.append(
            WorkItem(
                tenant=tenant,
                workspace=workspace,
                repo=repo,
                branch=branch,
                task_kind=kind,
                about=about,
                moment=utc_text(moment),
                lease_id=lease_id,
            )
        )
    return items, ids


_Due = tuple[int, str, str, str, str, str, str, datetime, str | None]
"""Repository id, tenant, workspace, repository, branch, kind, what about, its moment, lease id."""


def _leases_due(*, scope: str, limit: int, now: datetime) -> Iterable[_Due]:
    planned = ReconciliationTask.objects.filter(
        repository=OuterRef("repository"),
        branch=OuterRef("branch"),
        task_kind=TaskKind.LEASE_RENEWAL,
        lease_id=OuterRef("lease_id"),
        origin=Origin.SWEEP,
        state__in=_NOT_DONE,
        created_at__gte=OuterRef("due_from"),
    )
    rows = leases_due(now=now).filter(~Exists(planned), in_scope(scope))
    for pk, tenant, workspace, repo, branch, lease_id, expires_at in in_turns(
        rows, "expires_at", "id"
    ).values_list("repository_id", *PLACE, "branch", "lease_id", "expires_at")[:limit]:
        kind = TaskKind.LEASE_RENEWAL
        yield pk, tenant, workspace, repo, branch, kind, lease_id, expires_at, lease_id


def _alerts_due(*, scope: str, limit: int, now: datetime) -> Iterable[_Due]:
    moment = Case(
        When(state=AlertState.OPEN, then=F("next_escalation_at")),
        When(state=AlertState.ACKNOWLEDGED, then=F("acknowledge_expires_at")),
        When(state=AlertState.SNOOZED, then=F("snoozed_until")),
    )
    about = Concat(
        "state",
        Value(" "),
        _FINGERPRINT,
        Value(" step "),
        Cast("escalation_step", TextField()),
        output_field=TextField(),
    )
    rows = Alert.objects.filter(
        Q(state=AlertState.OPEN, next_escalation_at__lte=now)
        | Q(state=AlertState.ACKNOWLEDGED, acknowledge_expires_at__lte=now)
        | Q(state=AlertState.SNOOZED, snoozed_until__lte=now),
    )
    return _alert_checks(rows, moment, about, scope=scope, limit=limit)


def _quiet_again(*, scope: str, limit: int, now: datetime) -> Iterable[_Due]:
    """Return checks of the flapping alerts whose finding has been gone for long enough."""
    rows = Alert.objects.filter(flapping_until__lte=now, finding__state=FindingState.RESOLVED)
    about = Concat(Value("quiet "), _FINGERPRINT, output_field=TextField())
    return _alert_checks(rows, F("flapping_until"), about, scope=scope, limit=limit)


def _alert_checks(
    alerts: QuerySet[Alert], moment: Case | F, about: Concat, *, scope: str, limit: int
) -> Iterable[_Due]:
    """Yield the checks of alerts that no sweep has planned since their moment."""
    planned = ReconciliationTask.objects.filter(
        repository=OuterRef("repository"),
        branch=OuterRef("branch"),
        task_kind=TaskKind.DIVERGENCE_ALERT,
        origin=Origin.SWEEP,
        state__in=_NOT_DONE,
        created_at__gte=OuterRef("moment"),
        subject__startswith=Concat(OuterRef("about"), Value(" "), output_field=TextField()),
    )
    rows = (
        alerts.filter(in_scope(scope), repository__is_active=True)
        .annotate(
            moment=ExpressionWrapper(moment, output_field=DateTimeField()),
            about=about,
        )
        .filter(~Exists(planned))
    )
    for pk, tenant, workspace, repo, branch, text, due_at in in_turns(
        rows, "moment", "id"
    ).values_list("repository_id", *PLACE, "branch", "about", "moment")[:limit]:
        kind = TaskKind.DIVERGENCE_ALERT
        yield pk, tenant, workspace, repo, branch, kind, text, due_at, None
