"""Gives claims back when the database went away under a batch: nothing of it was stored."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from audit.services import append
from reconciliation.domain.retry import ErrorClass
from reconciliation.services.apply.endings import (
    DATABASE_LOST,
    bounded,
    end_claims,
    ending_of_trouble,
    sweeps_to_recount,
)
from reconciliation.services.apply.troubles import record_deaths
from reconciliation.services.apply.values import Effects
from reconciliation.services.host_calls import recount_failures
from reconciliation.services.observe.values import Trouble
from reconciliation.services.queue import ClaimedTask

_MESSAGE = "the worker lost the database while it worked on this task's batch"


def give_back(tasks: Sequence[ClaimedTask], *, worker: str, now: datetime) -> int:
    """Return claimed tasks to the queue; return how many were ours still.

    No attempt is burnt, as long as that is not too often: a task whose work takes the database
    down would do so for ever. Their next batches are smaller, so that it is soon alone.
    """
    troubles = [Trouble(task, ErrorClass.TRANSIENT, DATABASE_LOST, _MESSAGE) for task in tasks]
    endings = [bounded(ending_of_trouble(one, now=now), now=now) for one in troubles]
    effects = Effects()
    with transaction.atomic():
        ours = end_claims(endings, worker=worker, now=now)
        record_deaths([one for one in endings if one.task.id in ours], effects, now=now)
        recount_failures(sweeps_to_recount(endings, ours))
        append(effects.entries)
    return len(ours)
