"""Observes when heads were committed, as far as their dates can be true; judges nothing."""

from collections.abc import Mapping
from datetime import datetime

from reconciliation.domain.activity import committed_at
from reconciliation.remotes.base import Remote, RemoteTarget


def dates_of_commits(
    remote: Remote, target: RemoteTarget, heads: Mapping[str, str], *, now: datetime
) -> dict[str, datetime]:
    """Return the commit date of each branch's head; one that cannot be true is left out.

    Raises:
        RemoteError: the history could not be fetched.
    """
    if not heads:
        return {}
    remote.sync(target, heads)
    commits = remote.commits(target, sorted(set(heads.values())))
    dates = {
        branch: committed_at(commits[head].committed_at, now=now)
        for branch, head in heads.items()
        if head in commits
    }
    return {branch: moment for branch, moment in dates.items() if moment is not None}
