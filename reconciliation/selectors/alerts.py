"""Alerts as people see them: the list, worst first, and one alert in full; changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When

from audit.domain.caller import Caller
from governance.selectors.visible import Branch, NotVisible, visible_branches
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.domain.coherence_values import CoherenceMatrix
from reconciliation.models import Alert, AlertState
from reconciliation.selectors.coherence import coherence_matrix
from reconciliation.selectors.history import HistoryLine, history_of_object, history_of_traces
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.visible import visible_alerts

_SEVERITIES = ("critical", "high", "medium", "low", "info")
UNRESOLVED = "unresolved"
ESCALATED = Count("id", filter=Q(state=AlertState.OPEN, escalation_step__gt=0))
"""How many of the alerts are open with an escalation that is due; none of them was sent."""
_BY_ID, _BY_RANK = "page alerts by id", "page alerts by rank"


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """What a list is narrowed to; empty means all. `state` may also be `unresolved` or `all`."""

    state: str = UNRESOLVED
    severity: str = ""
    tenant: str = ""
    repo: str = ""
    check: str = ""


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """One step of an alert's ladder: who, after how long, and since when it is due.

    `due_at` is None while it is not due, and for steps that became due before that was recorded.
    Nothing sends messages yet: a step that is due was not sent.
    """

    role: str
    after_seconds: int
    is_due: bool
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One alert in full. `branch` and `matrix` are None once the branch row is gone."""

    alert: Alert
    escalation: tuple[EscalationStep, ...]
    branch: Branch | None
    matrix: CoherenceMatrix | None
    timeline: tuple[HistoryLine, ...]


def escalation_steps(
    ladder: Sequence[Mapping[str, Any]], *, steps_due: int
) -> tuple[EscalationStep, ...]:
    """Return the steps of a stored ladder, of which the first `steps_due` are due."""
    return tuple(
        EscalationStep(
            role=step["role"],
            after_seconds=step["after_seconds"],
            is_due=number <= steps_due,
            due_at=datetime.fromisoformat(step["due_at"]) if step.get("due_at") else None,
        )
        for number, step in enumerate(ladder, start=1)
    )


def filtered_alerts(caller: Caller, *, chosen: AlertFilter) -> QuerySet[Alert]:
    """Return the caller's alerts that the filter keeps, newest first."""
    rows = visible_alerts(caller)
    if chosen.state == UNRESOLVED:
        rows = rows.exclude(state=AlertState.RESOLVED)
    elif chosen.state and chosen.state != "all":
        rows = rows.filter(state=chosen.state)
    wanted = {
        "severity": chosen.severity,
        "repository__tenant__slug": chosen.tenant,
        "repository__slug": chosen.repo,
        "finding__check_kind": chosen.check,
    }
    return rows.filter(**{name: value for name, value in wanted.items() if value})


def alert_list(caller: Caller, *, chosen: AlertFilter, after: str = "") -> Page[Alert]:
    """Return a page of alerts: unresolved ones worst first, then newest; others newest first.

    One query whatever the number of alerts. `after` is the cursor of the page before.
    """
    rows = filtered_alerts(caller, chosen=chosen)
    if chosen.state in (AlertState.RESOLVED, "all"):
        for pk in position_of(_BY_ID, after):
            rows = rows.filter(id__lt=pk)
        return _page(rows, cursor=lambda alert: signed_cursor(_BY_ID, [alert.pk]))
    rows = rows.annotate(rank=_rank()).order_by("rank", "-opened_at", "-id")
    if position := position_of(_BY_RANK, after):
        rank, opened_at, pk = position
        rows = rows.filter(
            Q(rank__gt=rank)
            | Q(rank=rank, opened_at__lt=opened_at)
            | Q(rank=rank, opened_at=opened_at, id__lt=pk)
        )
    return _page(
        rows,
        cursor=lambda alert: signed_cursor(
            _BY_RANK,
            [_SEVERITIES.index(alert.severity), alert.opened_at.isoformat(), alert.pk],
        ),
    )


def _page(rows: QuerySet[Alert], *, cursor: Any) -> Page[Alert]:
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    return Page(tuple(shown), cursor(shown[-1]) if len(found) > PAGE_SIZE else "")


def _rank() -> Case:
    return Case(
        *(When(severity=level, then=Value(rank)) for rank, level in enumerate(_SEVERITIES)),
        default=Value(len(_SEVERITIES)),
        output_field=IntegerField(),
    )


def alert_page(alert_id: int, caller: Caller, *, now: datetime) -> AlertPage:
    """Return one alert with its branch, matrix and timeline, in a constant number of queries.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    alert = (
        visible_alerts(caller)
        .select_related(
            "finding__evaluation", "repository__tenant", "repository__watch", "acknowledged_by"
        )
        .filter(pk=alert_id)
        .first()
    )
    if alert is None:
        raise NotVisible(f"There is no alert {alert_id}, or it is not yours to see.")
    branch = (
        visible_branches(caller)
        .select_related("repository__watch", "repository__tenant")
        .filter(repository_id=alert.repository_id, name=alert.branch)
        .first()
    )
    return AlertPage(
        alert=alert,
        escalation=escalation_steps(alert.escalation_ladder, steps_due=alert.escalation_step),
        branch=branch,
        matrix=coherence_matrix(branch, now=now) if branch else None,
        timeline=_timeline(alert, caller),
    )


def _timeline(alert: Alert, caller: Caller) -> tuple[HistoryLine, ...]:
    tenant = alert.repository.tenant.slug
    own = history_of_object(caller, tenant=tenant, object_kind="alert", object_ids=[str(alert.pk)])
    traces = {alert.correlation_id, alert.finding.correlation_id}
    around = history_of_traces(
        caller,
        correlation_ids=sorted(traces),
        tenant=tenant,
        repo=alert.repository.slug,
        branch=alert.branch,
    )
    merged = {line.id: line for line in (*own, *around)}
    return tuple(merged[key] for key in sorted(merged, reverse=True))
