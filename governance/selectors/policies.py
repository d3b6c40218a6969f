"""Reads policy layers: those over repositories, those below a place, why a value is in force."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from audit.domain.canonical import sha256_of
from governance.domain.policy import DEFAULT_DOCUMENT, matches, policy_from_document
from governance.domain.policy_layers import (
    Origin,
    PolicyLayer,
    in_order,
    merge,
    place_in_order,
)
from governance.models import PolicyVersion, Repository


@dataclass(frozen=True, slots=True)
class LayerSet:
    """The current layers over one repository, least specific first; branch patterns apart."""

    layers: tuple[PolicyLayer, ...]
    branch_layers: tuple[PolicyLayer, ...]

    def over(self, branch: str) -> tuple[PolicyLayer, ...]:
        """Return the layers over a branch; the empty string is the repository itself."""
        if not branch or not self.branch_layers:
            return self.layers
        return self.layers + tuple(
            layer for layer in self.branch_layers if matches(layer.branch_pattern, branch)
        )

    def with_layer(self, layer: PolicyLayer) -> "LayerSet":
        """Return the set as it is once `layer`, which must reach here, is in force."""

        def swapped(layers: Iterable[PolicyLayer]) -> tuple[PolicyLayer, ...]:
            others = (one for one in layers if _address(one) != _address(layer))
            return tuple(in_order([*others, layer]))

        if layer.layer == "branch":
            return replace(self, branch_layers=swapped(self.branch_layers))
        return replace(self, layers=swapped(self.layers))


@dataclass(frozen=True, slots=True)
class Explanation:
    """The policy in force over a branch: its digest, its layers, and the origin of each value."""

    digest: str
    layers: tuple[PolicyLayer, ...]
    origins: tuple[Origin, ...]


@dataclass(frozen=True, slots=True)
class LowerLayer:
    """A layer below a place, with the layers between the two, least specific first."""

    layer: PolicyLayer
    between: tuple[PolicyLayer, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    """A current version and the place it applies to, where that place lies today."""

    layer: PolicyLayer
    tenant_id: int | None
    workspace_id: int | None
    repository_id: int | None

    @property
    def place(self) -> tuple[str, int | None]:
        return (self.layer.layer, self.repository_id or self.workspace_id or self.tenant_id)


def layer_sets(repository_ids: Sequence[int]) -> dict[int, LayerSet]:
    """Return the current layers over each repository that exists, in two statements."""
    places = {
        pk: (tenant, workspace)
        for pk, tenant, workspace in Repository.objects.filter(pk__in=sorted(set(repository_ids)))
        .order_by("pk")
        .values_list("pk", "tenant_id", "workspace_id")
    }
    return layer_sets_at(places)


def layer_sets_at(places: Mapping[int, tuple[int, int]]) -> dict[int, LayerSet]:
    """Return the layers over repositories whose (tenant id, workspace id) is known already."""
    found = current_layers(
        tenants={tenant for tenant, _ in places.values()},
        workspaces={workspace for _, workspace in places.values()},
        repositories=places,
    )
    return {
        repository: LayerSet(
            layers=(
                *found.get(("site", None), ()),
                *found.get(("tenant", tenant), ()),
                *found.get(("workspace", workspace), ()),
                *found.get(("repository", repository), ()),
            ),
            branch_layers=tuple(in_order(found.get(("branch", repository), ()))),
        )
        for repository, (tenant, workspace) in places.items()
    }


def current_layers(
    *,
    tenants: Collection[int] = (),
    workspaces: Collection[int] = (),
    repositories: Collection[int] = (),
) -> dict[tuple[str, int | None], list[PolicyLayer]]:
    """Return the site's layer and those of these places, by (layer, id of the place)."""
    rows = _newest(
        PolicyVersion.objects.filter(
            Q(layer="site")
            | Q(layer="tenant", tenant__in=sorted(tenants))
            | Q(layer="workspace", workspace__in=sorted(workspaces))
            | Q(layer__in=("repository", "branch"), repository__in=sorted(repositories))
        )
    )
    found: dict[tuple[str, int | None], list[PolicyLayer]] = {}
    for row in rows:
        found.setdefault(row.place, []).append(row.layer)
    return found


def shortest_idle_days() -> int:
    """Return the fewest days after which any policy, past or present, calls a branch idle.

    A bound for planning: which branch really is idle is for its own policy to say.
    """
    set_somewhere = PolicyVersion.objects.filter(
        document__stale_branch__idle_days__isnull=False
    ).values_list("document__stale_branch__idle_days", flat=True)
    default: int = DEFAULT_DOCUMENT["stale_branch"]["idle_days"]
    return min([default, *(int(days) for days in set_somewhere)])


def layers_below(
    *,
    tenant_id: int | None = None,
    workspace_id: int | None = None,
    repository_id: int | None = None,
) -> list[LowerLayer]:
    """Return every current layer below a place, in order; no ids at all mean the site."""
    below = PolicyVersion.objects.exclude(layer="site")
    if repository_id is not None:
        below = below.filter(layer="branch", repository=repository_id)
    elif workspace_id is not None:
        below = below.filter(
            Q(layer__in=("repository", "branch"), repository__workspace=workspace_id)
        )
    elif tenant_id is not None:
        below = below.filter(tenant=tenant_id).exclude(layer="tenant")
    rows = _newest(below)
    by_place = {row.place: row.layer for row in rows if row.layer.layer != "branch"}
    return [
        LowerLayer(
            layer=row.layer,
            between=tuple(
                by_place[place]
                for place in (
                    ("tenant", row.tenant_id),
                    ("workspace", row.workspace_id),
                    ("repository", row.repository_id),
                )
                if place in by_place and place != row.place
            ),
        )
        for row in rows
    ]


def every_version() -> Iterator[tuple[PolicyLayer, str]]:
    """Yield each version ever published, with the digest that its document has now."""
    versions = PolicyVersion.objects.order_by("pk").values_list(*_LAYER_FIELDS)
    for values in versions.iterator(chunk_size=_CHUNK):
        layer = PolicyLayer(*values)
        yield layer, sha256_of(layer.document)


def explain(repository_id: int, branch: str) -> Explanation:
    """Return which layer set each value that is in force over a branch, or the repository ("").

    Raises:
        Repository.DoesNotExist: there is no such repository.
    """
    found = layer_sets([repository_id])
    if repository_id not in found:
        raise Repository.DoesNotExist(f"there is no repository {repository_id}")
    layers = found[repository_id].over(branch)
    merged = merge(layers)
    return Explanation(
        digest=policy_from_document(merged.document).digest,
        layers=layers,
        origins=tuple(merged.origins[key] for key in sorted(merged.origins)),
    )


def _address(layer: PolicyLayer) -> tuple[str, str]:
    # Over one repository there is one layer of each kind, and one of each branch pattern.
    return (layer.layer, layer.branch_pattern)


def _newest(versions: QuerySet[PolicyVersion]) -> list[_Row]:
    """Return the newest version of every layer among `versions`, from site to branch pattern.

    The newest is chosen twice: by the database per address, so that history stays there, and here
    per place, because a repository that moved to another workspace has two addresses.
    """
    newer = PolicyVersion.objects.filter(
        layer=OuterRef("layer"),
        target=OuterRef("target"),
        branch_pattern=OuterRef("branch_pattern"),
        version__gt=OuterRef("version"),
    )
    current = versions.filter(~Exists(newer)).order_by("version", "pk")
    newest = {}
    for row in map(_row, current.values_list(*_FIELDS)):
        newest[row.place, row.layer.branch_pattern] = row
    return sorted(newest.values(), key=lambda row: place_in_order(row.layer))


_CHUNK = 100
_LAYER_FIELDS = ("layer", "target", "branch_pattern", "version", "digest", "document")
_FIELDS = (
    *_LAYER_FIELDS,
    "tenant_id",
    "workspace_id",
    "repository_id",
    # Where the repository is today, which need not be where it was when this was published.
    "repository__workspace_id",
)


def _row(values: tuple[Any, ...]) -> _Row:
    *layer, tenant_id, workspace_id, repository_id, workspace_today = values
    return _Row(
        layer=PolicyLayer(*layer),
        tenant_id=tenant_id,
        workspace_id=workspace_today or workspace_id,
        repository_id=repository_id,
    )
