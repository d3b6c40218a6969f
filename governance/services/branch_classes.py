"""Classifies stored branches anew when a policy changes which of them matter; judges no head."""

from collections.abc import Iterator, Sequence

from django.db import connection

from audit.setwise import rows_source
from governance.domain.policy import branch_class_of
from governance.domain.policy_layers import PolicyLayer
from governance.models import Branch
from governance.selectors.policy_places import PolicyPlace
from governance.selectors.policy_reach import classified_branches, repositories_below
from governance.services.held_classes import held_class
from governance.services.policies import load_policies_with

_BRANCH = Branch._meta.db_table
_REPOSITORIES_PER_SHARD = 200
_HELD = held_class(
    f"{_BRANCH}.branch_class",
    "v.branch_class",
    governed=f"{_BRANCH}.governed_head",
    observed=f"{_BRANCH}.observed_head",
)


def reclassify_branches(place: PolicyPlace, *, layer: PolicyLayer) -> list[tuple[int, str]]:
    """Give the branches below `place` the class they have once `layer` is in force there.

    Returns `(repository, name)` of those that changed, by tenant, repository and name. Repositories
    go in shards, each of a constant number of statements; where the layer moves no pattern, no
    branch is read, and only rows that change are written. A branch that drifts keeps the class it
    had where that guards more, until its head is accepted. Call it in the transaction that puts the
    layer in force, before anything is appended to the trail: whoever writes the trail has its own
    rows already.
    """
    if layer.layer == "branch":
        # Which branches matter is decided for a whole repository.
        return []
    changed: list[tuple[int, str]] = []
    for shard in _shards(repositories_below(place)):
        changed += _reclassify(shard, layer)
    return changed


def _reclassify(repository_ids: Sequence[int], layer: PolicyLayer) -> list[tuple[int, str]]:
    before, after = load_policies_with(layer, repository_ids)
    moved = {
        pk: after.for_branch(pk, "")
        for pk in repository_ids
        if before.for_branch(pk, "").branches != after.for_branch(pk, "").branches
    }
    if not moved:
        return []
    classes: dict[tuple[str, frozenset[str], str], str] = {}
    changed = []
    for pk, repository_id, name, stored, default_branches in classified_branches(list(moved)):
        policy = moved[repository_id]
        known = (policy.digest, default_branches, name)
        if known not in classes:
            classes[known] = branch_class_of(name, default_branches=default_branches, policy=policy)
        if classes[known] != stored:
            changed.append((pk, repository_id, name, classes[known]))
    _store([(pk, new) for pk, _, _, new in changed])
    return [(repository_id, name) for _, repository_id, name, _ in changed]


def _store(classes: Sequence[tuple[int, str]]) -> None:
    if not classes:
        return
    ids = [pk for pk, _ in classes]
    # Observations lock branches in this order too: neither waits for the other in a circle.
    locked = Branch.objects.select_for_update(of=("self",)).filter(pk__in=ids)
    list(locked.order_by("repository__tenant__slug", "repository__slug", "name").values_list("pk"))
    source, params = rows_source(connection, {"id": "bigint", "branch_class": "text"}, classes)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_BRANCH} SET branch_class = {_HELD} FROM {source} AS v"
            f" WHERE {_BRANCH}.id = v.id AND {_BRANCH}.branch_class <> v.branch_class",
            params,
        )


def _shards(repository_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(repository_ids), _REPOSITORIES_PER_SHARD):
        yield repository_ids[start : start + _REPOSITORIES_PER_SHARD]
