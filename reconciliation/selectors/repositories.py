"""Repositories as people see them: the list with its troubles, and one in full; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, Q

from audit.domain.caller import Caller
from governance.selectors.visible import Repository, repository_named, visible_repositories
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.models import (
    AlertState,
    Finding,
    RepositoryWatch,
)
from reconciliation.selectors.findings import worst_first
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.visible import visible_alerts, visible_findings

_SEVERITIES = ("critical", "high", "medium", "low", "info")


_LIST = "page repositories"


@dataclass(frozen=True, slots=True)
class RepositoryLine:
    """One repository in a list, with its unresolved alerts and open findings."""

    repository: Repository
    watch: RepositoryWatch | None
    alerts: int
    worst: str
    findings: int

    @property
    def percent_missed(self) -> int | None:
        """The share of head changes that a sweep saw first; None before any change."""
        return percent_missed(self.watch)


@dataclass(frozen=True, slots=True)
class RepositoryPage:
    """One repository in full, but for its branches, which have a list of their own."""

    repository: Repository
    watch: RepositoryWatch | None
    alerts_by_severity: Mapping[str, int]
    findings: int
    worst: tuple[Finding, ...]
    """The worst open findings, at most ten."""


def percent_missed(watch: RepositoryWatch | None) -> int | None:
    """Return the share, in percent, of head changes that no webhook announced in time."""
    if watch is None:
        return None
    changes = watch.changes_by_webhook + watch.changes_by_sweep
    return round(100 * watch.changes_by_sweep / changes) if changes else None


def repository_list(
    caller: Caller, *, search: str = "", tenant: str = "", failing: bool = False, after: str = ""
) -> Page[RepositoryLine]:
    """Return a page of repositories by (tenant, slug), in three queries whatever their number.

    `after` is the cursor of the page before.
    """
    rows = visible_repositories(caller).select_related("tenant", "watch")
    if search:
        rows = rows.filter(Q(slug__icontains=search) | Q(full_name__icontains=search))
    if tenant:
        rows = rows.filter(tenant__slug=tenant)
    if failing:
        rows = rows.filter(watch__failing_since__isnull=False)
    if position := position_of(_LIST, after):
        last_tenant, last_slug = position
        rows = rows.filter(
            Q(tenant__slug__gt=last_tenant) | Q(tenant__slug=last_tenant, slug__gt=last_slug)
        )
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    ids = [row.pk for row in shown]
    alerts: dict[int, dict[str, int]] = {}
    for repository_id, severity, number in (
        visible_alerts(caller)
        .select_related(None)
        .exclude(state=AlertState.RESOLVED)
        .filter(repository_id__in=ids)
        .order_by()
        .values_list("repository_id", "severity")
        .annotate(number=Count("id"))
    ):
        alerts.setdefault(repository_id, {})[severity] = number
    findings = dict(
        visible_findings(caller)
        .select_related(None)
        .filter(repository_id__in=ids, state="open")
        .order_by()
        .values_list("repository_id")
        .annotate(number=Count("id"))
    )
    last = shown[-1] if len(found) > PAGE_SIZE else None
    return Page(
        tuple(_line(row, alerts.get(row.pk, {}), findings.get(row.pk, 0)) for row in shown),
        signed_cursor(_LIST, [last.tenant.slug, last.slug]) if last else "",
    )


def _line(row: Repository, alerts: Mapping[str, int], findings: int) -> RepositoryLine:
    return RepositoryLine(
        repository=row,
        watch=getattr(row, "watch", None),
        alerts=sum(alerts.values()),
        worst=next((level for level in _SEVERITIES if level in alerts), ""),
        findings=findings,
    )


def repository_page(caller: Caller, *, tenant: str, repo: str) -> RepositoryPage:
    """Return one repository in full, in five queries.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    repository = repository_named(caller, tenant=tenant, repo=repo)
    by_severity = dict(
        visible_alerts(caller)
        .select_related(None)
        .exclude(state=AlertState.RESOLVED)
        .filter(repository_id=repository.pk)
        .order_by()
        .values_list("severity")
        .annotate(number=Count("id"))
    )
    open_findings = visible_findings(caller).filter(repository_id=repository.pk, state="open")
    return RepositoryPage(
        repository=repository,
        watch=getattr(repository, "watch", None),
        alerts_by_severity={
            level: by_severity[level] for level in _SEVERITIES if level in by_severity
        },
        findings=open_findings.count(),
        worst=tuple(worst_first(open_findings)[:10]),
    )
