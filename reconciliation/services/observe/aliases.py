"""Adds to facts which of the names in them are one person's, by the aliases of their tenants."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from governance.selectors.aliases import aliases_by_tenant
from reconciliation.domain.facts import LeaseFact, Push, RunFact
from reconciliation.services.observe.known import Repositories
from reconciliation.services.observe.values import Gathered


def with_aliases(
    gathered: Sequence[Gathered],
    repositories: Repositories,
    *,
    names_of: Callable[[Any], Iterable[str]],
) -> list[Gathered]:
    """Return the same with the aliases of the names that `names_of` finds; one statement at most.

    Names of one tenant are never looked up in another.
    """
    names = [set(names_of(one.facts)) - {""} for one in gathered]
    tenants = [repositories[one.task.repository_id].tenant_id for one in gathered]
    wanted: dict[int, set[str]] = defaultdict(set)
    for tenant_id, some in zip(tenants, names, strict=True):
        wanted[tenant_id] |= some
    known = aliases_by_tenant(wanted)
    found = []
    for one, tenant_id, some in zip(gathered, tenants, names, strict=True):
        identities = known.get(tenant_id, {})
        aliases = tuple(sorted((name, identities[name]) for name in some & identities.keys()))
        found.append(replace(one, facts=replace(one.facts, aliases=aliases)) if aliases else one)
    return found


def names_in(
    runs: Iterable[RunFact], leases: Iterable[LeaseFact], pushes: Iterable[Push]
) -> set[str]:
    """Return every name that these give to somebody."""
    return {
        *(run.actor for run in runs),
        *(name for lease in leases for name in (lease.user_id, lease.agent_id)),
        *(push.pusher for push in pushes),
    }
