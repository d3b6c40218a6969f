"""Sweeps as people see them: the list with results, and one in full; changes nothing.

A sweep spans tenants. A caller of some tenants sees that it happened and their own tasks in it,
never its totals or its worklist.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count

from audit.domain.caller import Caller
from governance.selectors.visible import NotVisible
from reconciler_site.base.pages import position_of, signed_cursor
from reconciliation.models import Origin, ReconciliationTask, Sweep, TaskState
from reconciliation.selectors.pages import PAGE_SIZE, Page
from reconciliation.selectors.visible import visible_sweeps, visible_tasks

_UNFINISHED = (TaskState.QUEUED, TaskState.RUNNING)


_LIST = "page sweeps"


@dataclass(frozen=True, slots=True)
class SweepLine:
    """One sweep with the states of its tasks; `status` is running, degraded or complete."""

    sweep: Sweep
    tasks_by_state: Mapping[str, int]
    shows_totals: bool

    @property
    def status(self) -> str:
        """Degraded when one of its tasks is dead; running until the last has ended."""
        if self.tasks_by_state.get(TaskState.DEAD):
            return "degraded"
        waiting = any(self.tasks_by_state.get(state) for state in _UNFINISHED)
        return "running" if waiting else "complete"

    @property
    def tasks(self) -> int:
        """How many tasks the caller may see in it."""
        return sum(self.tasks_by_state.values())

    @property
    def done(self) -> int:
        """How many of them have ended, one way or the other."""
        return self.tasks - sum(self.tasks_by_state.get(state, 0) for state in _UNFINISHED)


@dataclass(frozen=True, slots=True)
class SweepPage:
    """One sweep with its tasks in worklist order; `next_ordinal` None: these are the last."""

    line: SweepLine
    tasks: tuple[ReconciliationTask, ...]
    next_ordinal: int | None


def sweep_list(caller: Caller, *, after: str = "") -> Page[SweepLine]:
    """Return a page of sweeps, newest first, in two queries."""
    rows = visible_sweeps(caller)
    for pk in position_of(_LIST, after):
        rows = rows.filter(id__lt=pk)
    found = list(rows[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    states = _states(caller, [sweep.pk for sweep in shown])
    return Page(
        tuple(
            SweepLine(sweep, states.get(sweep.pk, {}), caller.tenants is None) for sweep in shown
        ),
        signed_cursor(_LIST, [shown[-1].pk]) if len(found) > PAGE_SIZE else "",
    )


def sweep_page(sweep_id: int, caller: Caller, *, from_ordinal: int = 0) -> SweepPage:
    """Return one sweep and a page of its tasks, in three queries.

    Raises:
        NotVisible: unknown, or of another tenant.
    """
    sweep = visible_sweeps(caller).filter(pk=sweep_id).first()
    if sweep is None:
        raise NotVisible(f"There is no sweep {sweep_id}, or it is not yours to see.")
    tasks = list(
        visible_tasks(caller)
        # What followed from its tasks names the sweep too, but has no place in its worklist.
        .filter(sweep_id=sweep_id, origin=Origin.SWEEP, ordinal__gte=from_ordinal)
        .order_by("ordinal", "id")[: PAGE_SIZE + 1]
    )
    return SweepPage(
        line=SweepLine(
            sweep, _states(caller, [sweep_id]).get(sweep_id, {}), caller.tenants is None
        ),
        tasks=tuple(tasks[:PAGE_SIZE]),
        next_ordinal=tasks[PAGE_SIZE].ordinal if len(tasks) > PAGE_SIZE else None,
    )


def _states(caller: Caller, sweep_ids: list[int]) -> dict[int, dict[str, int]]:
    counted: dict[int, dict[str, int]] = {}
    for sweep_id, state, number in (
        visible_tasks(caller)
        .filter(sweep_id__in=sweep_ids)
        .order_by()
        .values_list("sweep_id", "state")
        .annotate(number=Count("id"))
    ):
        counted.setdefault(sweep_id, {})[state] = number
    return counted
