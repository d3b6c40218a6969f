"""Tasks as people see them: the queue, and one task in full; changes nothing."""

from dataclasses import dataclass

from audit.domain.caller import Caller
from governance.selectors.visible import NotVisible
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.models import (
    Evaluation,
    ReconciliationTask,
    TaskAttempt,
    TaskState,
    WebhookDelivery,
)
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.visible import visible_deliveries, visible_tasks

UNFINISHED = "unfinished"


_LIST = "page tasks"


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """What a list is narrowed to; empty means all. `state` may also be `unfinished`."""

    state: str = ""
    kind: str = ""
    tenant: str = ""
    repo: str = ""
    error_code: str = ""


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One task with its attempts, decisions and the deliveries behind it."""

    task: ReconciliationTask
    attempts: tuple[TaskAttempt, ...]
    evaluations: tuple[Evaluation, ...]
    deliveries: tuple[WebhookDelivery, ...]


def task_list(caller: Caller, *, chosen: TaskFilter, after: str = "") -> Page[ReconciliationTask]:
    """Return a page of tasks, newest first, in one query."""
    rows = visible_tasks(caller)
    if chosen.state == UNFINISHED:
        rows = rows.filter(state__in=(TaskState.QUEUED, TaskState.RUNNING))
    elif chosen.state:
        rows = rows.filter(state=chosen.state)
    wanted = {
        "task_kind": chosen.kind,
        "tenant": chosen.tenant,
        "repo": chosen.repo,
        "last_error_code": chosen.error_code,
    }
    rows = rows.filter(**{name: value for name, value in wanted.items() if value})
    for pk in position_of(_LIST, after):
        rows = rows.filter(id__lt=pk)
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    return Page(
        tuple(shown), signed_cursor(_LIST, [shown[-1].pk]) if len(found) > PAGE_SIZE else ""
    )


def task_page(task_id: int, caller: Caller) -> TaskPage:
    """Return one task in full, in four queries.

    Raises:
        NotVisible: unknown, or not the caller's.
    """
    task = visible_tasks(caller).filter(pk=task_id).first()
    if task is None:
        raise NotVisible(f"There is no task {task_id}, or it is not yours to see.")
    return TaskPage(
        task=task,
        attempts=tuple(TaskAttempt.objects.filter(task=task).order_by("-id")[:50]),
        evaluations=tuple(Evaluation.objects.filter(task=task).order_by("-id")[:20]),
        deliveries=tuple(visible_deliveries(caller).filter(task=task)[:20]),
    )
