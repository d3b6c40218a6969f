"""Says which repositories and branches a policy layer reaches; changes nothing."""

from collections.abc import Iterator, Sequence

from django.db.models import F, Q

from governance.models import Branch, Repository
from governance.selectors.policy_places import PolicyPlace

_AT_ONCE = 5000


def reach(place: PolicyPlace, *, prefix: str = "") -> Q:
    """Return the condition that a repository lies below `place`; `prefix` leads to it."""
    if place.repository:
        return Q(**{f"{prefix}pk": place.repository.pk})
    if place.workspace:
        return Q(**{f"{prefix}workspace": place.workspace.pk})
    if place.tenant:
        return Q(**{f"{prefix}tenant": place.tenant.pk})
    return Q()


def repositories_below(place: PolicyPlace, *, only_active: bool = False) -> list[int]:
    """Return the repositories that a layer at `place` reaches, by tenant and slug."""
    rows = Repository.objects.filter(reach(place)).order_by("tenant__slug", "slug")
    if only_active:
        rows = rows.filter(is_active=True)
    return list(rows.values_list("pk", flat=True))


def classified_branches(
    repository_ids: Sequence[int],
) -> Iterator[tuple[int, int, str, str, frozenset[str]]]:
    """Yield `(id, repository, name, class as stored, default branches)` of every branch there.

    In the order in which they are to be locked: by tenant, repository and name.
    """
    rows = (
        Branch.objects.filter(repository_id__in=repository_ids)
        .order_by("repository__tenant__slug", "repository__slug", "name")
        .values_list(
            "pk",
            "repository_id",
            "name",
            "branch_class",
            "repository__default_branch",
            "repository__governed_default_branch",
        )
    )
    for pk, repository_id, name, stored, *defaults in rows.iterator(chunk_size=_AT_ONCE):
        yield pk, repository_id, name, stored, frozenset(defaults) - {""}


def branches_that_differ(place: PolicyPlace) -> Iterator[tuple[int, str]]:
    """Yield `(repository, name)` of active branches below whose two heads differ, in order."""
    governed, observed = Q(governed_head__isnull=False), Q(observed_head__isnull=False)
    rows = (
        Branch.objects.filter(
            (governed & ~observed)
            | (~governed & observed)
            | Q(governed_head__lt=F("observed_head"))
            | Q(governed_head__gt=F("observed_head")),
            reach(place, prefix="repository__"),
            repository__is_active=True,
        )
        .order_by("repository__tenant__slug", "repository__slug", "name")
        .values_list("repository_id", "name")
    )
    yield from rows.iterator(chunk_size=_AT_ONCE)
