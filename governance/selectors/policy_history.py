"""Lists the policy layers in force and the versions of one of them; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Collate

from audit.domain.caller import Caller
from governance.domain.policy_changes import Change, changes_between
from governance.domain.policy_layers import layer_name
from governance.domain.policy_schema import FLOORS, leaves
from governance.models import PolicyVersion
from governance.selectors.policy_places import PolicyPlace, versions_at, visible_versions
from reconciler_site.base.pages import position_of, signed_cursor

_CODE_POINT = {"postgresql": "C", "sqlite": "BINARY"}
_LIST = "page policies"


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version of a layer. `changes` are against the version before it."""

    layer: str
    target: str
    branch_pattern: str
    version: int
    digest: str
    author: str
    approved_by: str
    reason: str
    published_at: datetime
    document: Mapping[str, Any]
    changes: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        """Return the layer's address, such as `tenant acme`."""
        return layer_name(self.layer, self.target, self.branch_pattern)

    @property
    def depth(self) -> int:
        """Return how deep the layer lies below the site, for indentation: 0 to 4."""
        return (self.target.count("/") + 1 if self.target else 0) + bool(self.branch_pattern)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys that the layer speaks of."""
        return tuple(key for key, _ in leaves(self.document))

    @property
    def floors(self) -> tuple[str, ...]:
        """Return the keys that lower layers may only tighten."""
        return tuple(self.document.get(FLOORS, ()))


_FIELDS = (
    "layer",
    "target",
    "branch_pattern",
    "version",
    "digest",
    "author",
    "approved_by",
    "reason",
    "published_at",
    "document",
)


def layers_in_force(
    caller: Caller, *, after: str = "", limit: int
) -> tuple[tuple[VersionLine, ...], str]:
    """Return a page of the current layers that a caller may see, and the next page's cursor.

    Each layer stands below the one that it lies in; by code point, one query.
    """
    newer = PolicyVersion.objects.filter(
        layer=OuterRef("layer"),
        target=OuterRef("target"),
        branch_pattern=OuterRef("branch_pattern"),
        version__gt=OuterRef("version"),
    )
    collation = _CODE_POINT[connection.vendor]
    rows: QuerySet[Any] = visible_versions(caller).filter(~Exists(newer))
    rows = rows.annotate(
        by_target=Collate("target", collation), by_pattern=Collate("branch_pattern", collation)
    ).order_by("by_target", "by_pattern")
    if position := position_of(_LIST, after):
        target, pattern = position
        rows = rows.filter(Q(by_target__gt=target) | Q(by_target=target, by_pattern__gt=pattern))
    found = [VersionLine(*row) for row in rows.values_list(*_FIELDS)[: limit + 1]]
    shown = tuple(found[:limit])
    is_last = len(found) <= limit
    last = shown[-1:]
    return shown, "" if is_last else signed_cursor(_LIST, [last[0].target, last[0].branch_pattern])


def version_lines(
    place: PolicyPlace, *, before: int | None = None, limit: int
) -> tuple[tuple[VersionLine, ...], int | None]:
    """Return versions of a layer with what each changed, newest first, and where to go on."""
    rows = versions_at(place)
    if before is not None:
        rows = rows.filter(version__lt=before)
    # One more than asked for: the last one shown is compared with it.
    found = [VersionLine(*row) for row in rows.values_list(*_FIELDS)[: limit + 1]]
    nothing: Mapping[str, Any] = {}
    previous = [*(one.document for one in found[1:]), nothing]
    told = tuple(
        replace(one, changes=changes_between(before_it, one.document))
        for one, before_it in zip(found, previous, strict=False)
    )[:limit]
    return told, told[-1].version if len(found) > limit else None
