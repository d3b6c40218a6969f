"""Records what went wrong: unreadable repositories stay visible, dead letters are audited."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import F, Value
from django.db.models.functions import Coalesce

from reconciliation.models import RepositoryWatch, TaskKind, TaskState
from reconciliation.services.apply.endings import Ending
from reconciliation.services.apply.values import Effects, entry_of
from reconciliation.services.observe.values import OUT_OF_TIME, Trouble


def record_troubles(
    troubles: Sequence[tuple[Trouble, Ending]], effects: Effects, *, now: datetime
) -> None:
    """Mark repositories whose heads could not be read, and audit tasks that are dead."""
    for trouble, ending in troubles:
        task = trouble.task
        if task.task_kind == TaskKind.OBSERVE_REFS and trouble.code != OUT_OF_TIME:
            RepositoryWatch.objects.filter(repository_id=task.repository_id).update(
                consecutive_failures=F("consecutive_failures") + 1,
                last_error_code=trouble.code[:60],
                last_error=trouble.message[:2000],
                failing_since=Coalesce(F("failing_since"), Value(now)),
            )
        if ending.state == TaskState.DEAD:
            effects.entries.append(
                entry_of(
                    task,
                    now=now,
                    action="task.dead",
                    object_kind="task",
                    object_id=str(task.id),
                    outcome=trouble.error_class.value,
                    reason=f"{trouble.code}: {trouble.message}"[:500],
                    data={"attempts": task.attempts, "series": task.series},
                )
            )
