"""Turns governance rows into facts; adds nothing and leaves nothing out that a rule may ask."""

from datetime import datetime

from governance.selectors.visible import Lease, PullRequest, RunRecord
from reconciliation.domain.facts import LeaseFact, PullRequestFact, RunFact


def run_fact(row: RunRecord, *, counted_before: datetime | None = None) -> RunFact:
    """Return a run record as a fact; it has counted when that was before the moment given.

    What other tasks of the same batch count meanwhile must not show: facts do not depend on the
    order in which branches are worked.
    """
    return RunFact(
        run_id=row.run_id,
        base_sha=row.base_sha,
        head_sha=row.head_sha,
        status=row.status,
        actor=row.actor,
        lease_id=row.lease_id,
        last_heartbeat_at=row.last_heartbeat_at,
        gates=tuple(sorted(row.gate_results.items())),
        has_counted=(
            counted_before is not None
            and row.counted_at is not None
            and row.counted_at < counted_before
        ),
    )


def lease_fact(row: Lease) -> LeaseFact:
    """Return a lease as a fact."""
    return LeaseFact(
        lease_id=row.lease_id,
        scope=row.scope,
        paths=tuple(sorted(row.paths)),
        user_id=row.user_id,
        agent_id=row.agent_id,
        run_id=row.run_id,
        expires_at=row.expires_at,
        acquired_at=row.acquired_at,
        # Not when somebody wrote down that it had run out: that hangs on who was first.
        ended_at=row.ended_at if row.ended_at and row.ended_at < row.expires_at else None,
    )


def pull_request_fact(row: PullRequest) -> PullRequestFact:
    """Return a pull request as a fact."""
    return PullRequestFact(
        number=row.number,
        state=row.state,
        head_branch=row.head_branch,
        head_sha=row.head_sha,
        base_branch=row.base_branch,
        merge_sha=row.merge_sha,
        from_fork=row.from_fork,
        labels=tuple(sorted(row.labels)),
        merged_at=row.merged_at,
    )
