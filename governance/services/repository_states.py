"""Stores what reading a repository showed of itself: it is gone, or its default branch is another.

Entries for the trail are the caller's: it knows what it was working on.
"""

from collections.abc import Sequence

from django.db import connection

from audit.setwise import rows_source
from governance.models import Branch, Repository
from governance.services.held_classes import held_class

_BRANCH = Branch._meta.db_table
_HELD = held_class(
    f"{_BRANCH}.branch_class",
    "v.branch_class",
    governed=f"{_BRANCH}.governed_head",
    observed=f"{_BRANCH}.observed_head",
)


def switch_off(repository_id: int) -> bool:
    """Stop reconciling a repository; everything about it is kept. False when it was off already."""
    return bool(Repository.objects.filter(pk=repository_id, is_active=True).update(is_active=False))


def record_first_default(repository_id: int, default_branch: str) -> None:
    """Take over a default branch where governance had accepted none that exists."""
    Repository.objects.filter(pk=repository_id).update(governed_default_branch=default_branch)


def record_branch_classes(classes: Sequence[tuple[int, str, str]]) -> set[tuple[int, str]]:
    """Store `(repository, branch, class)` and return `(repository, branch)` of those that exist.

    A branch that is not known yet gets its class when it is seen. One that drifts keeps the class
    it had where that guards more.
    """
    if not classes:
        return set()
    ordered = sorted(classes)
    # In the order of whoever else writes branches: neither waits for the other in a circle.
    rows = Branch.objects.select_for_update(of=("self",)).filter(
        repository_id__in={pk for pk, _, _ in ordered}, name__in={name for _, name, _ in ordered}
    )
    list(rows.order_by("repository__tenant__slug", "repository__slug", "name").values_list("pk"))
    columns = {"repository_id": "bigint", "name": "text", "branch_class": "text"}
    source, params = rows_source(connection, columns, ordered)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {_BRANCH} SET branch_class = {_HELD} FROM {source} AS v"
            f" WHERE {_BRANCH}.repository_id = v.repository_id AND {_BRANCH}.name = v.name"
            f" RETURNING {_BRANCH}.repository_id, {_BRANCH}.name",
            params,
        )
        return {(repository_id, name) for repository_id, name in cursor.fetchall()}
