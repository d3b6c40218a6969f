"""Which repositories are read from where and with which credential; plain rows, no secrets."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from governance.models import Repository


@dataclass(frozen=True, slots=True)
class ReadFrom:
    """Where a repository is read from; `credential_id` None: without a credential."""

    repository_id: int
    tenant_id: int
    tenant: str
    slug: str
    clone_url: str
    credential_id: int | None


def read_from(repository_ids: Iterable[int]) -> list[ReadFrom]:
    """Return where these repositories are read from, by id; one statement."""
    return _rows(Repository.objects.filter(pk__in=set(repository_ids)).order_by("pk"))


def active_read_with(*, tenant_id: int, credential_id: int | None) -> list[ReadFrom]:
    """Return the active repositories of a tenant that are read with a credential, by slug."""
    rows = Repository.objects.filter(
        tenant_id=tenant_id, credential_id=credential_id, is_active=True
    )
    return _rows(rows.order_by("slug"))


def _rows(rows: QuerySet[Repository]) -> list[ReadFrom]:
    columns = ("pk", "tenant_id", "tenant__slug", "slug", "clone_url", "credential_id")
    return [ReadFrom(*row) for row in rows.values_list(*columns)]
