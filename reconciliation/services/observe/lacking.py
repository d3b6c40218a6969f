"""Finds the branches whose merges lacked a record or a gate that has come now; decides nothing.

A merge is told of the branch that it came from. Its gate, or the record of the merge itself, may
come later and name the target only, or no branch at all.
"""

from collections.abc import Mapping, Set

from reconciliation.models import Finding, FindingState, TaskKind

_LACKING = ("merged_without_run", "merged_without_gates")


def branches_lacking(shas: Mapping[int, Set[str]]) -> dict[int, set[str]]:
    """Return, per repository, the branches with an open finding about a merge at these commits.

    One statement; none without commits.
    """
    wanted = {pk: some for pk, some in shas.items() if some}
    if not wanted:
        return {}
    rows = Finding.objects.filter(
        repository_id__in=wanted,
        state=FindingState.OPEN,
        check_kind=TaskKind.MISSING_RUN,
        stable_class__in=_LACKING,
    ).values_list("repository_id", "branch", "actual")
    found: dict[int, set[str]] = {}
    for pk, branch, actual in rows:
        told = f"{actual.get('merge_sha', '')}, {actual.get('head_sha', '')}".split(", ")
        if not wanted[pk].isdisjoint(told):
            found.setdefault(pk, set()).add(branch)
    return found
