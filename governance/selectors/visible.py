"""What of governance a caller may see: tenant-scoped querysets; changes nothing."""

from typing import TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import Http404

from audit.domain.caller import Caller
from governance.models import (
    Branch,
    Lease,
    LeaseState,
    PullRequest,
    Repository,
    RunRecord,
    Tenant,
)

# Other apps name these types, but get their rows here and nowhere else.
__all__ = [
    "Branch",
    "Lease",
    "NotVisible",
    "PullRequest",
    "Repository",
    "RunRecord",
    "branch_named",
    "leases_over",
    "repository_named",
    "runs_of",
    "scoped",
    "visible_branches",
    "visible_leases",
    "visible_pull_requests",
    "visible_repositories",
    "visible_runs",
    "visible_tenants",
]

AnyModel = TypeVar("AnyModel", bound=Model)


class NotVisible(Http404):
    """There is no such thing, or it belongs to a tenant the caller may not see: never told which.

    A kind of 404, so that pages and the API answer it alike without translation.
    """


def scoped(
    queryset: QuerySet[AnyModel], *, caller: Caller, through: str = "tenant__slug"
) -> QuerySet[AnyModel]:
    """Return `queryset` narrowed to the caller's tenants; `through` leads to a tenant's slug."""
    if caller.tenants is None:
        return queryset
    return queryset.filter(**{f"{through}__in": sorted(caller.tenants)})


def visible_tenants(caller: Caller) -> QuerySet[Tenant]:
    """Return the tenants that exist for the caller, by slug."""
    return scoped(Tenant.objects.all(), caller=caller, through="slug").order_by("slug")


def visible_repositories(caller: Caller) -> QuerySet[Repository]:
    """Return repositories with tenant and workspace, by (tenant, slug)."""
    rows = Repository.objects.select_related("tenant", "workspace")
    return scoped(rows, caller=caller).order_by("tenant__slug", "slug")


def visible_branches(caller: Caller) -> QuerySet[Branch]:
    """Return branches with their repository and tenant, by (tenant, repository, name)."""
    rows = Branch.objects.select_related("repository__tenant", "repository__workspace")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by(
        "repository__tenant__slug", "repository__slug", "name"
    )


def visible_leases(caller: Caller) -> QuerySet[Lease]:
    """Return leases with their repository and tenant, newest first."""
    rows = Lease.objects.select_related("repository__tenant")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by("-id")


def visible_runs(caller: Caller) -> QuerySet[RunRecord]:
    """Return run records with their repository and tenant, newest first."""
    rows = RunRecord.objects.select_related("repository__tenant")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by("-id")


def visible_pull_requests(caller: Caller) -> QuerySet[PullRequest]:
    """Return pull requests with their repository and tenant, highest number first."""
    rows = PullRequest.objects.select_related("repository__tenant")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by(
        "repository_id", "-number"
    )


def repository_named(caller: Caller, *, tenant: str, repo: str) -> Repository:
    """Return one repository by tenant and slug.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    found = visible_repositories(caller).filter(tenant__slug=tenant, slug=repo).first()
    if found is None:
        raise NotVisible(f"There is no repository {tenant}/{repo}, or it is not yours to see.")
    return found


def branch_named(caller: Caller, *, tenant: str, repo: str, branch: str) -> Branch:
    """Return one branch by its exact name.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    rows = visible_branches(caller).filter(repository__tenant__slug=tenant, repository__slug=repo)
    found = rows.filter(name=branch).first()
    if found is None:
        raise NotVisible(
            f"There is no branch {branch} in {tenant}/{repo}, or it is not yours to see."
        )
    return found


def leases_over(branch: Branch) -> QuerySet[Lease]:
    """Return the held leases that cover a branch: its own, those on its paths, repo-wide ones."""
    return Lease.objects.filter(
        Q(branch=branch.name) | Q(scope="repo-wide"),
        repository_id=branch.repository_id,
        state=LeaseState.HELD,
    ).order_by("-id")


def runs_of(branch: Branch) -> QuerySet[RunRecord]:
    """Return the run records of a branch, newest first."""
    return RunRecord.objects.filter(
        repository_id=branch.repository_id, branch=branch.name
    ).order_by("-started_at", "-id")
