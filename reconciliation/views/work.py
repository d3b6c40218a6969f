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
from reconciliation.views.dead_letters import cause_lines
from reconciliation.views.visit import Visit, for_people


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
def tasks(visit: Visit) -> HttpResponse:
    """List tasks by state; dead letters are grouped by cause."""
    asked = visit.request.GET
    state = asked.get("state", UNFINISHED)
    if state not in {UNFINISHED, "all", *TaskState.values}:
        state = UNFINISHED
    kind = asked.get("kind", "")
    chosen = TaskFilter(
        state="" if state == "all" else state,
        kind=kind if kind in TaskKind.values else "",
        tenant=asked.get("tenant", ""),
        repo=asked.get("repo", ""),
        error_code=asked.get("error", ""),
    )
    return visit.page(
        "tasks.html",
        page=task_list(visit.caller, chosen=chosen, after=asked.get("after", "")),
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
def sweeps(visit: Visit) -> HttpResponse:
    """List sweeps, newest first."""
    page = sweep_list(visit.caller, after=visit.request.GET.get("after", ""))
    return visit.page("sweeps.html", page=page)


@require_safe
@for_people
def sweep(visit: Visit, sweep_id: int) -> HttpResponse:
    """Show one sweep: its slot, budget, what it skipped and why, its tasks in worklist order."""
    start = visit.request.GET.get("from", "")
    seen = sweep_page(sweep_id, visit.caller, from_ordinal=int(start) if start.isdecimal() else 0)
    return visit.page("sweep.html", seen=seen)
