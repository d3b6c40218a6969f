"""What of the reconciliation loop a caller may see: tenant-scoped querysets; changes nothing."""

from django.db.models import Q, QuerySet

from audit.domain.caller import Caller
from governance.selectors.visible import scoped
from reconciliation.models import (
    Alert,
    Finding,
    ReconciliationTask,
    RepositoryWatch,
    Sweep,
    WebhookDelivery,
    WebhookSource,
)


def visible_findings(caller: Caller) -> QuerySet[Finding]:
    """Return findings with repository and tenant, newest first."""
    rows = Finding.objects.select_related("repository__tenant")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by("-id")


def visible_alerts(caller: Caller) -> QuerySet[Alert]:
    """Return alerts with finding, repository, tenant and acknowledger, newest first."""
    rows = Alert.objects.select_related("finding", "repository__tenant", "acknowledged_by")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by("-id")


def visible_tasks(caller: Caller) -> QuerySet[ReconciliationTask]:
    """Return tasks, newest first; they carry their tenant's slug, so no join is needed."""
    return scoped(ReconciliationTask.objects.all(), caller=caller, through="tenant").order_by("-id")


def visible_deliveries(caller: Caller) -> QuerySet[WebhookDelivery]:
    """Return deliveries with their source and task, newest first; bodies are left unread."""
    rows = WebhookDelivery.objects.select_related("source__tenant", "task").defer("body")
    if caller.tenants is not None:
        # By the sources' ids and not by a join: of a join the planner knows too little, and walks
        # through everybody's deliveries to find the few of a small tenant.
        sources = WebhookSource.objects.filter(tenant__slug__in=caller.tenants).order_by("id")
        rows = rows.filter(source_id__in=list(sources.values_list("id", flat=True)))
    return rows.order_by("-id")


def visible_sources(caller: Caller) -> QuerySet[WebhookSource]:
    """Return webhook sources with tenant and repository, by (tenant, id)."""
    rows = WebhookSource.objects.select_related("tenant", "repository")
    return scoped(rows, caller=caller).order_by("tenant__slug", "id")


def visible_watches(caller: Caller) -> QuerySet[RepositoryWatch]:
    """Return the watches of active repositories, soonest due first."""
    rows = RepositoryWatch.objects.select_related("repository__tenant").filter(
        repository__is_active=True
    )
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by(
        "next_due_at", "id"
    )


def visible_sweeps(caller: Caller) -> QuerySet[Sweep]:
    """Return sweeps, newest first: site-wide ones for everybody, scoped ones for their tenant.

    A site-wide sweep spans tenants; whoever shows one to a caller of some tenants must show only
    the tasks that `visible_tasks` gives, and neither its worklist nor its totals.
    """
    rows = Sweep.objects.defer("worklist").order_by("-id")
    if caller.tenants is None:
        return rows
    own = Q(scope="") | Q(scope__in=sorted(caller.tenants))
    for tenant in sorted(caller.tenants):
        own |= Q(scope__startswith=f"{tenant}/")
    return rows.filter(own)
