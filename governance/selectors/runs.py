"""Reads run records: those a caller may see, and those that the services look up."""

from django.db.models import QuerySet

from audit.domain.caller import Caller
from governance.models import Repository, RunRecord, RunStatus
from governance.selectors.visible import scoped


def runs_for(caller: Caller) -> QuerySet[RunRecord]:
    """Return the caller's run records with repository and tenant, newest first."""
    rows = RunRecord.objects.select_related("repository__tenant", "repository__workspace")
    return scoped(rows, caller=caller, through="repository__tenant__slug").order_by(
        "-started_at", "-id"
    )


def run_named(caller: Caller, repository: Repository, *, run_id: str) -> RunRecord | None:
    """Return one of the caller's run records, or None."""
    return runs_for(caller).filter(repository=repository, run_id=run_id).first()


def running_runs(repository: Repository) -> QuerySet[RunRecord]:
    """Return a repository's active operations, by branch and run id."""
    return RunRecord.objects.filter(repository=repository, status=RunStatus.RUNNING).order_by(
        "branch", "run_id"
    )


def runs_that_made(repository: Repository, *, head_sha: str) -> QuerySet[RunRecord]:
    """Return the runs that ended at a head, by run id: is this head covered?"""
    return RunRecord.objects.filter(repository=repository, head_sha=head_sha).order_by("run_id")
