"""Which query parameters narrow a list of audit entries; all are exact, so indexes serve them."""

from collections.abc import Mapping

import django_filters

from audit.domain.entries import ActorKind
from audit.models import AuditEntry
from reconciler_site.base.filters import since_filter, until_filter

SELECTIVE = ("correlation_id", "object_id", "repo")
"""Parameters with an index of their own that ends in the id."""


class EntryFilter(django_filters.FilterSet):
    """Filters of `GET /api/v1/audit/entries`."""

    tenant = django_filters.CharFilter()
    correlation_id = django_filters.CharFilter()
    object_kind = django_filters.CharFilter()
    object_id = django_filters.CharFilter()
    action = django_filters.CharFilter()
    outcome = django_filters.CharFilter()
    actor_kind = django_filters.ChoiceFilter(
        choices=[(kind.value, kind.value) for kind in ActorKind]
    )
    actor_name = django_filters.CharFilter()
    workspace = django_filters.CharFilter()
    repo = django_filters.CharFilter()
    branch = django_filters.CharFilter()
    task_kind = django_filters.CharFilter()
    since = since_filter("at")
    until = until_filter("at")

    class Meta:
        model = AuditEntry
        fields: tuple[str, ...] = ()


def keyset_for(parameters: Mapping[str, str], *, tenants: frozenset[str] | None) -> tuple[str]:
    """Return the unique column by which this list pages, so that an index gives its order.

    One tenant's entries are walked along its chain; everything else along the primary key, which
    ends every other index of the table.
    """
    one_tenant = bool(parameters.get("tenant")) or (tenants is not None and len(tenants) == 1)
    selective = any(parameters.get(name) for name in SELECTIVE)
    return ("-seq",) if one_tenant and not selective else ("-id",)
