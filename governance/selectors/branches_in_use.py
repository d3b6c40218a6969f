"""Finds the working branches that somebody works on, beside their default branch; changes nothing.

In use means what the stale branch rule calls in use: governed, under a lease of its own, with a
running run, or with an open pull request from it. A lease over the whole repository makes no branch
of it used: it would make all of them.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from governance.models import (
    Branch,
    BranchClass,
    Lease,
    LeaseState,
    PullRequest,
    PullRequestState,
    RunRecord,
    RunStatus,
)

_WORKING = (BranchClass.GOVERNED, BranchClass.OTHER)


def branches_in_use(
    *, active_since: datetime, repository_ids: Sequence[int] | None = None, now: datetime
) -> QuerySet[Branch]:
    """Return existing working branches in use that are not where the default branch is.

    Each carries `default_head`, the observed head of its repository's default branch. Those without
    activity since `active_since` are left out: they are idle. Ordered by repository and name.
    """
    own = {"repository": OuterRef("repository"), "branch": OuterRef("name")}
    # Without an order: there is one, and sorting it would join three tables for each branch.
    default_branch = Branch.objects.filter(
        repository=OuterRef("repository"), name=OuterRef("repository__default_branch")
    ).order_by()
    in_use = (
        Q(branch_class=BranchClass.GOVERNED)
        | Exists(Lease.objects.filter(**own, state=LeaseState.HELD, expires_at__gt=now))
        | Exists(RunRecord.objects.filter(**own, status=RunStatus.RUNNING))
        | Exists(
            PullRequest.objects.filter(
                repository=OuterRef("repository"),
                head_branch=OuterRef("name"),
                from_fork=False,
                state=PullRequestState.OPEN,
            )
        )
    )
    rows = Branch.objects.filter(
        in_use,
        repository__is_active=True,
        branch_class__in=_WORKING,
        observed_head__isnull=False,
        last_activity_at__gt=active_since,
    )
    if repository_ids is not None:
        rows = rows.filter(repository__in=repository_ids)
    return (
        rows.exclude(name=F("repository__default_branch"))
        .annotate(default_head=Subquery(default_branch.values("observed_head")[:1]))
        .filter(default_head__isnull=False)
        .exclude(observed_head=F("default_head"))
        .order_by("repository_id", "name")
    )
