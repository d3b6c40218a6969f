"""Finds the place a policy layer applies to, the layers above and below it, and its history."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from audit.domain.caller import Caller
from governance.domain.policy import matches
from governance.domain.policy_layers import PolicyLayer, layer_name
from governance.domain.policy_schema import LAYERS, branch_pattern_trouble
from governance.models import Branch, PolicyVersion, Repository, Tenant, Workspace
from governance.selectors.policies import LowerLayer, current_layers, layers_below

_PARTS = {"site": 0, "tenant": 1, "workspace": 2, "repository": 3, "branch": 3}
_FORMS = {
    "site": "empty",
    "tenant": "<tenant>",
    "workspace": "<tenant>/<workspace>",
    "repository": "<tenant>/<workspace>/<repository>",
    "branch": "<tenant>/<workspace>/<repository>",
}
_MOST_BRANCH_NAMES = 50_000
_LONGEST_PATTERN = 200


class NoSuchPlace(Exception):
    """There is no such tenant, workspace or repository; or the address is not one of the layer."""


@dataclass(frozen=True, slots=True)
class PolicyPlace:
    """What one layer applies to."""

    layer: str
    tenant: Tenant | None = None
    workspace: Workspace | None = None
    repository: Repository | None = None
    branch_pattern: str = ""

    @property
    def target(self) -> str:
        """Return the address: `acme/main/api`, `acme/main`, `acme` or nothing."""
        things = (self.tenant, self.workspace, self.repository)
        return "/".join(thing.slug for thing in things if thing is not None)

    @property
    def name(self) -> str:
        """Return the address with its layer, such as `branch acme/main/api @release/**`."""
        return layer_name(self.layer, self.target, self.branch_pattern)

    @property
    def tenant_slug(self) -> str:
        """Return the tenant's slug; nothing for the site."""
        return self.tenant.slug if self.tenant else ""


def policy_place(*, layer: str, target: str, branch_pattern: str = "") -> PolicyPlace:
    """Return the place at an address.

    Raises:
        NoSuchPlace: unknown layer, an address of another layer, or nothing is there.
    """
    if layer not in LAYERS:
        raise NoSuchPlace(f"There is no layer {layer!r}; there are {', '.join(LAYERS)}.")
    slugs = target.split("/") if target else []
    if len(slugs) != _PARTS[layer]:
        raise NoSuchPlace(f"The target of a {layer} layer is {_FORMS[layer]}, not {target!r}.")
    _check_pattern(layer, branch_pattern)
    return _found(layer, slugs, branch_pattern)


def layers_above(place: PolicyPlace) -> list[PolicyLayer]:
    """Return the current layers above a place, its own left out.

    Above a branch pattern are also the patterns that match it as if it were a name: `release/**`
    lies above `release/1.*`.
    """
    found = current_layers(
        tenants=_id(place.tenant),
        workspaces=_id(place.workspace),
        repositories=_id(place.repository),
    )
    depth = LAYERS.index(place.layer)
    return [
        layer
        for layers in found.values()
        for layer in layers
        if LAYERS.index(layer.layer) < depth
        or (
            layer.layer == place.layer == "branch"
            and layer.branch_pattern != place.branch_pattern
            and matches(layer.branch_pattern, place.branch_pattern)
        )
    ]


def layers_under(place: PolicyPlace) -> list[LowerLayer]:
    """Return the current layers below a place; nothing lies below a branch pattern."""
    if place.layer == "branch":
        return []
    return layers_below(
        tenant_id=place.tenant.pk if place.tenant else None,
        workspace_id=place.workspace.pk if place.workspace else None,
        repository_id=place.repository.pk if place.repository else None,
    )


def versions_at(place: PolicyPlace) -> QuerySet[PolicyVersion]:
    """Return all versions of a layer, newest first, under whatever address it had."""
    rows = PolicyVersion.objects.filter(layer=place.layer, branch_pattern=place.branch_pattern)
    if place.repository:
        rows = rows.filter(repository=place.repository)
    elif place.workspace:
        rows = rows.filter(workspace=place.workspace)
    elif place.tenant:
        rows = rows.filter(tenant=place.tenant)
    return rows.order_by("-version")


def visible_versions(caller: Caller) -> QuerySet[PolicyVersion]:
    """Return the versions a caller may see, newest first: the site's and their tenants'."""
    rows = PolicyVersion.objects.order_by("-id")
    if caller.tenants is None:
        return rows
    return rows.filter(Q(layer="site") | Q(tenant__slug__in=sorted(caller.tenants)))


def patterns_without_branch(patterns: Iterable[str], *, place: PolicyPlace) -> frozenset[str]:
    """Return the patterns that match no branch seen at a place.

    Nothing is said where no branch was seen yet, or more were than can be looked through.
    """
    names = Branch.objects.filter(observed_head__isnull=False)
    if place.repository:
        names = names.filter(repository=place.repository)
    elif place.workspace:
        names = names.filter(repository__workspace=place.workspace)
    elif place.tenant:
        names = names.filter(repository__tenant=place.tenant)
    unmatched = set(patterns)
    seen = 0
    some = names.order_by().values_list("name", flat=True)[:_MOST_BRANCH_NAMES]
    for name in some.iterator(chunk_size=2000):
        if not unmatched:
            break
        unmatched -= {pattern for pattern in unmatched if matches(pattern, name)}
        seen += 1
    return frozenset() if seen in (0, _MOST_BRANCH_NAMES) else frozenset(unmatched)


def _check_pattern(layer: str, pattern: str) -> None:
    if layer != "branch":
        if pattern:
            raise NoSuchPlace(f"A {layer} layer has no branch pattern.")
        return
    if not pattern.strip() or len(pattern) > _LONGEST_PATTERN or not pattern.isprintable():
        raise NoSuchPlace(
            "A branch layer needs a branch pattern such as release/**, of at most"
            f" {_LONGEST_PATTERN} printable characters."
        )
    if trouble := branch_pattern_trouble(pattern):
        raise NoSuchPlace(f"The branch pattern {pattern!r} {trouble}.")


def _found(layer: str, slugs: list[str], branch_pattern: str) -> PolicyPlace:
    if layer == "site":
        return PolicyPlace(layer)
    nothing = NoSuchPlace(f"There is no {'/'.join(slugs)}, or it is not yours to see.")
    tenant = Tenant.objects.filter(slug=slugs[0]).first()
    if tenant is None:
        raise nothing
    if layer == "tenant":
        return PolicyPlace(layer, tenant)
    workspace = Workspace.objects.filter(tenant=tenant, slug=slugs[1]).first()
    if workspace is None:
        raise nothing
    if layer == "workspace":
        return PolicyPlace(layer, tenant, workspace)
    repository = Repository.objects.filter(workspace=workspace, slug=slugs[2]).first()
    if repository is None:
        raise nothing
    return PolicyPlace(layer, tenant, workspace, repository, branch_pattern)


def _id(row: Tenant | Workspace | Repository | None) -> tuple[int, ...]:
    return () if row is None else (row.pk,)
