"""What is asked about aliases: which names are one person's; set-based reads."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from governance.models import Alias


def aliases_by_tenant(
    names: Mapping[int, Collection[str]],
) -> dict[int, dict[str, str]]:
    """Return, by tenant id, the identity of each of these names that is an alias; one statement."""
    wanted = {tenant_id: set(some) for tenant_id, some in names.items() if some}
    if not wanted:
        return {}
    rows = Alias.objects.filter(
        tenant_id__in=wanted, name__in={name for some in wanted.values() for name in some}
    ).values_list("tenant_id", "name", "identity")
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for tenant_id, name, identity in rows:
        if name in wanted[tenant_id]:
            found[tenant_id][name] = identity
    return dict(found)


def aliases_among(tenant_id: int, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return a tenant's aliases among these names, sorted."""
    return tuple(sorted(aliases_by_tenant({tenant_id: set(names)}).get(tenant_id, {}).items()))
