"""Reads the leases that a caller may see; those that the reconciler asks for are `branch_facts`."""

from django.db.models import QuerySet

from audit.domain.caller import Caller
from governance.models import Lease, Repository
from governance.selectors.visible import visible_leases


def leases_for(caller: Caller) -> QuerySet[Lease]:
    """Return the caller's leases with repository, workspace and tenant, newest first."""
    return visible_leases(caller).select_related("repository__tenant", "repository__workspace")


def lease_named(caller: Caller, repository: Repository, *, lease_id: str) -> Lease | None:
    """Return one of the caller's leases, or None."""
    return leases_for(caller).filter(repository=repository, lease_id=lease_id).first()
