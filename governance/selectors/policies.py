"""Reads policy layers: current versions, history, and what explains an effective policy."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import connection

from audit.setwise import in_set
from governance.domain.policy_layers import PolicyLayer, in_order
from governance.models import PolicyVersion, Repository

_VERSIONS = PolicyVersion._meta.db_table
_REPOSITORIES = Repository._meta.db_table


@dataclass(frozen=True, slots=True)
class LayerSet:
    """The current layers over one repository, least specific first; branch patterns apart."""

    layers: tuple[PolicyLayer, ...]
    branch_layers: tuple[PolicyLayer, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    tenant_id: int
    workspace_id: int


def layer_sets(repository_ids: Sequence[int]) -> dict[int, LayerSet]:
    """Return the current layers over each repository that exists, in two statements."""
    places = _places(repository_ids)
    found = _current_layers(
        tenants={place.tenant_id for place in places.values()},
        workspaces={place.workspace_id for place in places.values()},
        repositories=places,
    )
    site = found.get(("site", None), [])
    return {
        repository_id: LayerSet(
            layers=tuple(
                site
                + found.get(("tenant", place.tenant_id), [])
                + found.get(("workspace", place.workspace_id), [])
                + found.get(("repository", repository_id), [])
            ),
            branch_layers=tuple(in_order(found.get(("branch", repository_id), []))),
        )
        for repository_id, place in places.items()
    }


def _places(repository_ids: Sequence[int]) -> dict[int, _Place]:
    chosen, params = in_set(connection, sorted(set(repository_ids)), "bigint")
    sql = f"SELECT id, tenant_id, workspace_id FROM {_REPOSITORIES} WHERE id {chosen}"  # noqa: S608 - our own names
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return {row[0]: _Place(row[1], row[2]) for row in cursor.fetchall()}


def _current_layers(
    *, tenants: Iterable[int], workspaces: Iterable[int], repositories: Iterable[int]
) -> dict[tuple[str, int | None], list[PolicyLayer]]:
    """Return the newest version of every layer over these places, by (layer, id of its place).

    The newest is chosen twice: by the database per address (so that history stays there), and here
    per place, because a repository that moved to another workspace has two addresses.
    """
    in_tenants, tenant_params = in_set(connection, sorted(tenants), "bigint")
    in_workspaces, workspace_params = in_set(connection, sorted(workspaces), "bigint")
    in_repositories, repository_params = in_set(connection, sorted(repositories), "bigint")
    sql = (
        "SELECT p.layer, COALESCE(p.repository_id, p.workspace_id, p.tenant_id),"  # noqa: S608 - our own names
        " p.target, p.branch_pattern, p.version, p.digest, p.document"
        f" FROM {_VERSIONS} AS p WHERE (p.layer = 'site'"
        f" OR (p.layer = 'tenant' AND p.tenant_id {in_tenants})"
        f" OR (p.layer = 'workspace' AND p.workspace_id {in_workspaces})"
        f" OR (p.layer IN ('repository', 'branch') AND p.repository_id {in_repositories}))"
        f" AND NOT EXISTS (SELECT 1 FROM {_VERSIONS} AS n WHERE n.layer = p.layer"
        " AND n.target = p.target AND n.branch_pattern = p.branch_pattern"
        " AND n.version > p.version)"
        " ORDER BY p.version, p.id"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*tenant_params, *workspace_params, *repository_params])
        rows = cursor.fetchall()
    newest = {
        (layer, place, pattern): PolicyLayer(
            layer=layer,
            target=target,
            branch_pattern=pattern,
            version=version,
            digest=digest,
            document=json.loads(document),
        )
        for layer, place, target, pattern, version, digest, document in rows
    }
    found: dict[tuple[str, int | None], list[PolicyLayer]] = {}
    for (layer, place, _), version in sorted(newest.items(), key=lambda item: item[0][2]):
        found.setdefault((layer, place), []).append(version)
    return found
