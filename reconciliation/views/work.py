"""The machinery at work: traces, tasks, dead letters, sweeps."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from reconciliation.models import TaskKind, TaskState
from reconciliation.selectors.sweeps import sweep_list, sweep_page
from reconciliation.selectors.tasks import (
    UNFINISHED,
    TaskFilter,
    task_list,
    task_page,
)
from reconciliation.selectors.trace import trace_of
from reconciliation.views.address import any_text, one_of, whole_number
from reconciliation.views.dead_letters import cause_lines
from reconciliation.views.visit import Visit, for_people, takes


@require_safe
@for_people
def trace(visit: Visit, correlation_id: str) -> HttpResponse:
    """Show everything with one correlation id, in order, with timings; live while work goes on."""
    return visit.page(
        "parts/trace_live.html" if visit.is_refresh else "trace.html",
        trace=trace_of(correlation_id, visit.caller),
    )


@require_safe
@for_people
@takes(
    {
        "state": one_of((UNFINISHED, "all", *TaskState.values)),
        "kind": one_of(TaskKind.values),
        "tenant": any_text,
        "repo": any_text,
        "error": any_text,
        "after": any_text,
    }
)
def tasks(visit: Visit) -> HttpResponse:
    """List tasks by state; dead letters are grouped by cause."""
    asked = visit.asked
    state = asked["state"] or UNFINISHED
    chosen = TaskFilter(
        state="" if state == "all" else state,
        kind=asked["kind"],
        tenant=asked["tenant"],
        repo=asked["repo"],
        error_code=asked["error"],
    )
    return visit.page(
        "tasks.html",
        page=task_list(visit.caller, chosen=chosen, after=asked["after"]),
        causes=cause_lines(visit) if state == TaskState.DEAD else (),
        can_deal=state == TaskState.DEAD and visit.caller_where("tasks").has_scope("tasks"),
        chosen=chosen,
        state=state,
        kinds=TaskKind.choices,
    )


@require_safe
@for_people
def task(visit: Visit, task_id: int) -> HttpResponse:
    """Show one task with its attempts and decisions."""
    return visit.page("task.html", seen=task_page(task_id, visit.caller))


@require_safe
@for_people
@takes({"after": any_text})
def sweeps(visit: Visit) -> HttpResponse:
    """List sweeps, newest first."""
    page = sweep_list(visit.caller, after=visit.asked["after"])
    return visit.page("sweeps.html", page=page)


@require_safe
@for_people
@takes({"from": whole_number})
def sweep(visit: Visit, sweep_id: int) -> HttpResponse:
    """Show one sweep: its slot, budget, what it skipped and why, its tasks in worklist order."""
    start = int(visit.asked["from"] or 0)
    seen = sweep_page(sweep_id, visit.caller, from_ordinal=start)
    return visit.page("sweep.html", seen=seen)
