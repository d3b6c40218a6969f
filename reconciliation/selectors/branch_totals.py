"""How many branches there are, are unknown, and have findings: one definition for every reader.

The overview, the status, the metrics and the commands show these numbers; changes nothing.
"""

from dataclasses import dataclass

from django.db.models import CharField, Count, Exists, F, OuterRef, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast, Concat

from governance.selectors.visible import Branch, Repository
from reconciliation.models import Finding, FindingState


@dataclass(frozen=True, slots=True)
class BranchTotals:
    """Branches of active repositories.

    `branches` are the heads last read, and the branches that are gone but have an open finding;
    `unknown` those of repositories that cannot be read; `with_findings` never exceeds `branches`.
    """

    repositories: int
    branches: int
    unknown: int
    with_findings: int


def branch_totals(repositories: QuerySet[Repository], findings: QuerySet[Finding]) -> BranchTotals:
    """Return the totals of what the caller may see of both, in two queries."""
    unread = Q(watch__failing_since__isnull=False) | Q(observed_at__isnull=True)
    heads = (
        repositories.order_by()
        .filter(is_active=True)
        .aggregate(
            repositories=Count("id"),
            present=Sum("heads_count"),
            unknown=Sum("heads_count", filter=unread),
        )
    )
    is_present = Exists(
        Branch.objects.filter(
            repository=OuterRef("repository"),
            name=OuterRef("branch"),
            observed_head__isnull=False,
        ).order_by()
    )
    # A finding about a whole repository names no branch.
    named = (
        findings.select_related(None)
        .order_by()
        .filter(state=FindingState.OPEN, repository__is_active=True)
        .exclude(branch="")
        .annotate(is_present=is_present)
        .values_list("is_present")
        .annotate(
            number=Count(
                Concat(
                    Cast("repository_id", CharField()),
                    Value(" "),
                    F("branch"),
                    output_field=CharField(),
                ),
                distinct=True,
            )
        )
    )
    by_presence = dict(named)
    gone = by_presence.get(False, 0)
    return BranchTotals(
        repositories=heads["repositories"] or 0,
        branches=(heads["present"] or 0) + gone,
        unknown=heads["unknown"] or 0,
        with_findings=by_presence.get(True, 0) + gone,
    )
