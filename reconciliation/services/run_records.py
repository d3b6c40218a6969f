"""Ends a run record and has its branch checked, in one transaction."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from audit.domain.caller import Caller
from governance.domain.runs import RunEnd
from governance.selectors.branch_facts import repositories_by_id
from governance.selectors.visible import Repository, RunRecord
from governance.services.runs import finish_run
from reconciliation.models import Origin, ReconciliationTask, TaskKind
from reconciliation.services.intake import request_observation


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """An ended run, whether this call ended it, and the observation that checks its branch."""

    run: RunRecord
    is_new: bool
    task_id: int | None


@transaction.atomic
def finish_run_record(
    repository: Repository,
    run_id: str,
    end: RunEnd,
    *,
    caller: Caller,
    correlation_id: str,
    now: datetime,
) -> FinishedRun:
    """End a run and plan an observation of its repository that checks the run's branch.

    The head may have been seen before the run said what it did: only the check after its end can
    cover it. The same end again plans nothing and names the observation of the first call.

    Raises:
        RunNotFound, RunEnded: nothing was changed.
    """
    outcome = finish_run(
        repository, run_id, end, caller=caller, correlation_id=correlation_id, now=now
    )
    if not outcome.is_new:
        return FinishedRun(outcome.run, False, _planned_before(repository.pk, run_id))
    task_id = request_observation(
        repositories_by_id([repository.pk])[repository.pk],
        about=f"run {run_id} {end.status}",
        origin=Origin.API,
        run_id=run_id,
        correlation_id=correlation_id,
        now=now,
    )
    return FinishedRun(outcome.run, True, task_id)


def _planned_before(repository_id: int, run_id: str) -> int | None:
    return (
        ReconciliationTask.objects.filter(
            repository_id=repository_id,
            branch="",
            task_kind=TaskKind.OBSERVE_REFS,
            run_id=run_id,
        )
        .order_by("-id")
        .values_list("pk", flat=True)
        .first()
    )
