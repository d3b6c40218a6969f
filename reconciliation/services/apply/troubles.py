"""Records what went wrong: unreadable repositories stay visible, dead letters are audited."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.db.models import F, Value
from django.db.models.functions import Coalesce

from reconciliation.models import RepositoryWatch, TaskKind, TaskState
from reconciliation.services.apply.endings import UNCOUNTED, Ending
from reconciliation.services.apply.values import Effects, entry_of
from reconciliation.services.observe.values import Trouble


def record_troubles(
    troubles: Sequence[Trouble], endings: Iterable[Ending], effects: Effects, *, now: datetime
) -> None:
    """Mark repositories whose heads could not be read, and audit tasks that are dead."""
    for trouble in troubles:
        task = trouble.task
        if task.task_kind == TaskKind.OBSERVE_REFS and trouble.code not in UNCOUNTED:
            RepositoryWatch.objects.filter(repository_id=task.repository_id).update(
                consecutive_failures=F("consecutive_failures") + 1,
                last_error_code=trouble.code[:60],
                last_error=trouble.message[:2000],
                failing_since=Coalesce(F("failing_since"), Value(now)),
            )
    record_deaths(endings, effects, now=now)


def record_deaths(endings: Iterable[Ending], effects: Effects, *, now: datetime) -> None:
    """Audit the tasks that are dead letters now, with their causes."""
    for ending in endings:
        if ending.state != TaskState.DEAD:
            continue
        task = ending.task
        effects.entries.append(
            entry_of(
                task,
                now=now,
                action="task.dead",
                object_kind="task",
                object_id=str(task.id),
                outcome=ending.error_class,
                reason=f"{ending.error_code}: {ending.error}"[:500],
                data={"attempts": task.attempts, "series": task.series},
            )
        )
