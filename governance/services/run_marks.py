"""Marks run records by which a snapshot advanced; an ended run changes in nothing else."""

from collections.abc import Collection
from datetime import datetime

from governance.models import RunRecord
from governance.selectors.branch_facts import among


def count_runs(runs: Collection[tuple[int, str]], *, now: datetime) -> None:
    """Mark `(repository, run id)` as runs that counted, by one statement; none without runs.

    Whose run it was was settled then: what a branch knows of its pushes is forgotten.
    """
    if not runs:
        return
    rows = RunRecord.objects.filter(**among(runs, "run_id"), counted_at__isnull=True)
    wanted = [
        pk
        for pk, repository_id, run_id in rows.values_list("pk", "repository_id", "run_id")
        if (repository_id, run_id) in runs
    ]
    RunRecord.objects.filter(pk__in=wanted).update(counted_at=now)
