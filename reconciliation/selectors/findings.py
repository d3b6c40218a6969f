"""Findings as people see them: the list, worst first; changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from audit.domain.caller import Caller
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.models import Finding, FindingState
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.visible import visible_findings

_SEVERITIES = ("critical", "high", "medium", "low", "info")
_BY_ID, _BY_RANK = "page findings by id", "page findings by rank"


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """What a list is narrowed to; empty means all."""

    state: str = "open"
    check: str = ""
    stable_class: str = ""
    severity: str = ""
    tenant: str = ""
    repo: str = ""


def worst_first(rows: QuerySet[Finding]) -> QuerySet[Finding]:
    """Return the findings by severity, then newest first."""
    rank = Case(
        *(When(severity=level, then=Value(place)) for place, level in enumerate(_SEVERITIES)),
        default=Value(len(_SEVERITIES)),
        output_field=IntegerField(),
    )
    return rows.annotate(rank=rank).order_by("rank", "-id")


def finding_list(caller: Caller, *, chosen: FindingFilter, after: str = "") -> Page[Finding]:
    """Return a page of findings in one query: open ones worst first, resolved ones newest first.

    `after` is the cursor of the page before.
    """
    wanted = {
        "state": chosen.state,
        "check_kind": chosen.check,
        "stable_class": chosen.stable_class,
        "severity": chosen.severity,
        "repository__tenant__slug": chosen.tenant,
        "repository__slug": chosen.repo,
    }
    rows = visible_findings(caller).select_related("alert", "repository__tenant")
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    if chosen.state != FindingState.OPEN:
        # Resolved ones are history, and many: the primary key is the order that costs nothing.
        for pk in position_of(_BY_ID, after):
            rows = rows.filter(id__lt=pk)
        return _page(rows, cursor=lambda row: signed_cursor(_BY_ID, [row.pk]))
    rows = worst_first(rows)
    if position := position_of(_BY_RANK, after):
        rank, pk = position
        rows = rows.filter(Q(rank__gt=rank) | Q(rank=rank, id__lt=pk))
    return _page(
        rows,
        cursor=lambda row: signed_cursor(_BY_RANK, [_SEVERITIES.index(row.severity), row.pk]),
    )


def _page(rows: QuerySet[Finding], *, cursor: Callable[[Finding], str]) -> Page[Finding]:
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    return Page(tuple(shown), cursor(shown[-1]) if len(found) > PAGE_SIZE else "")
